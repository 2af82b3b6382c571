//! The rows of the packet table: what packets are sent, what they find, and what must become of them.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::{Result, ensure};
use lb_common::verdict::Reason;

use super::Extent;
use super::access::Access;
use super::clock::Spread;
use super::generator::{Load, Walk};
use super::report::Case;
use super::subject::{Build, Outcomes};
use super::targets::target_ns;
use super::world::{self, Delivery, PORT, STRANGER, Service};
use crate::conformance::packet::{Ends, network, transport};
use crate::conformance::rows;

/// What packets find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Packets of flows that are known.
    Known,
    /// TCP SYNs of flows that are known: each is selected again, and written over.
    Again,
    /// Packets of flows that never repeat; there is room for them.
    New,
    /// The same, and every slot is taken.
    Full,
    /// The service does not track them.
    Untracked,
    /// To an address that is no VIP.
    Passed,
}

impl Kind {
    /// What packets are counted as that are treated as they should be.
    fn expected(self) -> Reason {
        match self {
            Self::Known => Reason::ForwardTracked,
            Self::Again | Self::New | Self::Full => Reason::ForwardNew,
            Self::Untracked => Reason::ForwardUntracked,
            Self::Passed => Reason::PassNoVip,
        }
    }

    fn is_new(self) -> bool {
        matches!(self, Self::New | Self::Full)
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) delivery: Delivery,
    pub(super) protocol: u8,
    pub(super) is_ipv6: bool,
    pub(super) is_syn: bool,
    pub(super) flows: u32,
    pub(super) slots: u32,
    /// Part of the quick run too.
    pub(super) is_quick: bool,
    /// Not 0: flows are of this many services, which lie side by side.
    pub(super) services: u32,
    /// Of each of these services.
    pub(super) endpoints: u32,
}

const TCP: u8 = 6;
const UDP: u8 = 17;
/// Slots of the shipped table.
pub(super) const SLOTS: u32 = lb_common::layout::size::FLOW_SLOTS;
const ENDLESS: u32 = u32::MAX;

const ONE: Plan = Plan {
    name: "one flow",
    kind: Kind::Known,
    delivery: Delivery::Ipip,
    protocol: TCP,
    is_ipv6: false,
    is_syn: false,
    flows: 1,
    slots: SLOTS,
    is_quick: true,
    services: 0,
    endpoints: 0,
};
pub(super) const HUNDRED: Plan = Plan {
    name: "100 k flows",
    flows: 100_000,
    ..ONE
};
pub(super) const MILLION: Plan = Plan {
    name: "1 M flows",
    flows: 1_000_000,
    is_quick: false,
    ..ONE
};
/// More points of the curve over flows.
const fn flows(name: &'static str, flows: u32) -> Plan {
    Plan {
        name,
        flows,
        is_quick: false,
        ..ONE
    }
}
const NEW: Plan = Plan {
    name: "new flows, room",
    kind: Kind::New,
    is_syn: true,
    flows: ENDLESS,
    ..ONE
};

/// The rows of the table.
const PLANS: [Plan; 22] = [
    ONE,
    flows("1 k flows", 1000),
    flows("10 k flows", 10_000),
    HUNDRED,
    flows("300 k flows", 300_000),
    MILLION,
    NEW,
    Plan {
        name: "new flows, table full",
        kind: Kind::Full,
        ..NEW
    },
    Plan {
        name: "SYN on 100 k flows",
        kind: Kind::Again,
        is_syn: true,
        ..HUNDRED
    },
    Plan {
        name: "SYN on 1 M flows",
        kind: Kind::Again,
        is_syn: true,
        ..MILLION
    },
    Plan { protocol: UDP, ..ONE },
    Plan {
        protocol: UDP,
        ..MILLION
    },
    Plan {
        protocol: UDP,
        is_quick: false,
        ..NEW
    },
    Plan { is_ipv6: true, ..ONE },
    Plan {
        is_ipv6: true,
        ..MILLION
    },
    Plan {
        delivery: Delivery::Gue,
        ..ONE
    },
    Plan {
        delivery: Delivery::Gue,
        ..MILLION
    },
    Plan {
        delivery: Delivery::L2,
        ..ONE
    },
    Plan {
        delivery: Delivery::L2,
        ..MILLION
    },
    Plan {
        name: "untracked",
        kind: Kind::Untracked,
        protocol: UDP,
        ..HUNDRED
    },
    Plan {
        name: "not ours",
        kind: Kind::Passed,
        ..HUNDRED
    },
    Plan {
        name: "3.5 M flows",
        flows: 3_500_000,
        slots: 4 * SLOTS,
        is_quick: false,
        ..ONE
    },
];

/// The quick run's table is smaller, which its flows don't notice.
const QUICK_SLOTS: u32 = SLOTS / 4;

pub(super) fn due(extent: Extent) -> Vec<Plan> {
    let plans = PLANS.into_iter();
    match extent {
        Extent::Full => plans.collect(),
        Extent::Quick => plans
            .filter(|plan| plan.is_quick)
            .map(|plan| Plan {
                slots: QUICK_SLOTS,
                ..plan
            })
            .collect(),
    }
}

