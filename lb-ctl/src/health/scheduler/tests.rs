mod logging;

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::time::Instant;

use super::rhythm::SHORT_START;
use super::*;
use crate::health::machine::{ProbeResult, Weight, WeightReport};
use crate::health::probe::Probed;
use crate::model::{Delivery, EndpointWeight, Probe, ProxyHeader};

/// A network of the test's: what it answers, and when it was asked.
#[derive(Clone, Default)]
struct Fake(Arc<FakeState>);

#[derive(Default)]
struct FakeState {
    up: Mutex<BTreeMap<IpAddr, bool>>,
    weight: AtomicUsize,
    asked: Mutex<Vec<(IpAddr, Instant)>>,
    /// How long a probe takes.
    delay: Mutex<Duration>,
    /// Why no probe can be made.
    lacks: Mutex<Option<String>>,
}

impl Fake {
    fn set(&self, address: IpAddr, up: bool) {
        self.0.up.lock().unwrap().insert(address, up);
    }

    fn asked(&self, address: IpAddr) -> Vec<Instant> {
        let asked = self.0.asked.lock().unwrap();
        asked
            .iter()
            .filter(|(a, _)| *a == address)
            .map(|(_, when)| *when)
            .collect()
    }
}

impl Prober for Fake {
    async fn probe(&self, target: &TargetId, _check: &HealthCheck) -> Probed {
        let address = target.address;
        self.0.asked.lock().unwrap().push((address, Instant::now()));
        let delay = *self.0.delay.lock().unwrap();
        tokio::time::sleep(delay).await;
        if let Some(reason) = self.0.lacks.lock().unwrap().clone() {
            return ProbeResult::Inconclusive { reason }.into();
        }
        let weight =
            WeightReport::Reported(EndpointWeight::whole(self.0.weight.load(Ordering::Relaxed) as u32));
        let result = match self.0.up.lock().unwrap().get(&address) {
            Some(true) => ProbeResult::Success { weight },
            _ => ProbeResult::Failure {
                reason: "connection refused".to_owned(),
                weight,
            },
        };
        result.into()
    }
}

const A: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const B: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));

fn target(address: IpAddr) -> TargetId {
    TargetId {
        check: ResourcePath::from_canonical("projects/p/regions/r/healthChecks/h"),
        address,
        via: None,
    }
}

fn check(interval: u32) -> Arc<HealthCheck> {
    Arc::new(HealthCheck {
        path: target(A).check,
        check_interval_sec: interval,
        timeout_sec: interval,
        healthy_threshold: 2,
        unhealthy_threshold: 3,
        log: false,
        probe: Probe::Tcp {
            tls: false,
            port: 80,
            proxy_header: ProxyHeader::None,
            request: Vec::new(),
            response: Vec::new(),
        },
    })
}

fn targets(addresses: &[IpAddr], interval: u32) -> BTreeMap<TargetId, Arc<HealthCheck>> {
    addresses
        .iter()
        .map(|address| (target(*address), check(interval)))
        .collect()
}

fn healthy(weight: u32) -> HealthState {
    HealthState {
        healthy: true,
        weight: Weight {
            value: EndpointWeight::whole(weight),
            error: None,
        },
        detail: None,
    }
}

