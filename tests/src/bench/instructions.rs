//! `instructions`: how many instructions a packet executes, on a machine whose clock counts them.
//!
//! QEMU's `-icount shift=0` lets a nanosecond pass with each instruction, so the time of a test run is a number of instructions,
//! helpers included, that no other work and no cache can change. What remains is taken off: the call that starts a run, by the
//! difference of a long and a short one; the timer's interrupts, by the median of several; the generator, as in `packet`.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result};
use lb_ctl::dataplane::Sizes;
use lb_ctl::plan::contents::Contents;
use serde::Serialize;

use super::check;
use super::clock::Spread;
use super::generator::{Generator, Walk};
use super::machine::Machine;
use super::packet::{Bench, ENDPOINTS};
use super::progress::Progress;
use super::rows::{HUNDRED, Kind, Plan};
use super::subject::{Build, Subject};
use super::world::{self, Delivery};

/// As the budget has it.
#[derive(Clone, Debug, Serialize)]
pub struct Counts {
    /// Release of the kernel whose helpers and whose verifier are counted.
    pub kernel: String,
    /// Instructions of the program that the verifier looked at.
    pub verified: u32,
    /// Instructions that a packet executes.
    pub executed: BTreeMap<String, u64>,
}

const SIZES: Sizes = Sizes {
    flow_slots: 1 << 13,
    table_slots: 1 << 18,
    services: 64,
    members: 1 << 11,
    backends: 1 << 11,
    zone_tables: 64,
    zone_prefixes: 64,
};

/// Packets of a short and of a long run; in most no interrupt of the timer falls.
const PACKETS: [u32; 2] = [100, 1100];
const RUNS: usize = 9;

const UDP: u8 = 17;

const ONE: Plan = Plan {
    name: "one flow",
    flows: 1,
    slots: SIZES.flow_slots,
    ..HUNDRED
};
const NEW: Plan = Plan {
    name: "new flows",
    kind: Kind::New,
    is_syn: true,
    flows: u32::MAX,
    ..ONE
};

const PLANS: [Plan; 9] = [
    ONE,
    Plan { is_ipv6: true, ..ONE },
    Plan {
        delivery: Delivery::Gue,
        ..ONE
    },
    Plan {
        delivery: Delivery::L2,
        ..ONE
    },
    Plan { protocol: UDP, ..ONE },
    NEW,
    Plan {
        name: "new flows, table full",
        kind: Kind::Full,
        ..NEW
    },
    Plan {
        name: "untracked",
        kind: Kind::Untracked,
        protocol: UDP,
        ..ONE
    },
    Plan {
        name: "not ours",
        kind: Kind::Passed,
        ..ONE
    },
];

pub(super) fn run(progress: &mut Progress) -> Result<Counts> {
    let contents = world::table(ENDPOINTS, &SIZES)?;
    progress.say("loading the programs");
    let mut generator = Generator::load()?;
    let mut subject = Subject::load(Build::Shipped, SIZES, &contents)?;
    let mut executed = BTreeMap::new();
    for plan in &PLANS {
        progress.say(&plan.title());
        let count =
            executed_by(plan, &mut generator, &mut subject, &contents).with_context(|| plan.title())?;
        executed.insert(plan.title(), count);
    }
    Ok(Counts {
        kernel: Machine::read()?.kernel,
        verified: subject.verified_instructions()?,
        executed,
    })
}

fn executed_by(
    plan: &Plan,
    generator: &mut Generator,
    subject: &mut Subject,
    contents: &Contents,
) -> Result<u64> {
    generator.aim_at_nothing()?;
    let alone = slope(|packets| {
        let mut load = plan.load(Walk::Random);
        Ok(generator.send(&mut load, packets)?.1)
    })?;
    let mut load = Bench::prepare(generator, plan, subject, contents)?;
    let both = slope(|packets| {
        if plan.kind == Kind::New {
            subject.clear(contents)?;
            load = plan.load(Walk::Random);
        }
        let run = subject.run(generator, &mut load, packets)?;
        plan.check(&run.outcomes)?;
        check::delivered(plan.delivery, plan.kind != Kind::Passed, &load, &run.last)?;
        Ok(run.time)
    })?;
    Ok((both - alone).round() as u64)
}

/// What one packet more takes, in nanoseconds.
fn slope(mut run: impl FnMut(u32) -> Result<Duration>) -> Result<f64> {
    let mut median = |packets| -> Result<f64> {
        let times: Result<Vec<Duration>> = (0..RUNS).map(|_| run(packets)).collect();
        Ok(Spread::of(times?.iter().map(|time| time.as_nanos() as f64)).median)
    };
    let [short, long] = PACKETS;
    Ok((median(long)? - median(short)?) / f64::from(long - short))
}
