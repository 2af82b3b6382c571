//! Which fields of a packet name an entry, and which select a backend, shown by packets that differ in one field.

use std::collections::BTreeMap;

use lb_tests::conformance::documents::{self, Inventory};
use lb_tests::conformance::events::EVENTS;
use lb_tests::conformance::expected::{self, Outcome};
use lb_tests::conformance::packet::{Ends, Position, frame};
use lb_tests::conformance::rows::{self, Case, Policy};

use super::START;
use super::event::second;
use lb_tests::conformance::bench::{Bench, Seen};
use lb_tests::conformance::world::World;

/// Flows that are compared before a field counts as not hashed: by chance, all agree once in 3^20.
const SAMPLES: usize = 20;

/// The point of time by which every entry of the first one has timed out.
const LATER: u32 = 14;

const FIELDS: [&str; 5] = [
    "source",
    "destination",
    "protocol",
    "source port",
    "destination port",
];

/// Whether a tuple has a field.
fn has(tuple: u8, field: &str) -> bool {
    match field {
        "source" => tuple >= 1,
        "destination" => tuple >= 2,
        "protocol" => tuple >= 3,
        _ => tuple == 5,
    }
}

#[derive(Default)]
pub(crate) struct Report {
    pub(crate) rows: usize,
    pub(crate) differences: Vec<String>,
}

/// A service for every policy but persistence, and one more of the same policy.
fn policies() -> Vec<Policy> {
    let mut policies = rows::accepted();
    policies.retain(|policy| policy.persistence == "DEFAULT_FOR_PROTOCOL");
    policies.iter().flat_map(|policy| [*policy, *policy]).collect()
}

/// Non-SYN packets of every protocol.
fn cases() -> Vec<Case> {
    let mut cases = rows::cases();
    cases.retain(|case| !case.is_syn);
    cases
}

/// The same flow but for one field; nothing where the packet does not have it.
fn other(
    world: &mut World<'_>,
    service: usize,
    case: &Case,
    ends: &Ends,
    field: &str,
) -> Option<(Case, Ends)> {
    let mut ends = *ends;
    let mut case = *case;
    match field {
        "source" => ends.source = world.client(ends.destination).source,
        "destination" => ends.destination = documents::vip(service, true, case.is_ipv6),
        "protocol" => {
            // To one that the tables treat alike.
            (case.protocol, case.column) = match case.protocol {
                6 => (132, "SCTP"),
                132 => (6, "TCP"),
                50 => (51, "AH"),
                51 => (47, "GRE"),
                47 | 89 => (50, "ESP"),
                _ => return None,
            };
        }
        _ if !case.has_ports() => return None,
        "source port" => ends.source_port ^= 1,
        _ => ends.destination_port ^= 1,
    }
    Some((case, ends))
}

pub(crate) fn run(bench: &mut Bench) -> Report {
    let mut report = Report::default();
    let policies = policies();
    let mut world = World::new(bench, START);
    let inventory = Inventory::new(&EVENTS[0]);
    world.set(&inventory.documents(&EVENTS[0], &policies), &inventory.health);
    selection(&mut world, &policies, &mut report);
    tracking(&mut world, &policies, &mut report);
    report
}

/// Each base packet at the first point of time, and each packet that differs when no entry can be alive.
fn selection(world: &mut World<'_>, policies: &[Policy], report: &mut Report) {
    let mut groups = Vec::new();
    for (service, policy) in policies.iter().enumerate().step_by(2) {
        for case in cases() {
            let vip = documents::vip(service, false, case.is_ipv6);
            let flows: Vec<(Ends, (Seen, Seen))> = (0..SAMPLES)
                .map(|_| {
                    let ends = world.client(vip);
                    (ends, world.send(&frame(&case, &ends, Position::Further)))
                })
                .collect();
            groups.push((service, policy, case, flows));
        }
    }
    let mut directions = symmetric_flows(world, policies);
    world.pass_to(second(START, LATER));
    for (service, policy, case, flows) in groups {
        let hashed = expected::selection(policy, &case);
        for field in FIELDS {
            let mut same = [0, 0];
            let mut compared = 0;
            for (ends, before) in &flows {
                let Some((case, ends)) = other(world, service, &case, ends, field) else {
                    continue;
                };
                let after = world.send(&frame(&case, &ends, Position::Further));
                same[0] += usize::from(before.0.backend == after.0.backend);
                same[1] += usize::from(before.1.backend == after.1.backend);
                compared += 1;
            }
            if compared == 0 {
                continue;
            }
            report.rows += 1;
            if same.map(|count| count == compared) != [!has(hashed, field); 2] {
                report.differences.push(format!(
                    "selection by {hashed} fields, another {field}: {policy:?} {case:?}: \
                     {same:?} of {compared} alike on the host and in the kernel"
                ));
            }
        }
    }
    for (policy, case, ends, before) in directions.drain(..) {
        let after = world.send(&frame(&case, &ends.swapped(), Position::Further));
        report.rows += 1;
        if before.0.backend != after.0.backend || before.1.backend != after.1.backend {
            report.differences.push(format!(
                "both directions: {policy:?} {case:?} {ends:?}: {before:?}, {after:?}"
            ));
        }
    }
}

