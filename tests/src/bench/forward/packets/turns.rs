//! Runs of one way in turns with runs of the reference: what both do is then done on the same machine, however busy.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use lb_common::verdict::Action;
use lb_ctl::dataplane::Sizes;
use lb_ctl::plan::contents::Contents;

use super::{ENDPOINTS, Pace, TCP, Target, Traffic, Way, arrival, vip};
use crate::bench::clock::Spread;
use crate::bench::forward::ways::{self, Translation};
use crate::bench::forward::wire::Wire;
use crate::bench::forward::{Case, compare_with_dnat};
use crate::bench::generator::{Load, Walk};
use crate::bench::progress::Progress;
use crate::bench::rows::{HUNDRED, Kind, Plan};
use crate::bench::subject::{Build, Outcomes, Subject};
use crate::bench::world::{self, Delivery};
use crate::topology::Lab;

/// What packets come from: an address of the kind that the sink counts, so that it counts what comes straight back.
const SENDER: [u8; 6] = [6, 0, 0, 0, 0, 0];

pub(super) struct Bench {
    wire: Wire,
    subject: Subject,
    contents: Contents,
    pace: Pace,
    /// Packets a second of the program that only exchanges addresses.
    swapped: Vec<f64>,
    cases: Vec<Case>,
}

fn rate(packets: u32, time: Duration) -> f64 {
    f64::from(packets) / time.as_secs_f64()
}

impl Bench {
    pub(super) fn new(pace: Pace) -> Result<Self> {
        let wire = Wire::new(Lab::measured("forward"))?;
        let sizes = Sizes {
            flow_slots: pace.slots,
            ..Sizes::default()
        };
        let (interface, mac) = (wire.balancer_interface()?, wire.balancer_mac());
        let contents = world::table_by(interface, mac, ENDPOINTS, &sizes)?;
        // Interface numbers mean something else in every namespace.
        let lb = wire.lab.lb();
        let subject = lb.run(|| Subject::load(Build::Shipped, sizes, &contents))?;
        lb.enable_gro("eth0");
        ways::forward(lb);
        ways::route(lb, vip(Delivery::L2), ENDPOINTS);
        Ok(Self {
            wire,
            subject,
            contents,
            pace,
            swapped: Vec::new(),
            cases: Vec::new(),
        })
    }

    pub(super) fn finish(mut self) -> Vec<Case> {
        compare_with_dnat(&mut self.cases);
        let rates = Spread::of(self.swapped);
        let reference = Case::new("any flows", "packets", Way::Swap.name(), "TCP, UDP", &rates);
        self.cases.insert(0, reference);
        self.cases
    }

    pub(super) fn measure(&mut self, way: Way, traffic: Traffic, progress: &mut Progress) -> Result<()> {
        let title = format!("{}, {}", traffic.name, way.name());
        progress.say(&title);
        self.measure_in_turns(way, traffic).context(title)
    }

    fn measure_in_turns(&mut self, way: Way, traffic: Traffic) -> Result<()> {
        let Pace { runs, packets, .. } = self.pace;
        let mut load = self.prepare(way, traffic)?;
        let mut swapped = self.load(way, traffic, Walk::Random);
        let (mut rates, mut shares) = (Vec::new(), Vec::new());
        let mut outcomes = Outcomes::new();
        for _ in 0..runs {
            let reference = rate(packets, self.run(Way::Swap, traffic, &mut swapped)?.0);
            if traffic.flows.is_none() {
                self.subject.clear(&self.contents)?;
            }
            let (time, counted) = self.run(way, traffic, &mut load)?;
            self.swapped.push(reference);
            rates.push(rate(packets, time));
            shares.push(rate(packets, time) / reference);
            for (reason, count) in counted {
                *outcomes.entry(reason).or_default() += count;
            }
        }
        let protocol = if traffic.protocol == TCP { "TCP" } else { "UDP" };
        let mut case = Case::new(traffic.name, "packets", way.name(), protocol, &Spread::of(rates));
        case.flows = traffic.flows;
        case.share = Spread::of(shares).median;
        if let Way::Balanced(_) = way {
            match traffic.target {
                Target::Share(share) => case.target = Some(share),
                Target::TimesDnat(times) => case.dnat_target = Some(times),
            }
            case.expected = Some(arrival::expected(traffic, &outcomes)?);
        }
        self.cases.push(case);
        Ok(())
    }

    /// Brings the balancer to what the case is about, and makes the packets to measure.
    fn prepare(&mut self, way: Way, traffic: Traffic) -> Result<Load> {
        match (way, traffic.flows) {
            (Way::Balanced(_), Some(flows)) => {
                self.subject.clear(&self.contents)?;
                // Entries shall not lie in the order in which they are asked for.
                let mut filling = self.load(way, traffic, Walk::Sequential);
                self.put(way)?;
                self.wire.carry(&mut filling, flows)?;
            }
            (Way::Dnat, _) => {
                Translation::of_packets(vip(Delivery::L2), ENDPOINTS).install(self.wire.lab.lb())?;
            }
            _ => {}
        }
        Ok(self.load(way, traffic, Walk::Random))
    }

    fn put(&mut self, way: Way) -> Result<()> {
        match way {
            Way::Swap => self.wire.swap(),
            Way::Balanced(_) => self.wire.balance_by(self.subject.xdp()),
            Way::Dnat | Way::Route => {
                self.wire.balance_by_stack();
                Ok(())
            }
        }
    }

    /// Once more if packets were lost: on a machine that has other work, the two ends may come to be on two CPUs.
    fn run(&mut self, way: Way, traffic: Traffic, load: &mut Load) -> Result<(Duration, Outcomes)> {
        self.run_once(way, traffic, load).or_else(|error| {
            eprintln!("{}, again: {error:#}", way.name());
            self.run_once(way, traffic, load)
        })
    }

    fn run_once(&mut self, way: Way, traffic: Traffic, load: &mut Load) -> Result<(Duration, Outcomes)> {
        self.put(way)?;
        if traffic.flows.is_some() || way == Way::Swap {
            self.wire.carry(load, self.pace.lead)?;
        }
        let before = self.subject.counted()?;
        let carried = self.wire.carry(load, self.pace.packets)?;
        let mut outcomes = self.subject.counted_since(&before)?;
        // Neighbours of the laboratory ask for addresses now and then.
        outcomes.retain(|reason, _| reason.action() != Action::Pass);
        if let Way::Balanced(_) = way {
            let counted: u64 = outcomes.values().sum();
            ensure!(
                counted == u64::from(self.pace.packets),
                "{} packets were sent and {counted} counted",
                self.pace.packets
            );
        }
        arrival::check(way, traffic, load, &carried)?;
        Ok((carried.time, outcomes))
    }

    fn load(&self, way: Way, traffic: Traffic, walk: Walk) -> Load {
        let plan = Plan {
            kind: Kind::Known,
            delivery: match way {
                Way::Balanced(delivery) => delivery,
                _ => Delivery::L2,
            },
            protocol: traffic.protocol,
            is_syn: traffic.flows.is_none(),
            flows: traffic.flows.unwrap_or(u32::MAX),
            ..HUNDRED
        };
        let mut frame = plan.load(walk).frame;
        frame[..6].copy_from_slice(&self.wire.balancer_mac());
        frame[6..12].copy_from_slice(&SENDER);
        Load::new(frame, plan.flows, walk)
    }
}
