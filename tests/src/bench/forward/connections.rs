//! Connections a second: real TCP stacks open a connection, ask, read the answer to its end, and close.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use anyhow::{Result, ensure};

use super::ways::{self, Translation};
use super::{Case, DNAT, compare_with_dnat};
use crate::balanced::Balanced;
use crate::bench::Extent;
use crate::bench::clock::Spread;
use crate::bench::progress::Progress;
use crate::documents::{Documents, Service};
use crate::topology::{BACKENDS, CLIENT, LB, Lab, VIP4};

mod client;
mod haproxy;
mod server;

use client::Answers;
use server::Servers;

/// Not one that the laboratory's own backends listen on.
const PORT: u16 = 7000;

/// What is between the client and the backends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Direct,
    /// The daemon, delivering in this way.
    Balanced(&'static str),
    Dnat,
    Haproxy,
}

const WAYS: [Way; 5] = [
    Way::Direct,
    Way::Balanced("l2"),
    Way::Balanced("ipip"),
    Way::Dnat,
    Way::Haproxy,
];

impl Way {
    fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Balanced(delivery) => delivery,
            Self::Dnat => DNAT,
            Self::Haproxy => "HAProxy",
        }
    }
}

struct Pace {
    runs: usize,
    connections: usize,
}

/// Before what is measured: caches warm up, and neighbours are known.
const LEAD: usize = 500;

pub(super) fn run(extent: Extent, progress: &mut Progress) -> Result<Vec<Case>> {
    let pace = match extent {
        Extent::Quick => Pace {
            runs: 3,
            connections: 500,
        },
        Extent::Full => Pace {
            runs: 9,
            connections: 10_000,
        },
    };
    let mut cases: Vec<Case> = Vec::new();
    for way in WAYS {
        progress.say(&format!("connections, {}", way.name()));
        let rates = Spread::of(measured(way, &pace)?);
        let mut case = Case::new("connections", "connections", way.name(), "TCP", &rates);
        case.share = cases
            .first()
            .map_or(1.0, |direct| case.per_second / direct.per_second);
        cases.push(case);
    }
    compare_with_dnat(&mut cases);
    Ok(cases)
}

/// Connections a second, run by run, in a laboratory that no other way has left anything in.
fn measured(way: Way, pace: &Pace) -> Result<Vec<f64>> {
    let lab = Lab::measured(&format!(
        "connections-{}",
        way.name().replace(' ', "-").to_lowercase()
    ));
    let _servers = Servers::start(&lab, PORT);
    if way != Way::Direct {
        lab.point_vips_at(LB);
    }
    match way {
        Way::Direct => {
            let backends = BACKENDS.map(|name| lab.host(name).ipv4);
            rates(&lab, pace, &backends)
        }
        Way::Balanced(delivery) => balanced(&lab, pace, delivery),
        Way::Dnat => {
            translate(&lab)?;
            rates(&lab, pace, &[VIP4])
        }
        Way::Haproxy => {
            let _haproxy = haproxy::start(&lab, PORT);
            rates(&lab, pace, &[VIP4])
        }
    }
}

fn balanced(lab: &Lab, pace: &Pace, delivery: &str) -> Result<Vec<f64>> {
    let documents = Documents::new(lab, &BACKENDS)
        .annotate("lb/delivery", delivery)
        .service(Service::unspecified("web").rule("TCP", Some(PORT)));
    let balanced = Balanced::start(lab, &documents);
    let rates = rates(lab, pace, &[VIP4])?;
    let stats = balanced.daemon.stats();
    let backends = stats.services.iter().flat_map(|service| &service.backends);
    let used: Vec<_> = backends.filter(|backend| backend.new_flows != 0).collect();
    let flows: u64 = used.iter().map(|backend| backend.new_flows).sum();
    let connections = LEAD + pace.runs * pace.connections;
    ensure!(
        flows >= connections as u64,
        "the balancer saw {flows} of {connections} connections"
    );
    ensure!(
        used.iter().all(|backend| backend.delivery == delivery),
        "not everything was delivered by {delivery}"
    );
    Ok(rates)
}

/// The balancer's host translates addresses, so backends answer by way of it.
fn translate(lab: &Lab) -> Result<()> {
    ways::forward(lab.lb());
    let translation = Translation {
        vip: VIP4,
        protocol: "tcp",
        port: PORT,
        to: BACKENDS.map(|name| lab.host(name).ipv4).into(),
    };
    translation.install(lab.lb())?;
    let (client, balancer) = (lab.host(CLIENT).ipv4, lab.host(LB).ipv4);
    for name in BACKENDS {
        lab.host(name)
            .namespace
            .ip(&[format!("route add {client}/32 via {balancer}")]);
    }
    Ok(())
}

/// Every connection is answered, and every backend answers some.
fn rates(lab: &Lab, pace: &Pace, to: &[Ipv4Addr]) -> Result<Vec<f64>> {
    let to: Vec<SocketAddr> = to
        .iter()
        .map(|address| SocketAddr::new(IpAddr::V4(*address), PORT))
        .collect();
    client::connect(lab.client(), &to, LEAD)?;
    let mut rates = Vec::new();
    for _ in 0..pace.runs {
        let Answers { time, by } = client::connect(lab.client(), &to, pace.connections)?;
        ensure!(by.len() == BACKENDS.len(), "not every backend answered: {by:?}");
        rates.push(pace.connections as f64 / time.as_secs_f64());
    }
    Ok(rates)
}
