//! What happens in the demonstration, and what the client must see of it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use lb_ctl::views::Stats;

use super::crowd::{Crowd, Seen};
use super::promises::Promises;
use super::screen::Screen;
use crate::condition::pause;
use crate::daemon::Daemon;
use crate::topology::{FAILOVER, Lab, PRIMARIES};
use crate::traffic::backend::Backend;

/// For the health check to notice, the plan to change and the client to see it.
const SOON: Duration = Duration::from_secs(10);
/// Rounds of requests that prove a kept connection alive.
const ROUNDS: u64 = 5;
const NEWCOMERS: u64 = 20;

const FAILING: &str = "backend-2";
const DYING: &str = "backend-3";

pub(super) struct Story<'lab> {
    pub(super) crowd: Crowd,
    pub(super) daemon: &'lab Daemon<'lab>,
    pub(super) lab: &'lab Lab,
    pub(super) backends: BTreeMap<String, Backend>,
    pub(super) promises: Promises,
    pub(super) screen: Screen,
}

impl Story<'_> {
    pub(super) fn tell(&mut self) {
        self.everything_is_well();
        self.a_backend_becomes_unhealthy();
        self.a_backend_dies_and_the_pool_fails_over();
        self.they_recover_and_the_pool_fails_back();
        self.the_balancer_saw_it_too();
    }

    /// The summary; true when every promise was kept.
    pub(super) fn end(mut self) -> bool {
        let stats = self.daemon.stats();
        self.screen.finish(&stats, &self.crowd, &self.promises);
        self.promises.all_kept()
    }

    fn everything_is_well(&mut self) {
        self.screen
            .say("four backends are healthy: the three primaries share the traffic");
        self.newcomers_use(
            "new connections spread over the three primaries, none to the standby",
            &PRIMARIES,
        );
        self.promise("every kept connection answers", Self::no_connection_broke);
    }

    fn a_backend_becomes_unhealthy(&mut self) {
        self.screen
            .say(&format!("{FAILING} fails its health check, but still forwards"));
        let before = self.crowd.seen().open_on(FAILING);
        let moves = self.crowd.moves();
        self.backend(FAILING).set_health(503);
        self.newcomers_use(&format!("new connections avoid {FAILING}"), &["backend-1", DYING]);
        self.promise(
            &format!("UDP flows leave {FAILING} at their next packet"),
            |crowd| match (crowd.flows_on(FAILING), crowd.moves() - moves) {
                (0, moved) if moved > 0 => Ok(format!("{moved} diverted, 0 left")),
                (left, moved) => Err(format!("{moved} diverted, {left} left")),
            },
        );
        self.promise("TCP connections persist on it, and none breaks", |crowd| {
            let now = crowd.seen().open_on(FAILING);
            let evidence = format!("{now} of {before} on {FAILING}");
            Self::no_connection_broke(crowd)?;
            if now == before && now > 0 {
                Ok(evidence)
            } else {
                Err(evidence)
            }
        });
    }

    fn a_backend_dies_and_the_pool_fails_over(&mut self) {
        let doomed = self.crowd.seen().open_on(DYING);
        self.screen.say(&format!(
            "{DYING} is killed under {doomed} live connections: 1 of 3 primaries is left, below the ratio of 0.5"
        ));
        self.backend(DYING).kill();
        self.newcomers_use(&format!("new connections fail over to {FAILOVER}"), &[FAILOVER]);
        self.promise(&format!("only the connections of {DYING} broke"), |crowd| {
            only_broken(&crowd.seen(), DYING, doomed)
        });
        let answered = self.crowd.answers();
        self.promise("every UDP flow is answered by a healthy backend", |crowd| {
            let lost = crowd
                .answers()
                .iter()
                .zip(&answered)
                .filter(|(now, before)| now <= before)
                .count();
            match (lost, crowd.flows_on(FAILING) + crowd.flows_on(DYING)) {
                (0, 0) => Ok(format!("{} flows", answered.len())),
                (lost, stuck) => Err(format!(
                    "{lost} of {} unanswered, {stuck} not moved",
                    answered.len()
                )),
            }
        });
        for _ in 0..3 {
            self.crowd.keep_another(self.lab.client());
        }
    }

    fn they_recover_and_the_pool_fails_back(&mut self) {
        self.screen
            .say(&format!("{FAILING} is healthy again, {DYING} is started again"));
        let doomed = self.crowd.seen().broken().count();
        let kept = self.crowd.seen().open_on(FAILOVER);
        self.backends.remove(DYING);
        self.backends
            .insert(DYING.to_owned(), Backend::start(self.lab, DYING));
        self.backend(FAILING).set_health(200);
        self.newcomers_use("new connections fail back to the three primaries", &PRIMARIES);
        self.promise(
            "connections made during the failover stay where they are",
            |crowd| {
                let now = crowd.seen().open_on(FAILOVER);
                let evidence = format!("{now} of {kept} on {FAILOVER}");
                if now == kept && now > 0 {
                    Ok(evidence)
                } else {
                    Err(evidence)
                }
            },
        );
        self.promise("no other connection ever broke", |crowd| {
            only_broken(&crowd.seen(), DYING, doomed)
        });
    }

    fn the_balancer_saw_it_too(&mut self) {
        let daemon = self.daemon;
        self.promise("the balancer's own counters agree", |crowd| {
            let totals = Totals::of(&daemon.stats(), FAILING);
            let begun = crowd.seen().newcomers_ever + (crowd.seen().held.len() + crowd.flows.len()) as u64;
            let evidence = format!(
                "{} new flows for at least {begun} begun, {} packets persisted on {FAILING}, {} elsewhere",
                totals.new_flows, totals.persisted, totals.persisted_elsewhere
            );
            // A client that just began may be counted before or after.
            let agrees =
                totals.new_flows + 1 >= begun && totals.persisted > 0 && totals.persisted_elsewhere == 0;
            if agrees { Ok(evidence) } else { Err(evidence) }
        });
    }

    fn backend(&mut self, name: &str) -> &mut Backend {
        self.backends
            .get_mut(name)
            .unwrap_or_else(|| panic!("no backend is called {name}"))
    }

    /// Soon, all newcomers arrive, and exactly these backends get them.
    fn newcomers_use(&mut self, text: &str, expected: &[&str]) {
        let start = Instant::now();
        let expected = BTreeSet::from_iter(expected.iter().copied());
        let outcome = loop {
            let seen = self.watch_newcomers(start);
            let used: BTreeSet<&str> = seen.newcomers.keys().map(String::as_str).collect();
            if seen.failures.is_empty() && used == expected {
                break Ok(format!(
                    "{} after {:.1} s",
                    shown(&seen),
                    start.elapsed().as_secs_f64()
                ));
            }
            if start.elapsed() >= SOON {
                break Err(shown(&seen));
            }
        };
        self.judge(text, outcome);
    }

    /// Counts anew, and waits for enough.
    fn watch_newcomers(&mut self, since: Instant) -> Seen {
        self.crowd.mark();
        while self.crowd.seen().newcomer_count() < NEWCOMERS && since.elapsed() < SOON {
            self.look();
        }
        self.crowd.seen()
    }

    /// Soon, and after several rounds of requests, the check holds.
    fn promise(&mut self, text: &str, check: impl Fn(&Crowd) -> Result<String, String>) {
        let start = Instant::now();
        let enough = self.crowd.seen().rounds + ROUNDS;
        let outcome = loop {
            self.look();
            let outcome = check(&self.crowd);
            let is_proved = outcome.is_ok() && self.crowd.seen().rounds >= enough;
            if is_proved || start.elapsed() >= SOON {
                break outcome;
            }
        };
        self.judge(text, outcome);
    }

    fn judge(&mut self, text: &str, outcome: Result<String, String>) {
        self.promises.judge(text, outcome);
        if let Some(line) = self.promises.latest() {
            self.screen.say(&line);
        }
    }

    fn no_connection_broke(crowd: &Crowd) -> Result<String, String> {
        let seen = crowd.seen();
        match seen.broken().count() {
            0 => Ok(format!("{} connections", seen.held.len())),
            count => Err(format!("{count} of {} broke", seen.held.len())),
        }
    }

    /// Keeps the screen alive while something is awaited.
    fn look(&mut self) {
        if self.screen.is_due() {
            let stats = self.daemon.stats();
            self.screen.update(&stats, &self.crowd);
        }
        pause();
    }
}

