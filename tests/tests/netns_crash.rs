//! SIGKILL at random instants: what was acknowledged is there, what was not is there whole or not at all, and the
//! kernel's maps hold what the store says.
//!
//! `LB_CRASH_SEED` repeats a run; the seed of every run is printed. `LB_CRASH_KILLS` is another number of kills.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use lb_ctl::client::{Client, ClientError};
use lb_ctl::control::wire::{ApplyRequest, WireDocument};
use lb_ctl::control::{ApplyOptions, ApplyReport};
use lb_ctl::views::Verification;
use lb_tests::daemon::Daemon;
use lb_tests::random::{Random, number, seed};
use lb_tests::topology::{BACKENDS, Lab};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

const KILLS: u32 = 200;
/// Every so many kills one hits a daemon that is starting.
const EARLY: u32 = 8;
/// Mutations before a kill, at most; it comes in the midst of one.
const MOST_MUTATIONS: u64 = 6;
const LONGEST_DELAY: Duration = Duration::from_millis(12);
const SLOTS: u64 = 8;
const START: Duration = Duration::from_secs(60);

/// What a mutation makes of a slot: a service with its group and rule, or the absence of the rule.
#[derive(Clone, Debug, PartialEq, Eq)]
struct State {
    version: u64,
    endpoints: u64,
    has_rule: bool,
}

#[derive(Clone, Copy, Debug)]
enum Mutation {
    Put { slot: u64, version: u64, endpoints: u64 },
    DeleteRule { slot: u64 },
}

const REGION: &str = "/compute/v1/projects/crash/regions/r";

impl Mutation {
    fn slot(self) -> u64 {
        match self {
            Self::Put { slot, .. } | Self::DeleteRule { slot } => slot,
        }
    }

    fn after(self, before: Option<&State>) -> State {
        match (self, before) {
            (
                Self::Put {
                    version, endpoints, ..
                },
                _,
            ) => State {
                version,
                endpoints,
                has_rule: true,
            },
            (Self::DeleteRule { .. }, Some(before)) => State {
                has_rule: false,
                ..before.clone()
            },
            (Self::DeleteRule { .. }, None) => panic!("only what is there is deleted"),
        }
    }

    async fn send(self, client: &Client, hosts: &[Ipv4Addr]) -> Result<(), ClientError> {
        match self {
            Self::Put {
                slot,
                version,
                endpoints,
            } => {
                let documents = resources(hosts, slot, version, endpoints);
                let request = ApplyRequest {
                    documents: documents.into_iter().map(document).collect(),
                    options: ApplyOptions::default(),
                };
                client
                    .post::<ApplyReport>("/lb/v1/apply", &request)
                    .await
                    .map(drop)
            }
            Self::DeleteRule { slot } => {
                let path = format!("{REGION}/forwardingRules/s{slot}");
                client.delete::<Value>(&path).await.map(drop)
            }
        }
    }
}

fn document(value: Value) -> WireDocument {
    WireDocument {
        source: "crash".to_owned(),
        json_path: "$".to_owned(),
        value,
    }
}

/// Group, service and rule, each with the version in its description.
fn resources(hosts: &[Ipv4Addr], slot: u64, version: u64, endpoints: u64) -> [Value; 3] {
    let (name, description) = (format!("s{slot}"), version.to_string());
    let endpoint = |address: &Ipv4Addr| json!({"ipAddress": address.to_string()});
    [
        json!({
            "kind": "compute#networkEndpointGroup", "name": name, "zone": "projects/crash/zones/z",
            "description": description, "networkEndpointType": "GCE_VM_IP",
            "networkEndpoints": hosts[..endpoints as usize].iter().map(endpoint).collect::<Vec<_>>(),
        }),
        json!({
            "kind": "compute#backendService", "name": name, "region": "projects/crash/regions/r",
            "description": description, "protocol": "TCP", "loadBalancingScheme": "EXTERNAL",
            "backends": [{"group": format!("projects/crash/zones/z/networkEndpointGroups/{name}")}],
        }),
        json!({
            "kind": "compute#forwardingRule", "name": name, "region": "projects/crash/regions/r",
            "description": description, "IPProtocol": "TCP", "loadBalancingScheme": "EXTERNAL",
            "IPAddress": format!("192.0.2.{}", slot + 1), "ports": ["80"],
            "backendService": format!("projects/crash/regions/r/backendServices/{name}"),
        }),
    ]
}

/// What the daemon must hold: what it acknowledged, and perhaps the one mutation that it did not answer.
#[derive(Default)]
struct Ledger {
    acknowledged: BTreeMap<u64, State>,
    open: Option<Mutation>,
    version: u64,
    mutations: u64,
}

impl Ledger {
    fn next(&mut self, random: &mut Random) -> Mutation {
        let slot = random.below(SLOTS);
        let has_rule = self.acknowledged.get(&slot).is_some_and(|state| state.has_rule);
        self.mutations += 1;
        if has_rule && random.below(4) == 0 {
            return Mutation::DeleteRule { slot };
        }
        self.version += 1;
        Mutation::Put {
            slot,
            version: self.version,
            endpoints: random.below(BACKENDS.len() as u64 + 1),
        }
    }

    fn acknowledge(&mut self, mutation: Mutation) {
        let state = mutation.after(self.acknowledged.get(&mutation.slot()));
        self.acknowledged.insert(mutation.slot(), state);
    }

