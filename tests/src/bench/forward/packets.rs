//! Packets a second through the balancer's interface, on one CPU.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use lb_common::verdict::{Action, Reason};
use lb_ctl::dataplane::Sizes;
use lb_ctl::plan::contents::Contents;

use super::ways::{self, Translation};
use super::wire::{Carried, Wire};
use super::{Case, DNAT, compare_with_dnat};
use crate::bench::Extent;
use crate::bench::check;
use crate::bench::clock::{self, Spread};
use crate::bench::generator::{Last, Load, Walk};
use crate::bench::progress::Progress;
use crate::bench::rows::{HUNDRED, Kind, Plan, SLOTS};
use crate::bench::subject::{Build, Outcomes, Subject};
use crate::bench::world::{self, Delivery, Service};
use crate::conformance::bench::XDP_TX;
use crate::topology::Lab;

const TCP: u8 = 6;
const UDP: u8 = 17;
/// Endpoints of each service.
const ENDPOINTS: u32 = 64;
/// Of the frames that arrive: Ethernet, IPv4 and UDP headers.
const SHORTEST: usize = 42;
/// What packets come from: an address of the kind that the sink counts, so that it counts what comes straight back.
const SENDER: [u8; 6] = [6, 0, 0, 0, 0, 0];

/// What forwards packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Swap,
    Balanced(Delivery),
    Dnat,
    Route,
}

impl Way {
    fn name(self) -> &'static str {
        match self {
            Self::Swap => "XDP_TX alone",
            Self::Balanced(delivery) => delivery.name(),
            Self::Dnat => DNAT,
            Self::Route => "kernel route",
        }
    }
}

/// What packets are sent.
#[derive(Clone, Copy)]
struct Traffic {
    name: &'static str,
    protocol: u8,
    /// None: every packet is of a new flow.
    flows: Option<u32>,
    target: Option<f64>,
    is_quick: bool,
}

const TRAFFIC: [Traffic; 4] = [
    Traffic {
        name: "one flow",
        protocol: TCP,
        flows: Some(1),
        target: Some(0.80),
        is_quick: true,
    },
    Traffic {
        name: "100 k flows",
        protocol: TCP,
        flows: Some(100_000),
        target: Some(0.65),
        is_quick: true,
    },
    Traffic {
        name: "1 M flows",
        protocol: TCP,
        flows: Some(1_000_000),
        target: Some(0.58),
        is_quick: false,
    },
    Traffic {
        name: "new flows",
        protocol: TCP,
        flows: None,
        target: Some(0.55),
        is_quick: true,
    },
];
const DATAGRAMS: Traffic = Traffic {
    name: "10 k flows",
    protocol: UDP,
    flows: Some(10_000),
    target: None,
    is_quick: true,
};

/// How often and how long.
struct Pace {
    runs: usize,
    packets: u32,
    /// Before each run, to warm the caches.
    lead: u32,
    slots: u32,
}

const FULL: Pace = Pace {
    runs: 9,
    packets: 2_000_000,
    lead: 200_000,
    slots: SLOTS,
};
const QUICK: Pace = Pace {
    runs: 3,
    packets: 100_000,
    lead: 10_000,
    slots: SLOTS / 8,
};

/// On a thread of its own, because that stays on one CPU.
pub(super) fn run(extent: Extent, progress: &mut Progress) -> Result<Vec<Case>> {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| measured(extent, progress));
        thread
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn measured(extent: Extent, progress: &mut Progress) -> Result<Vec<Case>> {
    let cpu = clock::pin()?;
    progress.say(&format!("packets on CPU {cpu}"));
    let mut bench = Bench::new(match extent {
        Extent::Quick => QUICK,
        Extent::Full => FULL,
    })?;
    for delivery in [Delivery::L2, Delivery::Ipip] {
        for traffic in TRAFFIC {
            if traffic.is_quick || extent == Extent::Full {
                bench.measure(Way::Balanced(delivery), traffic, progress)?;
            }
        }
    }
    for way in [
        Way::Balanced(Delivery::L2),
        Way::Balanced(Delivery::Ipip),
        Way::Route,
        Way::Dnat,
    ] {
        bench.measure(way, DATAGRAMS, progress)?;
    }
    Ok(bench.finish())
}

struct Bench {
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
    fn new(pace: Pace) -> Result<Self> {
        let wire = Wire::new(Lab::measured("forward"))?;
        let sizes = Sizes {
            flow_slots: pace.slots,
            ..Sizes::default()
        };
        let contents = world::table_by(wire.balancer_interface()?, ENDPOINTS, &sizes)?;
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

    fn finish(mut self) -> Vec<Case> {
        compare_with_dnat(&mut self.cases);
        let rates = Spread::of(self.swapped);
        let reference = Case::new("any flows", "packets", Way::Swap.name(), "TCP, UDP", &rates);
        self.cases.insert(0, reference);
        self.cases
    }

    fn measure(&mut self, way: Way, traffic: Traffic, progress: &mut Progress) -> Result<()> {
        let title = format!("{}, {}", traffic.name, way.name());
        progress.say(&title);
        self.measure_in_turns(way, traffic).context(title)
    }

    /// Each run is beside one of the reference: what both do is then done on the same machine, however busy.
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
            case.target = traffic.target;
            case.expected = Some(expected(traffic, &outcomes)?);
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

    fn run(&mut self, way: Way, traffic: Traffic, load: &mut Load) -> Result<(Duration, Outcomes)> {
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
        arrived(way, traffic, load, &carried)?;
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

fn vip(delivery: Delivery) -> Ipv4Addr {
    let service = Service {
        delivery,
        tracks_udp: true,
    };
    match world::vip(service, false) {
        IpAddr::V4(address) => address,
        IpAddr::V6(_) => unreachable!("an IPv4 address was asked for"),
    }
}

/// The share of packets that the program treated as it should.
fn expected(traffic: Traffic, outcomes: &Outcomes) -> Result<f64> {
    let reason = match traffic.flows {
        Some(_) => Reason::ForwardTracked,
        None => Reason::ForwardNew,
    };
    let total: u64 = outcomes.values().sum();
    let share = outcomes.get(&reason).copied().unwrap_or(0) as f64 / total as f64;
    ensure!(share > 0.99, "packets had other outcomes: {outcomes:?}");
    Ok(share)
}

/// Whether what came back is what this way makes of what was sent, and went to every endpoint.
fn arrived(way: Way, traffic: Traffic, load: &Load, carried: &Carried) -> Result<()> {
    let endpoints = carried.arrived.iter().filter(|count| **count != 0).count();
    let wanted = match way {
        Way::Swap | Way::Route => 1,
        Way::Balanced(_) | Way::Dnat if traffic.flows == Some(1) => 1,
        Way::Balanced(_) | Way::Dnat => ENDPOINTS as usize,
    };
    ensure!(
        endpoints == wanted,
        "{endpoints} endpoints of {wanted} got packets"
    );
    let frame = carried.sample.clone();
    ensure!(frame.len() >= SHORTEST, "no frame was kept: {frame:02x?}");
    match way {
        Way::Swap => {
            let ends = [&load.frame[6..12], &load.frame[..6]].concat();
            ensure!(
                frame.get(..12) == Some(&ends[..]),
                "the addresses were not exchanged: {frame:02x?}"
            );
            Ok(())
        }
        Way::Balanced(delivery) => {
            let last = Last {
                action: XDP_TX,
                frame,
            };
            check::delivered(delivery, true, load, &last)
        }
        Way::Dnat | Way::Route => check::routed(load, &frame, way == Way::Dnat),
    }
}