/// Over all services.
#[derive(Default)]
struct Totals {
    new_flows: u64,
    persisted: u64,
    persisted_elsewhere: u64,
}

impl Totals {
    fn of(stats: &Stats, unhealthy: &str) -> Self {
        let mut totals = Self::default();
        for backend in stats.services.iter().flat_map(|service| &service.backends) {
            totals.new_flows += backend.new_flows;
            match backend.instance.as_deref() {
                Some(name) if name == unhealthy => totals.persisted += backend.persisted_packets,
                // Retransmissions to the killed backend persist too, until their senders hear that it is gone.
                Some(DYING) => {}
                _ => totals.persisted_elsewhere += backend.persisted_packets,
            }
        }
        totals
    }
}

fn only_broken(seen: &Seen, backend: &str, expected: usize) -> Result<String, String> {
    let others = seen.broken().filter(|(name, _)| *name != backend).count();
    let own = seen.broken().count() - others;
    let evidence = format!("{own} of {expected} on {backend}, {others} elsewhere");
    if others == 0 && own == expected && own > 0 {
        Ok(evidence)
    } else {
        Err(evidence)
    }
}

fn shown(seen: &Seen) -> String {
    let mut parts: Vec<String> = seen
        .newcomers
        .iter()
        .map(|(name, count)| format!("{name} {count}"))
        .collect();
    if !seen.failures.is_empty() {
        parts.push(format!("{} failed ({})", seen.failures.len(), seen.failures[0]));
    }
    parts.join(", ")
}