/// The next event that says something about health (the first weight of a target is an event too).
async fn next_health(events: &mut mpsc::UnboundedReceiver<HealthEvent>, healthy: bool) -> HealthEvent {
    loop {
        let event = events.recv().await.expect("the checker lives");
        if event.state.healthy == healthy {
            return event;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_probe_is_soon_and_the_others_keep_the_interval() {
    let fake = Fake::default();
    fake.set(A, true);
    fake.0.weight.store(1, Ordering::Relaxed);
    let start = Instant::now();
    let (mut checker, mut events) = HealthChecker::with_prober(fake.clone(), BTreeMap::new());
    checker.set_targets(targets(&[A], 5));
    let event = events.recv().await.unwrap();
    assert_eq!(
        event,
        HealthEvent {
            target: target(A),
            state: healthy(1)
        }
    );
    let asked = fake.asked(A);
    assert!(
        asked[0] - start <= SHORT_START + Duration::from_millis(1),
        "{:?}",
        asked[0] - start
    );
    assert_eq!(asked.len(), 2, "healthy after exactly the threshold");
    let first_gap = asked[1] - asked[0];
    assert!(
        first_gap >= Duration::from_millis(2_498) && first_gap <= Duration::from_millis(7_502),
        "{first_gap:?}"
    );
    tokio::time::sleep(Duration::from_secs(50)).await;
    for pair in fake.asked(A)[1..].windows(2) {
        let gap = pair[1] - pair[0];
        assert!(
            gap.abs_diff(Duration::from_secs(5)) <= Duration::from_millis(2),
            "{gap:?}"
        );
    }
    assert!(events.try_recv().is_err(), "nothing changed, so nothing is told");
}

#[tokio::test(start_paused = true)]
async fn health_and_weight_changes_are_told_and_details_are_in_the_snapshot() {
    let fake = Fake::default();
    fake.0.weight.store(1, Ordering::Relaxed);
    let (mut checker, mut events) = HealthChecker::with_prober(fake.clone(), BTreeMap::new());
    checker.set_targets(targets(&[A], 1));
    assert_eq!(
        checker.snapshot(),
        BTreeMap::from([(target(A), HealthState::initial())])
    );
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(events.try_recv().is_err(), "it was unhealthy and is");
    assert_eq!(
        checker.snapshot()[&target(A)].detail.as_deref(),
        Some("connection refused")
    );

    fake.set(A, true);
    assert_eq!(events.recv().await.unwrap().state, healthy(1));
    fake.0.weight.store(7, Ordering::Relaxed);
    assert_eq!(events.recv().await.unwrap().state, healthy(7));
    let down_at = Instant::now();
    fake.set(A, false);
    let event = events.recv().await.unwrap();
    assert!(!event.state.healthy);
    let took = Instant::now() - down_at;
    assert!(
        took >= Duration::from_secs(2) && took <= Duration::from_secs(4),
        "{took:?}"
    );
    assert_eq!(checker.snapshot()[&target(A)], event.state);
}

#[tokio::test(start_paused = true)]
async fn targets_come_and_go_without_disturbing_the_others() {
    let fake = Fake::default();
    fake.set(A, true);
    fake.set(B, true);
    let (mut checker, mut events) = HealthChecker::with_prober(fake.clone(), BTreeMap::new());
    checker.set_targets(targets(&[A], 10));
    next_health(&mut events, true).await;
    let before = fake.asked(A);

    checker.set_targets(targets(&[A, B], 10));
    assert_eq!(next_health(&mut events, true).await.target, target(B));
    for pair in fake.asked(A)[before.len() - 1..].windows(2) {
        assert!(
            pair[1] - pair[0] >= Duration::from_millis(9_990),
            "A's pace did not change"
        );
    }

    checker.set_targets(targets(&[B], 10));
    let asked = fake.asked(A).len();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(fake.asked(A).len(), asked, "A is not probed any more");
    assert_eq!(checker.snapshot().into_keys().collect::<Vec<_>>(), [target(B)]);

    checker.set_targets(targets(&[A, B], 10));
    assert!(
        !checker.snapshot()[&target(A)].healthy,
        "a target that comes back starts unhealthy"
    );
    assert!(checker.snapshot()[&target(B)].healthy);
}

#[tokio::test(start_paused = true)]
async fn a_changed_check_acts_at_once_and_keeps_the_health() {
    let fake = Fake::default();
    fake.set(A, true);
    let (mut checker, mut events) = HealthChecker::with_prober(fake.clone(), BTreeMap::new());
    checker.set_targets(targets(&[A], 300));
    next_health(&mut events, true).await;
    let asked = fake.asked(A).len();
    let changed_at = Instant::now();
    checker.set_targets(targets(&[A], 2));
    assert!(checker.snapshot()[&target(A)].healthy);
    fake.set(A, false);
    next_health(&mut events, false).await;
    let took = Instant::now() - changed_at;
    assert!(
        took <= Duration::from_secs(6),
        "three failures at the new interval: {took:?}"
    );
    assert_eq!(fake.asked(A).len(), asked + 3);
}

#[tokio::test(start_paused = true)]
async fn a_probe_in_flight_when_its_check_changes_does_not_count() {
    let fake = Fake::default();
    *fake.0.delay.lock().unwrap() = Duration::from_secs(4);
    let (mut checker, mut events) = HealthChecker::with_prober(fake.clone(), BTreeMap::new());
    checker.set_targets(targets(&[A], 5));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(fake.asked(A).len(), 1);
    *fake.0.delay.lock().unwrap() = Duration::ZERO;
    checker.set_targets(targets(&[A], 300));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(fake.asked(A).len(), 2);
    // The fake reports weight 0, which is an event by itself: exactly one probe has ended.
    assert_eq!(
        events.try_recv().unwrap().state.weight.value,
        EndpointWeight::ZERO
    );
    tokio::time::sleep(Duration::from_secs(100)).await;
    assert!(events.try_recv().is_err());
}

#[tokio::test(start_paused = true)]
async fn a_seed_spares_the_threshold() {
    let fake = Fake::default();
    fake.set(A, true);
    fake.0.weight.store(5, Ordering::Relaxed);
    let seed = BTreeMap::from([(target(A), healthy(5)), (target(B), healthy(5))]);
    let (mut checker, mut events) = HealthChecker::with_prober(fake.clone(), seed);
    checker.set_targets(targets(&[A], 5));
    assert!(checker.snapshot()[&target(A)].healthy);
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert!(events.try_recv().is_err(), "it was healthy and is");
    checker.set_targets(targets(&[A, B], 5));
    assert!(
        !checker.snapshot()[&target(B)].healthy,
        "a seed is for the first targets only"
    );
}

fn at_vip(address: IpAddr, vip: u8) -> TargetId {
    TargetId {
        via: Some(Via {
            vip: Ipv4Addr::new(203, 0, 113, vip).into(),
            delivery: Delivery::Auto,
        }),
        ..target(address)
    }
}

#[tokio::test(start_paused = true)]
async fn another_vip_starts_with_the_health_at_the_one_before() {
    let fake = Fake::default();
    fake.set(A, true);
    let (mut checker, mut events) = HealthChecker::with_prober(fake.clone(), BTreeMap::new());
    let probed = |targets: &[TargetId]| targets.iter().map(|target| (target.clone(), check(5))).collect();
    checker.set_targets(probed(&[at_vip(A, 1), at_vip(B, 1)]));
    assert_eq!(next_health(&mut events, true).await.target, at_vip(A, 1));

    checker.set_targets(probed(&[at_vip(A, 2), at_vip(B, 2)]));
    assert!(checker.snapshot()[&at_vip(A, 2)].healthy);
    assert!(!checker.snapshot()[&at_vip(B, 2)].healthy);
    assert_eq!(next_health(&mut events, true).await.target, at_vip(A, 2));

    checker.set_targets(probed(&[at_vip(A, 2), at_vip(A, 3)]));
    assert!(
        !checker.snapshot()[&at_vip(A, 3)].healthy,
        "one VIP says nothing about another beside it"
    );
}

#[tokio::test(start_paused = true)]
async fn a_seed_of_an_endpoint_that_was_probed_elsewhere_is_taken_over() {
    let seed = BTreeMap::from([(target(A), healthy(5)), (at_vip(B, 1), healthy(5))]);
    let (mut checker, mut events) = HealthChecker::with_prober(Fake::default(), seed);
    checker.set_targets(BTreeMap::from([(at_vip(A, 1), check(5)), (target(B), check(5))]));
    assert!(checker.snapshot().values().all(|state| state.healthy));
    let told = [
        events.recv().await.unwrap().target,
        events.recv().await.unwrap().target,
    ];
    assert_eq!(told, [at_vip(A, 1), target(B)]);
}

#[test]
fn of_several_legacies_the_unhealthy_one_counts() {
    let leaving = [(at_vip(A, 1), true), (at_vip(A, 2), false), (at_vip(A, 3), true)];
    let leaving = leaving.map(|(target, is_healthy)| {
        let state = HealthState {
            healthy: is_healthy,
            ..healthy(1)
        };
        (target, state)
    });
    let new = [target(A), target(B)];
    let heirs = heirs(leaving.iter().map(|(target, state)| (target, state)), new.iter());
    let health: Vec<_> = heirs
        .iter()
        .map(|(target, state)| (target, state.healthy))
        .collect();
    assert_eq!(health, [(&target(A), false)], "and B has nothing to take over");
}

#[test]
fn a_target_is_kept_as_it_is_and_as_it_was_before_there_were_vips() {
    for target in [target(A), at_vip(A, 1)] {
        let text = serde_json::to_string(&target).unwrap();
        assert_eq!(serde_json::from_str::<TargetId>(&text).unwrap(), target, "{text}");
    }
    let before = r#"{"check":"projects/p/regions/r/healthChecks/h","address":"192.0.2.1"}"#;
    assert_eq!(serde_json::from_str::<TargetId>(before).unwrap(), target(A));
}

#[tokio::test(start_paused = true)]
async fn dropping_the_checker_ends_the_probes() {
    let fake = Fake::default();
    let (mut checker, mut events) = HealthChecker::with_prober(fake.clone(), BTreeMap::new());
    checker.set_targets(targets(&[A], 1));
    tokio::time::sleep(Duration::from_secs(2)).await;
    drop(checker);
    while events.recv().await.is_some() {}
    let asked = fake.asked(A).len();
    assert!(asked > 0);
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(fake.asked(A).len(), asked);
}

#[tokio::test(start_paused = true)]
async fn thousands_of_targets_are_spread() {
    let fake = Fake::default();
    let addresses: Vec<IpAddr> = (0..4000u32)
        .map(|n| Ipv4Addr::from(0x0a00_0000 + n).into())
        .collect();
    let (mut checker, _events) = HealthChecker::with_prober(fake.clone(), BTreeMap::new());
    let start = Instant::now();
    checker.set_targets(targets(&addresses, 5));
    tokio::time::sleep(Duration::from_secs(60)).await;
    let asked = fake.0.asked.lock().unwrap();
    let between = |from: u64, to: u64| {
        let range = Duration::from_millis(from)..Duration::from_millis(to);
        asked
            .iter()
            .filter(|(_, when)| range.contains(&(*when - start)))
            .count()
    };
    // First within 800 ms, then all over the interval.
    assert_eq!(between(0, 802), 4000);
    for (from, to, expected) in [(0, 400, 2000), (30_000, 31_000, 800), (33_300, 34_300, 800)] {
        let count = between(from, to);
        assert!(count.abs_diff(expected) <= expected / 5, "{from} ms: {count}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_an_earlier_run_knew_is_probed_in_turn() {
    let fake = Fake::default();
    let addresses: Vec<IpAddr> = (1..=200).map(|n| Ipv4Addr::new(192, 0, 2, n).into()).collect();
    let seed = addresses
        .iter()
        .map(|address| (target(*address), healthy(1)))
        .collect();
    let (mut checker, _events) = HealthChecker::with_prober(fake.clone(), seed);
    let (start, start_since_boot) = (Instant::now(), checker.shared.clock.now());
    let interval = Duration::from_secs(10);
    checker.set_targets(targets(&addresses, 10));
    tokio::time::sleep(interval + Duration::from_millis(5)).await;
    for address in addresses {
        let rhythm = rhythm::Rhythm::new(&target(address), interval);
        let due = rhythm.at_or_after(start_since_boot) - start_since_boot;
        let late = (fake.asked(address)[0] - start).abs_diff(due);
        assert!(late <= Duration::from_millis(2), "{address} {late:?}");
    }
}

/// A prober with few descriptors.
struct Narrow(Fake);

impl Prober for Narrow {
    async fn probe(&self, target: &TargetId, check: &HealthCheck) -> Probed {
        self.0.probe(target, check).await
    }

    fn concurrency(&self) -> usize {
        3
    }
}

#[tokio::test(start_paused = true)]
async fn probes_beyond_the_bound_wait_and_are_made_late() {
    let fake = Fake::default();
    *fake.0.delay.lock().unwrap() = Duration::from_secs(1);
    let addresses: Vec<IpAddr> = (1..=9).map(|n| Ipv4Addr::new(192, 0, 2, n).into()).collect();
    let (mut checker, _events) = HealthChecker::with_prober(Narrow(fake.clone()), BTreeMap::new());
    checker.set_targets(targets(&addresses, 300));
    tokio::time::sleep(Duration::from_secs(10)).await;
    let pace = checker.pace();
    assert_eq!((pace.probes, pace.most_in_flight), (9, 3));
    let late = pace.max_lateness;
    assert!(
        late > Duration::from_secs(1) && late < Duration::from_secs(3),
        "{late:?}"
    );
    assert_eq!(checker.pace().probes, 0);
}

#[tokio::test(start_paused = true)]
async fn what_this_host_cannot_probe_keeps_its_health_and_is_counted() {
    let fake = Fake::default();
    let (mut checker, mut events) = HealthChecker::with_prober(fake.clone(), BTreeMap::new());
    checker.set_targets(BTreeMap::from([(target(A), check(1)), (target(B), check(1))]));
    fake.set(A, true);
    next_health(&mut events, true).await;
    fake.set(A, false);
    *fake.0.lacks.lock().unwrap() = Some("there is no device lb-probe".to_owned());
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(events.try_recv().is_err(), "no health changed");
    let state = checker.state(&target(A)).unwrap();
    assert!(state.healthy);
    assert_eq!(state.detail.as_deref(), Some("there is no device lb-probe"));
    let report = checker.inconclusive();
    assert_eq!(report.targets, 2);
    assert!(report.probes >= 100, "{report:?}");
    assert!(
        report
            .warning()
            .is_some_and(|warning| warning.contains("2 endpoints"))
    );

    checker.set_targets(BTreeMap::from([(target(A), check(1))]));
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(checker.inconclusive().targets, 1, "one is probed no more");
    *fake.0.lacks.lock().unwrap() = None;
    next_health(&mut events, false).await;
    assert_eq!(checker.inconclusive().warning(), None);
}
