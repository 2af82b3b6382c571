//! What changes cost the control plane: judging resources, keeping them, compiling, comparing, and writing the kernel's
//! maps, with the library that the daemon is made of. Needs root.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use lb_common::maglev::{self, Candidate, SIZES, Walk};
use lb_common::rendezvous;
use lb_ctl::controller::{HealthChanges, History, HistoryPlace, Keeper as _};
use lb_ctl::dataplane::{LoadOptions, Program, Sizes, now};
use lb_ctl::health::{HealthState, TargetId};
use lb_ctl::model::{Config, ResourcePath};
use lb_ctl::net::{NextHop, NextHops};
use lb_ctl::plan::contents::Contents;
use lb_ctl::plan::diff::diff;
use lb_ctl::plan::{
    BuiltTables, HealthMap, Inputs, Limits, Plan, ProbeDestination, Scope as PlanScope, Ways, ZonePrefixes,
    compile,
};
use lb_ctl::resources::{
    DatabaseStore, Document, Mode, OwnedChanges, Owners, ResourceStore as _, Resources, Scope, StoreId,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::clock::Spread;
use super::progress::Progress;
use super::report::{Machine, Report, Row};
use super::{Extent, events};
use crate::conformance::world::with_small_tables;

/// One thing that was measured.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Case {
    pub name: String,
    pub services: u32,
    /// Of each service.
    pub endpoints: u32,
    pub runs: usize,
    pub median_ms: f64,
    pub worst_ms: f64,
    /// The median of what the runs had of a processor: less than the times on a machine that has other work.
    pub processor_ms: f64,
    /// The worst time that somebody else waited for an answer meanwhile, where a daemon was running.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub other_answer_ms: Option<f64>,
}

/// What the names of events of a running daemon begin with.
const OF_DAEMON: &str = "daemon, ";

impl Case {
    /// Which event of a running daemon it is, if it is one.
    pub fn event(&self) -> Option<&str> {
        self.name.strip_prefix(OF_DAEMON)
    }

    /// Of a daemon; the processor time is another process's.
    pub(super) fn of_event(
        name: &str,
        shape: Shape,
        times: &[Duration],
        worst_answer: Option<Duration>,
    ) -> Self {
        let spent = |time: &Duration| Spent {
            time: *time,
            processor: Duration::ZERO,
        };
        Self {
            other_answer_ms: worst_answer.map(milliseconds),
            ..Self::new(name, shape, times.iter().map(spent).collect())
        }
    }

    fn new(name: &str, (services, endpoints): Shape, runs: Vec<Spent>) -> Self {
        let times = Spread::of(runs.iter().map(|spent| milliseconds(spent.time)));
        let processor = Spread::of(runs.iter().map(|spent| milliseconds(spent.processor)));
        Self {
            name: name.to_owned(),
            services,
            endpoints,
            runs: runs.len(),
            median_ms: times.median,
            worst_ms: times.max,
            processor_ms: processor.median,
            other_answer_ms: None,
        }
    }
}

/// Services, and endpoints of each.
pub(super) type Shape = (u32, u32);

const SEED: u128 = 0x0c0f_fee0_0000_0000_0000_0000_0000_0002;
/// Health changes that are measured.
const FLIPS: u32 = 101;
const BUILDS: u32 = 21;

impl Row for Case {
    const HEADER: &'static [&'static str] = &[
        "CASE",
        "SERVICES",
        "ENDPOINTS",
        "RUNS",
        "MEDIAN MS",
        "WORST MS",
        "PROCESSOR MS",
        "OTHER ANSWER MS",
    ];

    fn row(&self) -> Vec<String> {
        let number = |milliseconds: f64| format!("{milliseconds:.3}");
        vec![
            self.name.clone(),
            self.services.to_string(),
            self.endpoints.to_string(),
            self.runs.to_string(),
            number(self.median_ms),
            number(self.worst_ms),
            match self.event() {
                Some(_) => "-".to_owned(),
                None => number(self.processor_ms),
            },
            self.other_answer_ms.map_or_else(|| "-".to_owned(), number),
        ]
    }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Every case; a quick run is enough to see that all of it works.