    /// Takes over what became of the open mutation, and panics where anything else is not as it was acknowledged.
    #[track_caller]
    fn settle(&mut self, stored: &BTreeMap<u64, State>) {
        if let Some(open) = self.open.take() {
            let before = self.acknowledged.get(&open.slot()).cloned();
            let after = open.after(before.as_ref());
            if stored.get(&open.slot()) == Some(&after) {
                self.acknowledged.insert(open.slot(), after);
            }
        }
        assert_eq!(*stored, self.acknowledged);
    }
}

/// The slots as the daemon shows them. A part without its others is a commit that was torn.
async fn stored(client: &Client) -> BTreeMap<u64, State> {
    let all: BTreeMap<String, Value> = client.get("/lb/v1/resources").await.expect("the resources");
    let part = |collection: &str, slot: u64| {
        let place = match collection {
            "networkEndpointGroups" => "zones/z",
            _ => "regions/r",
        };
        all.get(&format!("projects/crash/{place}/{collection}/s{slot}"))
    };
    let mut slots = BTreeMap::new();
    for slot in 0..SLOTS {
        let (service, group) = (part("backendServices", slot), part("networkEndpointGroups", slot));
        let (Some(service), Some(group)) = (service, group) else {
            assert!(service.is_none() && group.is_none(), "half of slot {slot}");
            continue;
        };
        assert_eq!(
            service["description"], group["description"],
            "slot {slot} is torn"
        );
        let rule = part("forwardingRules", slot);
        if let Some(rule) = rule {
            assert_eq!(rule["description"], service["description"], "slot {slot} is torn");
        }
        let text = service["description"].as_str().expect("a description");
        slots.insert(
            slot,
            State {
                version: text.parse().expect("a version"),
                endpoints: group["networkEndpoints"].as_array().map_or(0, Vec::len) as u64,
                has_rule: rule.is_some(),
            },
        );
    }
    slots
}

/// Kills the process in the midst of the mutation of this number, after a delay.
fn kill_during(pid: u32, sent: Arc<AtomicU64>, number: u64, delay: Duration) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        while sent.load(Ordering::Acquire) < number {
            std::thread::yield_now();
        }
        let start = Instant::now();
        while start.elapsed() < delay {
            std::hint::spin_loop();
        }
        kill(Pid::from_raw(pid as i32), Signal::SIGKILL).expect("the daemon runs");
    })
}

#[test]
fn two_hundred_kills_lose_nothing_that_was_acknowledged() {
    let mut random = Random::new(seed("LB_CRASH_SEED"));
    let lab = Lab::flat("crash");
    // They exist, so that a start does not wait for their neighbour entries.
    let hosts = BACKENDS.map(|name| lab.host(name).ipv4);
    let mut daemon = Daemon::new(&lab);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let client = daemon.client();
    let mut ledger = Ledger::default();
    let kills = number("LB_CRASH_KILLS").map_or(KILLS, |kills| kills as u32);
    for number in 0..kills {
        daemon.launch();
        if number % EARLY == EARLY - 1 {
            let delay = Duration::from_micros(random.below(150_000));
            let killer = kill_during(daemon.pid(), Arc::default(), 0, delay);
            killer.join().expect("the killer");
            daemon.kill();
            continue;
        }
        runtime.block_on(look(&mut daemon, &client, &mut ledger));
        let sent = Arc::new(AtomicU64::new(0));
        let mutations = 1 + random.below(MOST_MUTATIONS);
        let delay = Duration::from_micros(random.below(LONGEST_DELAY.as_micros() as u64));
        let killer = kill_during(daemon.pid(), sent.clone(), mutations, delay);
        runtime.block_on(mutate(&client, &hosts, &mut ledger, &mut random, &sent));
        killer.join().expect("the killer");
        daemon.kill();
    }
    daemon.launch();
    runtime.block_on(look(&mut daemon, &client, &mut ledger));
    eprintln!("{} mutations, {kills} kills", ledger.mutations);
    assert!(ledger.mutations > u64::from(kills));
}

/// The daemon answers, holds what it must, and the maps hold what it says.
async fn look(daemon: &mut Daemon<'_>, client: &Client, ledger: &mut Ledger) {
    let started = Instant::now();
    let verification = loop {
        match client.get::<Verification>("/lb/v1/verify").await {
            Ok(verification) => break verification,
            Err(error) => {
                daemon.assert_alive();
                assert!(started.elapsed() < START, "{error}");
                tokio::task::yield_now().await;
            }
        }
    };
    assert_eq!(verification.differences, [""; 0]);
    let stored = stored(client).await;
    ledger.settle(&stored);
    let served = stored.values().filter(|state| state.has_rule).count();
    assert!(verification.services >= served, "{verification:?} for {stored:?}");
}

/// One mutation after another until the daemon is gone.
async fn mutate(
    client: &Client,
    hosts: &[Ipv4Addr],
    ledger: &mut Ledger,
    random: &mut Random,
    sent: &AtomicU64,
) {
    loop {
        let mutation = ledger.next(random);
        ledger.open = Some(mutation);
        sent.fetch_add(1, Ordering::Release);
        match mutation.send(client, hosts).await {
            Ok(()) => {
                ledger.open = None;
                ledger.acknowledge(mutation);
            }
            Err(ClientError::Refused { message, .. }) => panic!("{mutation:?} is refused: {message}"),
            Err(_) => return,
        }
    }
}
