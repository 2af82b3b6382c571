//! Timeouts to the second, at every phase of a tick: none ends early, an idle timeout ends at most 4 s late, a drain
//! at most 1 s.

use std::collections::{BTreeMap, BTreeSet};

use lb_common::verdict::Reason;
use lb_ctl::health::Weight;
use lb_tests::conformance::bench::Bench;
use lb_tests::conformance::documents::{self, ZONE};
use lb_tests::conformance::packet::{Ends, Position, frame};
use lb_tests::conformance::rows::{self, Case, Policy};
use lb_tests::conformance::world::{State, World};
use serde_json::{Map, Value, json};

/// A tick, and all that its length can leave over.
const PHASES: std::ops::Range<u32> = 4000..4004;
const IDLE: [u32; 4] = [60, 61, 62, 63];
const DRAIN: u32 = 61;
const FAILOVER_DRAIN: u32 = 600;
/// Numbers of the services behind those of [`IDLE`].
const DRAINING: usize = 4;
const POOLS: usize = 5;

const SESSION: Policy = Policy {
    scheme: "EXTERNAL",
    affinity: "CLIENT_IP",
    mode: "PER_SESSION",
    persistence: "NEVER_PERSIST",
};

pub(crate) fn check(bench: &mut Bench) {
    for start in PHASES {
        Timeline::begin(bench, start).run();
    }
}

/// What changes in the course of a world.
#[derive(Clone, Copy)]
struct Scene {
    /// Endpoints of the group that the draining service has.
    staying: &'static str,
    unhealthy: &'static str,
}

fn session(index: usize, idle: u32, backends: Vec<Value>) -> Map<String, Value> {
    let mut service = documents::service(index, &SESSION, backends);
    service["connectionTrackingPolicy"]["enableStrongAffinity"] = true.into();
    service["connectionTrackingPolicy"]["idleTimeoutSec"] = idle.into();
    service
}

fn backend(group: &str, failover: bool) -> Value {
    json!({"group": format!("{ZONE}/networkEndpointGroups/{group}"), "failover": failover})
}

fn resources(scene: Scene) -> Value {
    let group = |name: &str, members: &str| documents::group(name, &members.chars().collect::<BTreeSet<_>>());
    let mut all = vec![
        documents::health_check(),
        group("steady", "cd"),
        group("leaving", scene.staying),
        group("primary", "ab"),
        group("standby", "f"),
    ];
    let mut services: Vec<_> = IDLE
        .iter()
        .enumerate()
        .map(|(index, idle)| session(index, *idle, vec![backend("steady", false)]))
        .collect();
    let mut draining = session(DRAINING, 2 * DRAIN, vec![backend("leaving", false)]);
    draining.insert("connectionDraining".into(), json!({"drainingTimeoutSec": DRAIN}));
    let pools = vec![backend("primary", false), backend("standby", true)];
    let mut pools = session(POOLS, 2 * FAILOVER_DRAIN, pools);
    pools.insert("failoverPolicy".into(), json!({"failoverRatio": 1.0}));
    services.extend([draining, pools]);
    for (index, service) in services.into_iter().enumerate() {
        all.push(Value::Object(service));
        all.extend(documents::rules(index, &SESSION));
    }
    Value::Array(all)
}

struct Timeline<'a> {
    world: World<'a>,
    start: u32,
    /// By service: one to be sent to when it must be alive, one when it must be gone.
    idle: Vec<[Ends; 2]>,
    draining: Ends,
    pools: Ends,
}

impl<'a> Timeline<'a> {
    fn begin(bench: &'a mut Bench, start: u32) -> Self {
        let mut world = World::new(bench, start);
        let scene = Scene {
            staying: "gh",
            unhealthy: "",
        };
        set(&mut world, scene);
        let idle = (0..IDLE.len()).map(|service| [(); 2].map(|()| open(&mut world, service, "cd")));
        let idle = idle.collect();
        let draining = open(&mut world, DRAINING, "g");
        let pools = open(&mut world, POOLS, "a");
        set(
            &mut world,
            Scene {
                staying: "h",
                unhealthy: "b",
            },
        );
        Self {
            world,
            start,
            idle,
            draining,
            pools,
        }
    }

    fn run(mut self) {
        let mut moments: BTreeMap<u32, Vec<(Ends, Reason)>> = BTreeMap::new();
        let mut at =
            |seconds: u32, ends: Ends, reason| moments.entry(seconds).or_default().push((ends, reason));
        for (idle, [alive, gone]) in IDLE.iter().zip(&self.idle) {
            at(*idle, *alive, Reason::ForwardTracked);
            at(*idle + 4, *gone, Reason::ForwardNew);
        }
        for (drain, ends) in [(DRAIN, self.draining), (FAILOVER_DRAIN, self.pools)] {
            at(drain, ends, Reason::ForwardTracked);
            at(drain + 1, ends, Reason::ForwardDiverted);
        }
        for (seconds, packets) in moments {
            self.world.pass_to(self.start + seconds);
            for (ends, expected) in packets {
                let seen = self.world.both(&frame(&datagram(), &ends, Position::Further));
                assert_eq!(
                    seen.reason, expected,
                    "{seconds} s after {}: {ends:?}",
                    self.start
                );
            }
        }
    }
}

fn set(world: &mut World<'_>, scene: Scene) {
    let state = |name| {
        let state = State {
            healthy: !scene.unhealthy.contains(name),
            weight: Weight::default(),
        };
        (name, state)
    };
    world.set_states(&resources(scene), &"abcdfgh".chars().map(state).collect());
}

fn datagram() -> Case {
    let mut cases = rows::cases().into_iter();
    cases
        .find(|case| case.name == "UDP" && !case.is_ipv6)
        .expect("UDP is in the table")
}

/// A flow to one of `backends`, which begins now.
fn open(world: &mut World<'_>, service: usize, backends: &str) -> Ends {
    for _ in 0..200 {
        let ends = world.client(documents::vip(service, false, false));
        let seen = world.both(&frame(&datagram(), &ends, Position::First));
        assert_eq!(seen.reason, Reason::ForwardNew);
        if seen.backend.is_some_and(|backend| backends.contains(backend)) {
            return ends;
        }
    }
    panic!("no flow goes to {backends}");
}
