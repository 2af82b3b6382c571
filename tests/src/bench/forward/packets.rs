//! Packets a second through the balancer's interface, on one CPU.

mod arrival;
mod turns;

use std::net::{IpAddr, Ipv4Addr};

use anyhow::Result;

use self::turns::Bench;
use super::{Case, DNAT};
use crate::bench::Extent;
use crate::bench::clock;
use crate::bench::progress::Progress;
use crate::bench::rows::SLOTS;
use crate::bench::world::{self, Delivery, Service};

const TCP: u8 = 6;
const UDP: u8 = 17;
/// Endpoints of each service.
const ENDPOINTS: u32 = 64;
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

/// What is aimed at, at least.
#[derive(Clone, Copy)]
enum Target {
    /// Of the program that only exchanges addresses.
    Share(f64),
    /// Of what nftables translates.
    TimesDnat(f64),
}

/// What packets are sent.
#[derive(Clone, Copy)]
struct Traffic {
    name: &'static str,
    protocol: u8,
    /// None: every packet is of a new flow.
    flows: Option<u32>,
    target: Target,
    is_quick: bool,
}

const TRAFFIC: [Traffic; 4] = [
    Traffic {
        name: "one flow",
        protocol: TCP,
        flows: Some(1),
        target: Target::Share(0.80),
        is_quick: true,
    },
    Traffic {
        name: "100 k flows",
        protocol: TCP,
        flows: Some(100_000),
        target: Target::Share(0.65),
        is_quick: true,
    },
    Traffic {
        name: "1 M flows",
        protocol: TCP,
        flows: Some(1_000_000),
        target: Target::Share(0.58),
        is_quick: false,
    },
    Traffic {
        name: "new flows",
        protocol: TCP,
        flows: None,
        target: Target::Share(0.55),
        is_quick: true,
    },
];
const DATAGRAMS: Traffic = Traffic {
    name: "10 k flows",
    protocol: UDP,
    flows: Some(10_000),
    target: Target::TimesDnat(5.0),
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