/// Flows whose both ends are VIPs of one internal service.
fn symmetric_flows(world: &mut World<'_>, policies: &[Policy]) -> Vec<(Policy, Case, Ends, (Seen, Seen))> {
    let mut flows = Vec::new();
    for (service, policy) in policies.iter().enumerate().step_by(2) {
        if !policy.is_internal() || policy.affinity == "CLIENT_IP_NO_DESTINATION" {
            continue;
        }
        for case in cases()
            .into_iter()
            .filter(|case| ["TCP", "UDP"].contains(&case.column))
        {
            for port in 0..SAMPLES as u16 {
                let ends = Ends {
                    source: documents::vip(service, true, case.is_ipv6),
                    destination: documents::vip(service, false, case.is_ipv6),
                    source_port: 7000 + port,
                    destination_port: 443,
                };
                flows.push((
                    *policy,
                    case,
                    ends,
                    world.send(&frame(&case, &ends, Position::Further)),
                ));
            }
        }
    }
    flows
}

/// A flow, and at once a packet that differs in one field: the same entry or another.
fn tracking(world: &mut World<'_>, policies: &[Policy], report: &mut Report) {
    for (service, policy) in policies.iter().enumerate().step_by(2) {
        for case in cases() {
            let tuple = expected::tracking(policy, &case);
            for field in FIELDS.into_iter().chain(["service"]) {
                let ends = world.client(documents::vip(service, false, case.is_ipv6));
                let changed = match field {
                    "service" => {
                        let destination = documents::vip(service + 1, false, case.is_ipv6);
                        Some((case, Ends { destination, ..ends }))
                    }
                    _ => other(world, service, &case, &ends, field),
                };
                let Some((other_case, other_ends)) = changed else {
                    continue;
                };
                world.send(&frame(&case, &ends, Position::Further));
                let seen = world.send(&frame(&other_case, &other_ends, Position::Further));
                let outcome = match tuple {
                    0 => Outcome::Hashed,
                    _ if field == "service" || has(tuple, field) => Outcome::New,
                    _ => Outcome::Kept,
                };
                report.rows += 1;
                if [seen.0, seen.1]
                    .iter()
                    .any(|seen| seen.reason.name() != outcome.counter())
                {
                    report.differences.push(format!(
                        "tracking by {tuple} fields, another {field}: {policy:?} {case:?}: \
                         {outcome:?} expected, {seen:?}"
                    ));
                }
            }
        }
    }
    sessions_of_all_protocols(world, policies, report);
}

/// Tuples without the protocol are shared by all protocols of a client.
fn sessions_of_all_protocols(world: &mut World<'_>, policies: &[Policy], report: &mut Report) {
    for (service, policy) in policies.iter().enumerate().step_by(2) {
        for is_ipv6 in [false, true] {
            let ends = world.client(documents::vip(service, false, is_ipv6));
            let mut recorded = BTreeMap::new();
            for case in cases().into_iter().filter(|case| case.is_ipv6 == is_ipv6) {
                let tuple = expected::tracking(policy, &case);
                if !matches!(tuple, 1 | 2) {
                    continue;
                }
                let seen = world.send(&frame(&case, &ends, Position::Further));
                let outcome = if recorded.insert(tuple, ()).is_some() {
                    Outcome::Kept
                } else {
                    Outcome::New
                };
                report.rows += 1;
                if [seen.0, seen.1]
                    .iter()
                    .any(|seen| seen.reason.name() != outcome.counter())
                {
                    report.differences.push(format!(
                        "one session for all protocols: {policy:?} {case:?}: {outcome:?} expected, {seen:?}"
                    ));
                }
            }
        }
    }
}
