//! The eligible set of every small combination of pools, health, ratio and weights, seen by where new flows go.

use std::collections::{BTreeMap, BTreeSet};

use lb_ctl::health::{Weight, WeightError};
use lb_ctl::model::EndpointWeight;
use lb_tests::conformance::documents::{self, ZONE};
use lb_tests::conformance::eligible::{self, FailoverPolicy, Pools, Set, WEIGHTED};
use lb_tests::conformance::packet::{Position, frame};
use lb_tests::conformance::rows::{self, Case, Policy};
use serde_json::{Value, json};

use super::START;
use super::tuples::Report;
use lb_tests::conformance::bench::{Bench, Seen};
use lb_tests::conformance::world::{State, World};

/// New flows of each service; a backend of three is not reached by chance once in 10^8.
const FLOWS: usize = 48;

const HEALTHY_PRIMARIES: &str = "ABC";
const UNHEALTHY_PRIMARIES: &str = "KLM";
const HEALTHY_FAILOVERS: &str = "FG";
const UNHEALTHY_FAILOVERS: &str = "RS";

const RATIOS: [u32; 7] = [0, 1, 33, 34, 50, 67, 100];

fn first(names: &str, count: u32) -> BTreeSet<char> {
    names.chars().take(count as usize).collect()
}

struct Endpoints {
    primaries: BTreeSet<char>,
    failovers: BTreeSet<char>,
    pools: Pools,
}

fn endpoints() -> Vec<Endpoints> {
    let mut all = Vec::new();
    for hp in 0..=3 {
        for up in 0..=3 - hp {
            for hf in 0..=2 {
                for uf in 0..=2 - hf {
                    all.push(Endpoints {
                        primaries: &first(HEALTHY_PRIMARIES, hp) | &first(UNHEALTHY_PRIMARIES, up),
                        failovers: &first(HEALTHY_FAILOVERS, hf) | &first(UNHEALTHY_FAILOVERS, uf),
                        pools: Pools {
                            healthy_primaries: hp,
                            unhealthy_primaries: up,
                            healthy_failovers: hf,
                            unhealthy_failovers: uf,
                        },
                    });
                }
            }
        }
    }
    all
}

fn policies() -> Vec<Option<FailoverPolicy>> {
    let with = |drops| RATIOS.map(|ratio| Some(FailoverPolicy { ratio, drops }));
    [None].into_iter().chain(with(false)).chain(with(true)).collect()
}

fn udp() -> Case {
    let mut cases = rows::cases().into_iter();
    cases
        .find(|case| case.name == "UDP" && !case.is_ipv6)
        .expect("UDP is a case")
}

fn policy(scheme: &'static str) -> Policy {
    let mut policies = rows::accepted().into_iter();
    policies
        .find(|policy| policy.scheme == scheme)
        .expect("both schemes are there")
}

fn health() -> BTreeMap<char, State> {
    let of = |names: &str, healthy| {
        let state = State {
            healthy,
            weight: Weight::default(),
        };
        names.chars().map(move |name| (name, state)).collect::<Vec<_>>()
    };
    let healthy = of(HEALTHY_PRIMARIES, true)
        .into_iter()
        .chain(of(HEALTHY_FAILOVERS, true));
    let unhealthy = of(UNHEALTHY_PRIMARIES, false)
        .into_iter()
        .chain(of(UNHEALTHY_FAILOVERS, false));
    healthy.chain(unhealthy).collect()
}

pub(crate) fn run(bench: &mut Bench) -> Report {
    let mut report = Report::default();
    for scheme in rows::SCHEMES {
        for endpoints in endpoints() {
            services_of(bench, scheme, &endpoints, &mut report);
        }
        weighted(bench, scheme, &mut report);
    }
    report
}

fn groups(sets: &[(&str, &BTreeSet<char>)]) -> Vec<Value> {
    let groups = sets.iter().map(|(name, members)| documents::group(name, members));
    std::iter::once(documents::health_check()).chain(groups).collect()
}

fn backend(name: &str, failover: bool) -> Value {
    json!({"group": format!("{ZONE}/networkEndpointGroups/{name}"), "failover": failover})
}

