//! One event with all its rows: a world with a service for each policy, and a flow for each row.

use std::collections::{BTreeMap, BTreeSet};

use lb_tests::conformance::documents::{self, Inventory};
use lb_tests::conformance::events::{Event, STEP_SECONDS, Step};
use lb_tests::conformance::expected::{self, Outcome};
use lb_tests::conformance::packet::{Ends, Position, frame};
use lb_tests::conformance::picture::Picture;
use lb_tests::conformance::rows::{self, Policy, Row};

use lb_tests::conformance::bench::{Bench, Seen};
use lb_tests::conformance::world::World;

/// New flows that each row sends at the end of each step.
const NEW_FLOWS: usize = 2;
/// A client whose flow begins on the wanted backend is found long before.
const CLIENTS: usize = 400;

/// The second of a point of time.
pub(crate) fn second(start: u32, point: u32) -> u32 {
    start + point * STEP_SECONDS
}

#[derive(Default)]
pub(crate) struct Report {
    pub(crate) rows: usize,
    pub(crate) host: usize,
    pub(crate) kernel: usize,
    pub(crate) both: usize,
    pub(crate) packets: usize,
    pub(crate) outcomes: BTreeMap<Outcome, usize>,
    pub(crate) differences: Vec<String>,
}

struct Flow {
    row: Row,
    service: usize,
    ends: Ends,
    /// Where its packets go.
    backend: char,
    host: Vec<String>,
    kernel: Vec<String>,
}

/// All rows of the event, whose flows begin in second `start`.
pub(crate) fn run(bench: &mut Bench, event: &'static Event, start: u32, report: &mut Report) {
    let mut run = Run::start(bench, event, start);
    let mut inventory = Inventory::new(event);
    run.begin(&inventory);
    for step in event.steps {
        inventory.apply(step.does);
        run.step(step, &inventory);
    }
    run.finish(report);
}

struct Run<'a> {
    start: u32,
    world: World<'a>,
    event: &'static Event,
    policies: Vec<Policy>,
    flows: Vec<Flow>,
    packets: usize,
    outcomes: BTreeMap<Outcome, usize>,
}

impl<'a> Run<'a> {
    fn start(bench: &'a mut Bench, event: &'static Event, start: u32) -> Self {
        let mut policies = rows::accepted();
        policies.retain(|policy| event.scheme.is_none_or(|scheme| scheme == policy.scheme));
        Self {
            start,
            world: World::new(bench, start),
            event,
            policies,
            flows: Vec::new(),
            packets: 0,
            outcomes: BTreeMap::new(),
        }
    }

    fn set(&mut self, inventory: &Inventory) {
        let documents = inventory.documents(self.event, &self.policies);
        self.world.set(&documents, &inventory.health);
    }

    fn begin(&mut self, inventory: &Inventory) {
        self.set(inventory);
        let picture = Picture::of(self.event.first_picture, false);
        for row in rows::of_event(self.event) {
            let service = self.policies.iter().position(|policy| *policy == row.policy);
            let service = service.expect("every row's policy has a service");
            let ends = self.client_on(self.event.backend, &row, service);
            let mut flow = Flow {
                row,
                service,
                ends,
                backend: self.event.backend,
                host: Vec::new(),
                kernel: Vec::new(),
            };
            self.judge(&mut flow, Position::First, &picture, "its first packet");
            self.flows.push(flow);
        }
    }

    /// A client whose flow is selected to be on `backend`.
    fn client_on(&mut self, backend: char, row: &Row, service: usize) -> Ends {
        let vip = documents::vip(service, false, row.case.is_ipv6);
        for _ in 0..CLIENTS {
            let ends = self.world.client(vip);
            let seen = self
                .world
                .without_flows(&frame(&row.case, &ends, Position::First));
            if seen.backend == Some(backend) {
                return ends;
            }
        }
        panic!("no client's flow goes to {backend}: {row:?}");
    }

