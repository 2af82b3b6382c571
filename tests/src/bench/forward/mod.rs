//! `forward`: packets and connections a second in network namespaces, beside what else forwards them: the least that an XDP
//! program can do, the kernel's router, nftables and HAProxy, all on the same topology in the same run.

mod connections;
mod packets;
mod ways;
mod wire;

use std::borrow::Cow;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::Extent;
use super::clock::Spread;
use super::machine::Machine;
use super::progress::Progress;
use super::report::{Report, Row};

/// One thing that was measured.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Case {
    pub name: String,
    /// What is counted: `packets` or `connections`.
    pub unit: Cow<'static, str>,
    /// What forwards them.
    pub way: Cow<'static, str>,
    pub protocol: Cow<'static, str>,
    /// Flows that the packets are of; absent where no packet is of the flow of another.
    pub flows: Option<u32>,
    /// Median of the runs.
    pub per_second: f64,
    pub min: f64,
    pub max: f64,
    /// Of the reference: packets of the XDP program that only exchanges addresses, measured in turns with it; connections
    /// without anything in between.
    pub share: f64,
    /// The least share that is aimed at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<f64>,
    /// How many times as many as by nftables.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dnat_ratio: Option<f64>,
    /// The least of it that is aimed at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dnat_target: Option<f64>,
    /// Packets that had the expected outcome, of 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected: Option<f64>,
}

impl Case {
    fn new(
        name: &str,
        unit: &'static str,
        way: &'static str,
        protocol: &'static str,
        rates: &Spread,
    ) -> Self {
        Self {
            name: name.to_owned(),
            unit: unit.into(),
            way: way.into(),
            protocol: protocol.into(),
            flows: None,
            per_second: rates.median,
            min: rates.min,
            max: rates.max,
            share: 1.0,
            target: None,
            dnat_ratio: None,
            dnat_target: None,
            expected: None,
        }
    }
}

impl Row for Case {
    const HEADER: &'static [&'static str] = &[
        "CASE",
        "UNIT",
        "WAY",
        "PROTOCOL",
        "FLOWS",
        "PER SECOND",
        "MIN",
        "MAX",
        "SHARE",
        "TARGET",
        "TIMES DNAT",
        "TARGET",
        "EXPECTED",
    ];

    fn row(&self) -> Vec<String> {
        let whole = |value: f64| format!("{value:.0}");
        let share = |value: f64| format!("{value:.2}");
        let or_dash = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
        vec![
            self.name.clone(),
            self.unit.to_string(),
            self.way.to_string(),
            self.protocol.to_string(),
            or_dash(self.flows.map(|flows| flows.to_string())),
            whole(self.per_second),
            whole(self.min),
            whole(self.max),
            share(self.share),
            or_dash(self.target.map(share)),
            or_dash(self.dnat_ratio.map(share)),
            or_dash(self.dnat_target.map(share)),
            or_dash(self.expected.map(|part| format!("{:.2} %", part * 100.0))),
        ]
    }
}

/// The way whose rate others are a multiple of.
const DNAT: &str = "nftables DNAT";

/// Compares what was measured of one thing with what nftables made of it.
fn compare_with_dnat(cases: &mut [Case]) {
    let Some(dnat) = cases.iter().find(|case| case.way == DNAT) else {
        return;
    };
    let (name, rate) = (dnat.name.clone(), dnat.per_second);
    for case in cases.iter_mut().filter(|case| case.name == name) {
        case.dnat_ratio = Some(case.per_second / rate);
    }
}

pub(super) fn run(extent: Extent, progress: &mut Progress) -> Result<Report<Case>> {
    let mut cases = packets::run(extent, progress)?;
    cases.extend(connections::run(extent, progress)?);
    Ok(Report {
        part: "forward".into(),
        machine: Machine::read()?,
        cases,
    })
}
