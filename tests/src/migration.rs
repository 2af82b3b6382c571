//! Connections and flows that only the flow table keeps where they are, while what is pinned changes its layout.

use std::path::PathBuf;
use std::time::Duration;

use lb_ctl::daemon::{GivenBack, give_back_until};
use lb_ctl::dataplane::migrate::{self, Step};
use lb_ctl::dataplane::{LoadOptions, PinDirectory};
use lb_ctl::resources::{DatabaseStore, ResourceStore as _};

use crate::balanced::Balanced;
use crate::condition::eventually;
use crate::daemon::{Daemon, sizes};
use crate::topology::{Lab, PRIMARIES, VIP4, VIP6};
use crate::traffic::flow::UdpFlow;
use crate::traffic::tcp::Connection;

const AWAY: &str = PRIMARIES[1];

/// Begun while one backend was away, which is back: what would go there now, if it were chosen anew, stays elsewhere.
pub struct Traffic {
    flows: Vec<UdpFlow>,
    connections: Vec<Connection>,
}

impl Traffic {
    pub fn start(balanced: &mut Balanced<'_>, flows: usize, connections: usize) -> Self {
        balanced.set_health(AWAY, false);
        let half = |of: usize| of / 2;
        let mut traffic = Self {
            flows: balanced.flows(VIP4, flows - half(flows)),
            connections: balanced.connect_many(VIP4, connections - half(connections)),
        };
        traffic.flows.extend(balanced.flows(VIP6, half(flows)));
        traffic
            .connections
            .extend(balanced.connect_many(VIP6, half(connections)));
        traffic.flows.iter().for_each(|flow| drop(flow.answered_by()));
        balanced.set_health(AWAY, true);
        assert!(
            traffic
                .connections
                .iter()
                .all(|connection| connection.backend != AWAY)
        );
        traffic
    }

    /// Every datagram so far has its answer, but for what is on its way, and nothing has changed its backend.
    #[track_caller]
    pub fn assert_untouched(&mut self, when: &str) {
        let asked: Vec<u64> = self.flows.iter().map(|flow| flow.record().sent).collect();
        for (flow, asked) in self.flows.iter().zip(asked) {
            eventually(Duration::from_secs(10), || {
                let record = flow.record();
                match record.answered >= asked {
                    true => Ok(()),
                    false => Err(format!("{when}: {asked} datagrams, {} answers", record.answered)),
                }
            });
            assert_eq!(flow.record().moves, 0, "{when}: {} moved", flow.local_address);
        }
        for connection in &mut self.connections {
            let answer = connection.ask();
            assert_eq!(answer.as_deref(), Ok(connection.backend.as_str()), "{when}");
        }
    }
}

/// As `lb-ctl migrate --layout 5` does it, up to a step.
#[track_caller]
pub fn give_back_up_to(daemon: &Daemon<'_>, lab: &Lab, last: Step) {
    let places = GivenBack {
        state_dir: daemon.directory().join("state"),
        runtime_dir: daemon.directory().join("run"),
        pin_dir: pins(daemon),
    };
    // Ways out belong to the namespace of whoever writes them.
    lab.lb()
        .run(|| stopped_at(last, &mut |at| give_back_until(&places, at)));
}

/// As a start does it that takes over an earlier layout, up to a step.
#[track_caller]
pub fn take_over_up_to(daemon: &Daemon<'_>, lab: &Lab, last: Step) {
    let state = daemon.directory().join("state");
    let store = DatabaseStore::open(&state).expect("the store").id();
    let seed = std::fs::read_to_string(state.join("hash-seed")).expect("the seed");
    let options = LoadOptions {
        sizes: sizes(),
        seed: u128::from_str_radix(seed.trim(), 16).expect("a seed"),
        answer_echo: false,
        trace_packets: false,
        test_now: 0,
    };
    let pins = PinDirectory::new(&pins(daemon));
    lab.lb().run(|| {
        stopped_at(last, &mut |at| {
            migrate::load(&options, &pins, store, at).map(drop)
        })
    });
}

#[track_caller]
fn stopped_at(last: Step, migration: &mut dyn FnMut(migrate::AtStep<'_>) -> anyhow::Result<()>) {
    let mut reached = false;
    let ended = migration(&mut |step| {
        reached |= step == last;
        match step == last {
            true => anyhow::bail!("stopped by the test"),
            false => Ok(()),
        }
    });
    assert!(reached, "{last:?} was never done: {ended:?}");
    ended.expect_err("it ends where it was stopped");
}

fn pins(daemon: &Daemon<'_>) -> PathBuf {
    daemon.bpf_directory().join("lb")
}

/// Which layouts are pinned.
pub fn layouts(daemon: &Daemon<'_>) -> Vec<String> {
    let entries = std::fs::read_dir(pins(daemon)).expect("the pins");
    let names = entries.map(|entry| entry.expect("an entry").file_name());
    let mut names: Vec<String> = names.map(|name| name.to_string_lossy().into_owned()).collect();
    names.sort();
    names
}