/// Services with the same endpoints and every failover policy.
fn services_of(bench: &mut Bench, scheme: &'static str, endpoints: &Endpoints, report: &mut Report) {
    let character = policy(scheme);
    let mut all = groups(&[
        ("primary", &endpoints.primaries),
        ("standby", &endpoints.failovers),
    ]);
    let policies = policies();
    for (index, failover) in policies.iter().enumerate() {
        let backends = vec![backend("primary", false), backend("standby", true)];
        let mut service = documents::service(index, &character, backends);
        if let Some(FailoverPolicy { ratio, drops }) = failover {
            let ratio = f64::from(*ratio) / 100.0;
            let value = json!({"failoverRatio": ratio, "dropTrafficIfUnhealthy": drops});
            service.insert("failoverPolicy".into(), value);
        }
        all.push(Value::Object(service));
        all.extend(documents::rules(index, &character));
    }
    let mut world = World::new(bench, START);
    world.set_states(&Value::Array(all), &health());
    for (index, failover) in policies.iter().enumerate() {
        let set = eligible::eligible(&endpoints.pools, *failover);
        let expected = match set {
            Set::HealthyPrimaries => first(HEALTHY_PRIMARIES, endpoints.pools.healthy_primaries),
            Set::HealthyFailovers => first(HEALTHY_FAILOVERS, endpoints.pools.healthy_failovers),
            Set::AllPrimaries => endpoints.primaries.clone(),
            Set::Nothing => BTreeSet::new(),
        };
        let drop = if set == Set::Nothing {
            "drop_no_healthy_backend"
        } else {
            "drop_no_backend"
        };
        let what = format!("{scheme} {:?} {failover:?}", endpoints.pools);
        new_flows_reach(&mut world, index, &expected, drop, &what, report);
    }
}

fn new_flows_reach(
    world: &mut World<'_>,
    service: usize,
    expected: &BTreeSet<char>,
    drop: &str,
    what: &str,
    report: &mut Report,
) {
    let case = udp();
    let seen: Vec<(Seen, Seen)> = (0..FLOWS)
        .map(|_| {
            let ends = world.client(documents::vip(service, false, false));
            world.send(&frame(&case, &ends, Position::First))
        })
        .collect();
    let reached =
        |side: fn(&(Seen, Seen)) -> Seen| seen.iter().filter_map(|pair| side(pair).backend).collect();
    let (host, kernel): (BTreeSet<char>, BTreeSet<char>) = (reached(|pair| pair.0), reached(|pair| pair.1));
    let dropped = |seen: &Seen| seen.backend.is_some() || seen.reason.name() == drop;
    report.rows += 1;
    if host != *expected || kernel != *expected || !seen.iter().all(|(a, b)| dropped(a) && dropped(b)) {
        report.differences.push(format!(
            "{what}: {expected:?} or {drop} expected; {host:?} on the host, {kernel:?} in the kernel"
        ));
    }
}

fn weighted(bench: &mut Bench, scheme: &'static str, report: &mut Report) {
    let character = policy(scheme);
    let locality = if character.is_internal() {
        "WEIGHTED_GCP_RENDEZVOUS"
    } else {
        "WEIGHTED_MAGLEV"
    };
    for line in WEIGHTED.lines().filter(|line| line.contains("->")) {
        let (endpoints, eligible) = line.split_once("->").expect("just looked for");
        let states: BTreeMap<char, State> = endpoints.split_whitespace().map(state).collect();
        let mut all = groups(&[("primary", &states.keys().copied().collect())]);
        let mut service = documents::service(0, &character, vec![backend("primary", false)]);
        service.insert("localityLbPolicy".into(), locality.into());
        all.push(Value::Object(service));
        all.extend(documents::rules(0, &character));
        let mut world = World::new(bench, START);
        world.set_states(&Value::Array(all), &states);
        let expected = eligible.split_whitespace().flat_map(str::chars).collect();
        new_flows_reach(&mut world, 0, &expected, "", &format!("{scheme} {line}"), report);
    }
}

/// `a!=5`: unhealthy with weight 5.
fn state(word: &str) -> (char, State) {
    let (name, weight) = word.split_once('=').expect("name=weight");
    let with_error = |value, error| Weight {
        value: EndpointWeight::whole(value),
        error: Some(error),
    };
    let weight = match weight {
        "missing" => with_error(10, WeightError::MissingWeight),
        "invalid" => with_error(10, WeightError::InvalidWeight),
        "none" => with_error(1, WeightError::UnavailableWeight),
        number => Weight {
            value: EndpointWeight::parse(number).expect("a weight"),
            error: None,
        },
    };
    let healthy = !name.contains('!');
    (name.chars().next().expect("a name"), State { healthy, weight })
}