pub(super) fn run(extent: Extent, progress: &mut Progress) -> anyhow::Result<Report<Case>> {
    let quick = extent == Extent::Quick;
    let shapes: &[Shape] = match quick {
        true => &[(50, 20)],
        false => &[(1, 100), (100, 100), (1000, 100), (10_000, 10)],
    };
    let mut cases = Vec::new();
    for shape in shapes {
        progress.say(&format!("{} services of {} endpoints", shape.0, shape.1));
        cases.extend(World::new(*shape).measure());
    }
    progress.say("selection tables");
    cases.extend(tables(if quick { 50 } else { 1000 }));
    cases.extend(events::run(
        match quick {
            true => events::Extent {
                endpoints: 100,
                services: 50,
                runs: 2,
            },
            false => events::Extent {
                endpoints: 2000,
                services: 3000,
                runs: 10,
            },
        },
        progress,
    ));
    Ok(Report {
        part: "control".into(),
        machine: Machine::read()?,
        cases,
    })
}

/// What one run took.
#[derive(Clone, Copy, Debug, Default)]
struct Spent {
    time: Duration,
    processor: Duration,
}

impl std::ops::Add for Spent {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            time: self.time + other.time,
            processor: self.processor + other.processor,
        }
    }
}

impl std::iter::Sum for Spent {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), std::ops::Add::add)
    }
}

fn wait_for<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.expect("a runtime").block_on(future)
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, Spent) {
    let (start, processor) = (Instant::now(), processor_time());
    let done = work();
    let spent = Spent {
        time: start.elapsed(),
        processor: processor_time() - processor,
    };
    (done, spent)
}

/// What this thread has had.
fn processor_time() -> Duration {
    let time = nix::time::clock_gettime(nix::time::ClockId::CLOCK_THREAD_CPUTIME_ID);
    time.expect("every thread has a clock").into()
}

/// Services that share one health check, each with a group and a rule of its own.
struct World {
    shape: Shape,
    directory: PathBuf,
    documents: Vec<Document>,
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

impl World {
    fn new(shape: Shape) -> Self {
        let name = format!("lb-bench-{}-{}x{}", std::process::id(), shape.0, shape.1);
        let directory = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&directory).expect("a directory for the stores");
        Self {
            shape,
            directory,
            documents: documents(shape),
        }
    }

    fn measure(&self) -> Vec<Case> {
        let (resources, config, judge) = self.judge();
        let keep = keep(&self.directory, &resources);
        let mut installed = Installed::new(&self.directory, config, self.shape);
        let case = |name, times| Case::new(name, self.shape, times);
        let stages = installed.install_all();
        let whole = judge + keep + stages.iter().map(|(_, time)| *time).sum::<Spent>();
        let mut cases = vec![
            case("apply everything: judge", vec![judge]),
            case("apply everything: keep resources", vec![keep]),
        ];
        cases.extend(stages.into_iter().map(|(name, time)| case(name, vec![time])));
        cases.push(case("apply everything: in all", vec![whole]));
        cases.extend(installed.flip_health().map(|(name, times)| case(name, times)));
        let (one, judge, keep) = self.change_one_endpoint(&resources);
        let stages = installed.change(one);
        let whole = judge + keep + stages;
        cases.push(case("attach one endpoint: judge", vec![judge]));
        cases.push(case("attach one endpoint: keep resources", vec![keep]));
        cases.push(case("attach one endpoint: in all", vec![whole]));
        cases
    }

    fn judge(&self) -> (Resources, Config, Spent) {
        let (applied, time) = timed(|| apply(&Resources::default(), &self.documents));
        (applied.0, applied.1, time)
    }

