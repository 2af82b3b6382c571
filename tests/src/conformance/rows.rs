//! What the table is the product of: policies, protocols, events.

use super::events::{EVENTS, Event};
use super::expected;

pub const SCHEMES: [&str; 2] = ["EXTERNAL", "INTERNAL"];
pub const AFFINITIES: [&str; 5] = [
    "NONE",
    "CLIENT_IP_PORT_PROTO",
    "CLIENT_IP_PROTO",
    "CLIENT_IP",
    "CLIENT_IP_NO_DESTINATION",
];
pub const MODES: [&str; 2] = ["PER_CONNECTION", "PER_SESSION"];
pub const PERSISTENCES: [&str; 3] = ["DEFAULT_FOR_PROTOCOL", "NEVER_PERSIST", "ALWAYS_PERSIST"];

/// A combination of the fields of a backend service that say what an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Policy {
    pub scheme: &'static str,
    pub affinity: &'static str,
    pub mode: &'static str,
    pub persistence: &'static str,
}

impl Policy {
    pub fn is_internal(&self) -> bool {
        self.scheme == "INTERNAL"
    }
}

/// A kind of packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Case {
    pub name: &'static str,
    /// Of the tables in [`expected`].
    pub column: &'static str,
    pub is_ipv6: bool,
    pub protocol: u8,
    /// All packets of the flow are TCP SYNs or SCTP INITs, not only its first.
    pub is_syn: bool,
    pub is_fragment: bool,
}

impl Case {
    pub fn has_ports(&self) -> bool {
        matches!(self.protocol, 6 | 17 | 132)
    }
}

/// Every combination, those that are refused included.
pub fn policies() -> Vec<Policy> {
    let mut all = Vec::new();
    for scheme in SCHEMES {
        for affinity in AFFINITIES {
            for mode in MODES {
                all.extend(PERSISTENCES.map(|persistence| Policy {
                    scheme,
                    affinity,
                    mode,
                    persistence,
                }));
            }
        }
    }
    all
}

pub fn accepted() -> Vec<Policy> {
    let mut policies = policies();
    policies.retain(|policy| expected::refused(policy).is_none());
    policies
}

/// Name, column of the tables, protocol over IPv4, protocol over IPv6.
const PROTOCOLS: [(&str, &str, u8, u8); 11] = [
    ("TCP", "TCP", 6, 6),
    ("TCP SYN", "TCP", 6, 6),
    ("SCTP", "SCTP", 132, 132),
    ("SCTP INIT", "SCTP", 132, 132),
    ("UDP", "UDP", 17, 17),
    ("UDP fragment", "UDP-fragment", 17, 17),
    ("ESP", "ESP", 50, 50),
    ("AH", "AH", 51, 51),
    ("GRE", "GRE", 47, 47),
    ("OSPF", "other", 89, 89),
    ("ICMP echo", "ICMP", 1, 58),
];

pub fn cases() -> Vec<Case> {
    let mut all = Vec::new();
    for (name, column, v4, v6) in PROTOCOLS {
        for (is_ipv6, protocol) in [(false, v4), (true, v6)] {
            all.push(Case {
                name,
                column,
                is_ipv6,
                protocol,
                is_syn: matches!(name, "TCP SYN" | "SCTP INIT"),
                is_fragment: name == "UDP fragment",
            });
        }
    }
    all
}

/// One line of the table.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    pub policy: Policy,
    pub case: Case,
    pub event: &'static Event,
}

/// The rows of one event.
pub fn of_event(event: &'static Event) -> Vec<Row> {
    let mut rows = Vec::new();
    for policy in accepted() {
        if event.scheme.is_none_or(|scheme| scheme == policy.scheme) {
            rows.extend(cases().into_iter().map(|case| Row { policy, case, event }));
        }
    }
    rows
}

pub fn all() -> Vec<Row> {
    EVENTS.iter().flat_map(of_event).collect()
}