/// What a packet costs as the configuration grows: title, services, endpoints of each.
pub(super) const CURVES: [(&str, u32, u32); 10] = [
    ("100 k flows, 1 service", 1, 2),
    ("100 k flows, 10 services", 10, 2),
    ("100 k flows, 100 services", 100, 2),
    ("100 k flows, 1000 services", 1000, 2),
    ("100 k flows, 10000 services", 10_000, 2),
    ("100 k flows, 10 endpoints", 1, 10),
    ("100 k flows, 100 endpoints", 1, 100),
    ("100 k flows, 1000 endpoints", 1, 1000),
    ("100 k flows, 10000 endpoints", 1, 10_000),
    ("100 k flows, 60000 endpoints", 1, 60_000),
];
impl Plan {
    pub(super) fn title(&self) -> String {
        let Self { name, delivery, .. } = self;
        format!(
            "{name}, {} v{}, {}",
            self.protocol_name(),
            self.family(),
            delivery.name()
        )
    }

    fn protocol_name(&self) -> &'static str {
        if self.protocol == TCP { "TCP" } else { "UDP" }
    }

    fn family(&self) -> u8 {
        if self.is_ipv6 { 6 } else { 4 }
    }

    pub(super) fn load(&self, walk: Walk) -> Load {
        let service = Service {
            delivery: self.delivery,
            tracks_udp: self.kind != Kind::Untracked,
        };
        let destination = match self.kind {
            Kind::Passed => STRANGER,
            _ => world::vip(service, self.is_ipv6),
        };
        if self.services == 0 {
            return Load::new(frame(self.protocol, self.is_syn, destination), self.flows, walk);
        }
        let first = world::numbered_vip(0, self.is_ipv6);
        let mut load = Load::new(frame(self.protocol, self.is_syn, first), self.flows, walk);
        load.traffic.destinations = self.services;
        load
    }

    /// Without the tuples only those rows differ that write them.
    pub(super) fn concerns(&self, build: Build) -> bool {
        match build {
            Build::Shipped => true,
            Build::WithoutTuples => self.kind.expected() == Reason::ForwardNew,
            // The quick run has no time to fill the kernel's table.
            Build::Lru => self.kind != Kind::Full || self.slots >= SLOTS,
        }
    }

    fn expected(&self, outcomes: &Outcomes) -> f64 {
        let total: u64 = outcomes.values().sum();
        outcomes.get(&self.kind.expected()).copied().unwrap_or(0) as f64 / total as f64
    }

    pub(super) fn check(&self, outcomes: &Outcomes) -> Result<()> {
        ensure!(
            self.expected(outcomes) > 0.5,
            "most packets had another outcome: {outcomes:?}"
        );
        Ok(())
    }

    /// A point of the curve over flows, beside which stands what memory costs by itself.
    pub(super) fn is_on_curve(&self) -> bool {
        let is_of_curve = (self.protocol, self.is_ipv6, self.delivery) == (TCP, false, Delivery::Ipip);
        self.kind == Kind::Known && is_of_curve && self.services == 0
    }

    pub(super) fn case(
        &self,
        nets: &BTreeMap<Build, Spread>,
        outcomes: &Outcomes,
        access: Option<Access>,
    ) -> Case {
        let net = nets[&Build::Shipped];
        let median = |build| nets.get(&build).map(|net| net.median);
        let lru_ns = median(Build::Lru);
        let delivery = match self.kind {
            Kind::Passed => "none",
            _ => self.delivery.name(),
        };
        let of_many = |count: u32| (self.services != 0).then_some(count);
        Case {
            name: self.name.to_owned(),
            delivery: delivery.into(),
            protocol: self.protocol_name().into(),
            family: self.family(),
            flows: (!self.kind.is_new()).then_some(self.flows),
            services: of_many(self.services),
            endpoints: of_many(self.endpoints),
            target_ns: target_ns(self.name, self.protocol_name(), self.family(), delivery),
            net_ns: net.median,
            min: net.min,
            max: net.max,
            slots: self.slots,
            expected: self.expected(outcomes),
            without_tuples_ns: median(Build::WithoutTuples),
            lru_ns,
            lru_ratio: lru_ns.map(|lru| lru / net.median),
            access,
        }
    }
}

/// A small frame, of 64 bytes with the frame check sequence for IPv4.
fn frame(protocol: u8, is_syn: bool, destination: IpAddr) -> Vec<u8> {
    let is_ipv6 = destination.is_ipv6();
    let mut cases = rows::cases().into_iter();
    let case = cases.find(|case| case.protocol == protocol && case.is_ipv6 == is_ipv6 && !case.is_fragment);
    let case = case.expect("TCP and UDP are cases");
    let ends = Ends {
        source: if is_ipv6 {
            Ipv6Addr::new(0x2001, 0xdb8, 0xc11, 0, 0, 0, 0, 0).into()
        } else {
            Ipv4Addr::new(10, 0, 0, 0).into()
        },
        destination,
        source_port: 0,
        destination_port: PORT,
    };
    let mut payload = transport(protocol, &ends, is_syn);
    if protocol == TCP {
        payload.truncate(26);
    }
    let mut frame = network(&case, &ends, &payload, None);
    frame.resize(frame.len().max(60), 0);
    frame
}