    fn change_one_endpoint(&self, resources: &Resources) -> (Config, Spent, Spent) {
        let changed = Document {
            source: "bench".to_owned(),
            json_path: "$".to_owned(),
            value: group(0, self.shape.1 + 1),
        };
        let ((next, config), judge) = timed(|| apply(resources, &[changed]));
        let store = DatabaseStore::open(&self.directory).expect("the store");
        let nobody = Owners::new();
        let ((), keep) = timed(|| {
            let changes = OwnedChanges::between((resources, &nobody), (&next, &nobody));
            wait_for(store.propose(changes)).expect("a commit");
        });
        (config, judge, keep)
    }
}

fn apply(resources: &Resources, documents: &[Document]) -> (Resources, Config) {
    let applied = resources
        .apply(
            documents,
            &Scope::default(),
            Mode::Additive,
            jiff::Timestamp::now(),
        )
        .unwrap_or_else(|faults| panic!("the benchmark's resources are refused: {}", faults[0]));
    // Tens of thousands of services have smaller tables than a few.
    (applied.resources, with_small_tables(applied.config))
}

fn keep(directory: &Path, resources: &Resources) -> Spent {
    let store = DatabaseStore::open(directory).expect("a store");
    let (nothing, nobody) = (Resources::default(), Owners::new());
    let ((), time) = timed(|| {
        let changes = OwnedChanges::between((&nothing, &nobody), (resources, &nobody));
        wait_for(store.propose(changes)).expect("a commit");
    });
    time
}

/// A configuration and the kernel's maps that follow it.
struct Installed {
    config: Config,
    health: HealthMap,
    next_hops: NextHops,
    zones: ZonePrefixes,
    limits: Limits,
    history: History,
    program: Program,
    plan: Plan,
    actual: Contents,
}

impl Installed {
    fn new(directory: &Path, config: Config, shape: Shape) -> Self {
        let sizes = sizes(shape);
        let options = LoadOptions {
            sizes,
            seed: SEED,
            answer_echo: false,
            trace_packets: false,
            test_now: 0,
        };
        let place = HistoryPlace {
            runtime_dir: directory.to_owned(),
            state_dir: directory.to_owned(),
            store: StoreId::random().expect("a random number"),
        };
        let program = Program::load(&options, None).expect("the program (needs root)");
        let addresses = addresses(&config);
        let check = config
            .health_checks
            .keys()
            .next()
            .expect("a health check")
            .clone();
        let healthy = HealthState {
            healthy: true,
            ..HealthState::initial()
        };
        let health = addresses.iter().map(|address| {
            let target = TargetId {
                check: check.clone(),
                address: *address,
                via: None,
            };
            (target, healthy.clone())
        });
        Self {
            health: health.collect(),
            next_hops: addresses
                .iter()
                .map(|address| (*address, next_hop(*address)))
                .collect(),
            config,
            zones: ZonePrefixes::new(),
            limits: Limits::from(&sizes),
            history: History::open(&place, program.maps.incarnation()).expect("a history"),
            program,
            plan: Plan::default(),
            actual: Contents::default(),
        }
    }

    fn compile(&self, scope: PlanScope<'_>) -> Plan {
        let inputs = Inputs {
            probe_destination: ProbeDestination::OwnAddress,
            config: &self.config,
            health: &self.health,
            next_hops: &self.next_hops,
            ways: &Ways::new(),
            arrivals: &Arc::default(),
            zones: &self.zones,
            gue_port: 6080,
            seed: SEED,
            limits: self.limits,
            built: &BuiltTables::default(),
            inline_work: u64::MAX,
        };
        compile(&inputs, &self.plan, scope, now()).expect("it fits")
    }

    /// As the controller does it.
    fn install(&mut self, plan: Plan) -> [Spent; 3] {
        let ((), kept) = timed(|| {
            wait_for(self.history.save(&plan, HealthChanges::new())).expect("a history");
        });
        let (operations, compared) = timed(|| diff(&self.actual, &plan.contents));
        let ((), written) = timed(|| self.program.maps.apply(&operations).expect("the maps take it"));
        self.actual = plan.contents.clone();
        self.plan = plan;
        self.plan.note_applied(now());
        self.plan.forget_readers(self.plan.table_mark());
        [kept, compared, written]
    }