    fn step(&mut self, step: &Step, inventory: &Inventory) {
        self.world.pass_to(second(self.start, step.from));
        self.set(inventory);
        let picture = Picture::of(step.picture, step.idle);
        for point in step.from..=step.to {
            self.world.pass_to(second(self.start, point));
            if !step.sends {
                continue;
            }
            let mut flows = std::mem::take(&mut self.flows);
            for flow in &mut flows {
                let when = format!("at {} s", point * STEP_SECONDS);
                self.judge(flow, Position::Further, &picture, &when);
            }
            self.flows = flows;
        }
        self.new_flows(&picture);
    }

    /// Sends the next packet of a flow, and notes what is not as it should be.
    fn judge(&mut self, flow: &mut Flow, position: Position, picture: &Picture, when: &str) {
        let Row { policy, case, .. } = &flow.row;
        let outcome = match position {
            Position::First => expected::of_new(policy, case, picture),
            Position::Further => expected::of_existing(policy, case, picture, flow.backend),
        };
        let packet = frame(case, &flow.ends, position);
        let allowed: Vec<char> = match outcome {
            Outcome::Kept | Outcome::Persisted => vec![flow.backend],
            Outcome::Dropped => Vec::new(),
            // One of the eligible, and the one that any other balancer would select.
            _ => {
                let selected = self.world.without_flows(&packet).backend;
                let mut eligible = picture.eligible().to_vec();
                eligible.retain(|name| Some(*name) == selected);
                eligible
            }
        };
        let (host, kernel) = self.world.send(&packet);
        self.packets += 1;
        *self.outcomes.entry(outcome).or_default() += 1;
        flow.host.extend(difference(outcome, &allowed, host, when));
        flow.kernel.extend(difference(outcome, &allowed, kernel, when));
        if let Some(backend) = host.backend {
            flow.backend = backend;
        }
    }

    /// New flows go where the picture says, and to every backend that it names.
    fn new_flows(&mut self, picture: &Picture) {
        let mut reached: BTreeMap<usize, BTreeSet<char>> = BTreeMap::new();
        let mut flows = std::mem::take(&mut self.flows);
        for flow in &mut flows {
            let vip = documents::vip(flow.service, false, flow.row.case.is_ipv6);
            for _ in 0..NEW_FLOWS {
                let mut new = Flow {
                    row: flow.row,
                    service: flow.service,
                    ends: self.world.client(vip),
                    backend: '?',
                    host: Vec::new(),
                    kernel: Vec::new(),
                };
                self.judge(&mut new, Position::First, picture, "a new flow");
                flow.host.extend(new.host);
                flow.kernel.extend(new.kernel);
                if new.backend != '?' {
                    reached.entry(flow.service).or_default().insert(new.backend);
                }
            }
        }
        let eligible: BTreeSet<char> = picture.eligible().iter().copied().collect();
        for flow in &mut flows {
            let reached = reached.get(&flow.service).cloned().unwrap_or_default();
            if reached != eligible {
                let text = format!("new flows of the service reach {reached:?} and not {eligible:?}");
                flow.host.push(text);
            }
        }
        self.flows = flows;
    }

    fn finish(self, report: &mut Report) {
        report.packets += self.packets;
        for (outcome, count) in self.outcomes {
            *report.outcomes.entry(outcome).or_default() += count;
        }
        for flow in self.flows {
            let (host, kernel) = (flow.host.is_empty(), flow.kernel.is_empty());
            report.rows += 1;
            report.host += usize::from(host);
            report.kernel += usize::from(kernel);
            report.both += usize::from(host && kernel);
            if !(host && kernel) {
                let Row { policy, case, event } = flow.row;
                report.differences.push(format!(
                    "{}\n  {policy:?}\n  {case:?} {:?}\n  host: {:?}\n  kernel: {:?}",
                    event.name, flow.ends, flow.host, flow.kernel
                ));
            }
        }
    }
}

fn difference(outcome: Outcome, allowed: &[char], seen: Seen, when: &str) -> Option<String> {
    let is_right = seen.reason.name() == outcome.counter()
        && match seen.backend {
            Some(backend) => allowed.contains(&backend),
            None => outcome == Outcome::Dropped,
        };
    (!is_right).then(|| format!("{when}: {outcome:?} to one of {allowed:?} expected, {seen:?} found"))
}
