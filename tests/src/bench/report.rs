//! What a part of the benchmark found: for people a table, for programs JSON.

use std::borrow::Cow;
use std::io::{self, Write};

use lb_ctl::output::{render_json, render_table};
use serde::{Deserialize, Serialize};

pub use super::access::Access;
pub use super::machine::Machine;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report<C> {
    pub part: Cow<'static, str>,
    pub machine: Machine,
    pub cases: Vec<C>,
}

/// What a part measures, as a row of its table.
pub trait Row: Serialize {
    const HEADER: &'static [&'static str];

    fn row(&self) -> Vec<String>;
}

/// One row: what a packet costs, in nanoseconds of CPU time, without what making it costs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Case {
    pub name: String,
    /// `l2`, `ipip`, `gue`; `none` where nothing is delivered.
    pub delivery: Cow<'static, str>,
    pub protocol: Cow<'static, str>,
    /// 4 or 6.
    pub family: u8,
    /// Flows that the packets are of; absent where no packet is of the flow of another.
    pub flows: Option<u32>,
    /// Where the configuration grows: services that the flows are of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub services: Option<u32>,
    /// And endpoints of each.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoints: Option<u32>,
    /// Median of the runs, the generator's own cost subtracted.
    pub net_ns: f64,
    pub min: f64,
    pub max: f64,
    /// The most that is aimed at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_ns: Option<f64>,
    /// Slots of the flow table.
    pub slots: u32,
    /// Packets that had the expected outcome, of 1: tracked where flows are known, recorded where they are new.
    pub expected: f64,
    /// The same without the cold array of full tuples.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub without_tuples_ns: Option<f64>,
    /// The same program over the kernel's LRU hash.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lru_ns: Option<f64>,
    /// `lru_ns` divided by `net_ns`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lru_ratio: Option<f64>,
    /// What the memory of as many flows costs by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access: Option<Access>,
}

impl<C: Row> Report<C> {
    pub fn render(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}\n", self.machine)?;
        render_table(out, C::HEADER, self.cases.iter().map(Row::row))
    }

    pub fn render_json(&self, out: &mut dyn Write) -> io::Result<()> {
        render_json(out, self)
    }
}

impl Row for Case {
    const HEADER: &'static [&'static str] = &[
        "CASE",
        "DELIVERY",
        "PROTOCOL",
        "FLOWS",
        "SLOTS",
        "NET NS",
        "MIN",
        "MAX",
        "TARGET",
        "EXPECTED",
        "NO TUPLES",
        "LRU NS",
        "LRU RATIO",
        "ACCESS NS",
    ];

    fn row(&self) -> Vec<String> {
        let number = |value: f64| format!("{value:.1}");
        let optional = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), number);
        vec![
            self.name.clone(),
            self.delivery.to_string(),
            format!("{} v{}", self.protocol, self.family),
            self.flows
                .map_or_else(|| "new".to_owned(), |flows| flows.to_string()),
            self.slots.to_string(),
            number(self.net_ns),
            number(self.min),
            number(self.max),
            optional(self.target_ns),
            format!("{:.2} %", self.expected * 100.0),
            optional(self.without_tuples_ns),
            optional(self.lru_ns),
            optional(self.lru_ratio),
            optional(self.access.map(|access| access.net_ns)),
        ]
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn report() -> Report<Case> {
        let case = Case {
            name: "one flow".to_owned(),
            delivery: "ipip".into(),
            protocol: "TCP".into(),
            family: 4,
            flows: Some(1),
            services: None,
            endpoints: None,
            net_ns: 50.25,
            min: 49.0,
            max: 52.0,
            target_ns: Some(60.0),
            slots: 4096,
            expected: 1.0,
            without_tuples_ns: None,
            lru_ns: Some(100.5),
            lru_ratio: Some(2.0),
            access: None,
        };
        Report {
            part: "packet".into(),
            machine: Machine {
                kernel: "6.18.0".to_owned(),
                cpu: "a processor".to_owned(),
                cpus: 2,
                memory_mib: 4096,
                is_virtual: true,
            },
            cases: vec![case],
        }
    }

    #[test]
    fn programs_get_every_case_and_the_machine() {
        let mut bytes = Vec::new();
        report().render_json(&mut bytes).expect("writing to memory");
        let value: Value = serde_json::from_slice(&bytes).expect("JSON");
        let expected = json!({
            "part": "packet",
            "machine": {
                "kernel": "6.18.0", "cpu": "a processor", "cpus": 2, "memory_mib": 4096, "is_virtual": true,
            },
            "cases": [{
                "name": "one flow", "delivery": "ipip", "protocol": "TCP", "family": 4, "flows": 1,
                "net_ns": 50.25, "min": 49.0, "max": 52.0, "target_ns": 60.0, "slots": 4096, "expected": 1.0,
                "lru_ns": 100.5, "lru_ratio": 2.0,
            }],
        });
        assert_eq!(value, expected);
    }

    #[test]
    fn people_get_a_table() {
        let mut bytes = Vec::new();
        report().render(&mut bytes).expect("writing to memory");
        let text = String::from_utf8(bytes).expect("text");
        let row = text.lines().last().expect("a row");
        let cells: Vec<&str> = row
            .split("  ")
            .map(str::trim)
            .filter(|cell| !cell.is_empty())
            .collect();
        let expected = [
            "one flow", "ipip", "TCP v4", "1", "4096", "50.2", "49.0", "52.0", "60.0", "100.00 %", "-",
            "100.5", "2.0", "-",
        ];
        assert_eq!(cells, expected);
    }
}