    fn install_all(&mut self) -> Vec<(&'static str, Spent)> {
        let (plan, compiled) = timed(|| self.compile(PlanScope::All));
        let [kept, compared, written] = self.install(plan);
        vec![
            ("apply everything: compile", compiled),
            ("apply everything: keep history", kept),
            ("apply everything: compare", compared),
            ("apply everything: write maps", written),
        ]
    }

    fn change(&mut self, config: Config) -> Spent {
        for address in addresses(&config) {
            self.next_hops.entry(address).or_insert_with(|| next_hop(address));
        }
        self.config = config;
        let (plan, compiled) = timed(|| self.compile(PlanScope::All));
        compiled + self.install(plan).into_iter().sum::<Spent>()
    }

    /// One endpoint after another fails, and comes back.
    fn flip_health(&mut self) -> impl Iterator<Item = (&'static str, Vec<Spent>)> {
        let targets: Vec<TargetId> = self.health.keys().cloned().collect();
        let owners = self.services_by_address();
        let mut stages: BTreeMap<&'static str, Vec<Spent>> = BTreeMap::new();
        for flip in 0..FLIPS {
            let target = &targets[flip as usize * 7919 % targets.len()];
            let state = self.health.get_mut(target).expect("a known target");
            state.healthy = !state.healthy;
            let touched = BTreeSet::from([owners[&target.address].clone()]);
            let (plan, compiled) = timed(|| self.compile(PlanScope::Services(&touched)));
            let [kept, compared, written] = self.install(plan);
            for (stage, time) in [
                ("one endpoint's health: compile", compiled),
                ("one endpoint's health: keep history", kept),
                ("one endpoint's health: compare", compared),
                ("one endpoint's health: write maps", written),
                (
                    "one endpoint's health: in all",
                    compiled + kept + compared + written,
                ),
            ] {
                stages.entry(stage).or_default().push(time);
            }
        }
        stages.into_iter()
    }

    fn services_by_address(&self) -> BTreeMap<IpAddr, ResourcePath> {
        let mut owners = BTreeMap::new();
        for (path, service) in &self.config.services {
            for backend in &service.backends {
                for endpoint in &self.config.groups[&backend.group].endpoints {
                    owners.extend(endpoint.ipv4.map(|address| (IpAddr::from(address), path.clone())));
                }
            }
        }
        owners
    }
}

fn sizes((services, endpoints): Shape) -> Sizes {
    let wanted = endpoints * lb_common::rendezvous::SLOTS_EACH;
    let table = SIZES.into_iter().find(|size| *size >= wanted).unwrap_or(SIZES[3]) + 1;
    let tables = (services + services / 8 + 16).saturating_mul(table);
    Sizes {
        flow_slots: 1 << 16,
        table_slots: tables.next_multiple_of(2).max(Sizes::default().table_slots),
        members: (services * (endpoints + 1) * 2).max(Sizes::default().members),
        backends: (services * (endpoints + 1) * 2).max(Sizes::default().backends),
        ..Sizes::default()
    }
}

fn addresses(config: &Config) -> Vec<IpAddr> {
    let endpoints = config.groups.values().flat_map(|group| &group.endpoints);
    endpoints
        .filter_map(|endpoint| endpoint.ipv4.map(IpAddr::from))
        .collect()
}

fn next_hop(address: IpAddr) -> NextHop {
    let IpAddr::V4(address) = address else {
        panic!("the benchmark has IPv4 endpoints only");
    };
    let [_, high, middle, low] = address.octets();
    NextHop::Resolved {
        ifindex: 1,
        source_mac: [2, 0, 0, 0, 0, 1],
        destination_mac: [2, 0, 1, high, middle, low],
        on_link: true,
        mtu: 1500,
        source_address: Some(Ipv4Addr::new(10, 255, 255, 254).into()),
    }
}

fn documents((services, endpoints): Shape) -> Vec<Document> {
    let check = json!({
        "kind": "compute#healthCheck", "name": "check", "region": "local", "type": "TCP",
        "tcpHealthCheck": {"port": 80},
    });
    let of_service = (0..services).flat_map(|service| {
        let name = format!("s{service}");
        let [_, high, middle, low] = (service + 1).to_be_bytes();
        [
            group(service, endpoints),
            json!({
                "kind": "compute#backendService", "name": name, "region": "local", "protocol": "TCP",
                "loadBalancingScheme": "EXTERNAL", "healthChecks": ["regions/local/healthChecks/check"],
                "backends": [{"group": format!("zones/local-a/networkEndpointGroups/{name}")}],
            }),
            json!({
                "kind": "compute#forwardingRule", "name": name, "region": "local", "IPProtocol": "TCP",
                "loadBalancingScheme": "EXTERNAL", "ports": ["80"],
                "IPAddress": Ipv4Addr::new(100, 64 + high, middle, low).to_string(),
                "backendService": format!("regions/local/backendServices/{name}"),
            }),
        ]
    });
    let values = std::iter::once(check).chain(of_service);
    let document = |(position, value)| Document {
        source: "bench".to_owned(),
        json_path: format!("$[{position}]"),
        value,
    };
    values.enumerate().map(document).collect()
}

fn group(service: u32, endpoints: u32) -> Value {
    let endpoint = |endpoint: u32| {
        let [_, high, middle, low] = (service * 512 + endpoint + 1).to_be_bytes();
        json!({"ipAddress": Ipv4Addr::new(10, high, middle, low).to_string()})
    };
    json!({
        "kind": "compute#networkEndpointGroup", "name": format!("s{service}"), "zone": "local-a",
        "networkEndpointType": "GCE_VM_IP",
        "networkEndpoints": (0..endpoints).map(endpoint).collect::<Vec<_>>(),
    })
}

/// Selection tables of 65 thousand slots, built whole.
fn tables(backends: u32) -> Vec<Case> {
    let candidates: Vec<Candidate> = (0..backends)
        .map(|number| Candidate {
            identity: lb_common::hash::identity(SEED, &number.to_be_bytes()),
            weight: 1,
            member: number + 1,
        })
        .collect();
    let shape = (1, backends);
    let mut table = vec![0; 65_537];
    let mut walks = vec![Walk::default(); candidates.len()];
    let maglev = (0..BUILDS).map(|_| timed(|| maglev::build(&candidates, &mut table, &mut walks)).1);
    let maglev = Case::new("Maglev, 65537 slots", shape, maglev.collect());
    table.truncate(1 << 16);
    let rendezvous = (0..BUILDS.min(5)).map(|_| timed(|| rendezvous::build(&candidates, &mut table)).1);
    let rendezvous = Case::new("rendezvous, 65536 slots", shape, rendezvous.collect());
    let updates = (0..BUILDS).map(|run| {
        let gone = candidates[run as usize % candidates.len()];
        let rest: Vec<Candidate> = candidates
            .iter()
            .copied()
            .filter(|other| *other != gone)
            .collect();
        let holder = |member: u32| {
            let stays = member != gone.member;
            stays.then(|| candidates[member as usize - 1])
        };
        let mut table = table.clone();
        timed(|| rendezvous::update(&mut table, &rest, &[], holder)).1
    });
    let updates = Case::new("rendezvous, one backend less", shape, updates.collect());
    let returns = (0..BUILDS).map(|run| {
        let new = candidates[run as usize % candidates.len()];
        let mut table = table.clone();
        let holder = |member: u32| (member != new.member).then(|| candidates[member as usize - 1]);
        timed(|| rendezvous::update(&mut table, &candidates, &[new], holder)).1
    });
    let returns = Case::new("rendezvous, one backend more", shape, returns.collect());
    vec![maglev, rendezvous, updates, returns]
}
