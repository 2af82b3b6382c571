//! Floods of packets that never repeat, over flows that are known. No confirmed flow may lose its slot: the one thing of the
//! benchmark that can be wrong on its own.

use std::time::Duration;

use anyhow::{Result, ensure};
use lb_common::clock::{TICK_SECONDS, tick};
use lb_common::flow::Slot;
use lb_common::verdict::{Action, Reason};
use lb_ctl::dataplane::now;

use super::{Case, Scale, plan, table_name};
use crate::bench::generator::{Generator, Load, Walk};
use crate::bench::progress::Progress;
use crate::bench::rows::Plan;
use crate::bench::subject::{Build, Outcomes, Subject};
use crate::condition::eventually;

/// Name, protocol, and whether TCP packets are first ones.
const FLOODS: [(&str, u8, bool); 3] = [
    ("flood of SYN", 6, true),
    ("flood of ACK", 6, false),
    ("flood of UDP", 17, false),
];

pub(super) fn cases(
    generator: &mut Generator,
    subject: &mut Subject,
    scale: &Scale,
    progress: &mut Progress,
) -> Result<Vec<Case>> {
    let table = table_name(subject.build);
    progress.say(&format!("making {} known, {table}", scale.flows));
    make_known(generator, subject, scale.flows)?;
    let mut cases = Vec::new();
    // What comes after the known ones has not been seen.
    let mut next = scale.flows;
    for (name, protocol, is_syn) in FLOODS {
        progress.say(&format!("{name}, {table}"));
        let before = confirmed(subject);
        let mut flood = flood(protocol, is_syn, next);
        let outcomes = subject.run(generator, &mut flood, scale.flood)?.outcomes;
        next += scale.flood;
        check_forwarded(&outcomes)?;
        let lost = lost(subject, &before);
        let kept = known(generator, subject, scale.flows)?;
        let evicted = (subject.build != Build::Lru).then_some(lost);
        if subject.build != Build::Lru {
            ensure!(
                lost == 0,
                "{name}: {lost} confirmed flows of {} were evicted",
                before.len()
            );
            ensure!(
                kept as usize >= before.len(),
                "{name}: {kept} flows are known, {} were confirmed",
                before.len()
            );
        }
        cases.push(Case {
            name: name.to_owned(),
            table: table.into(),
            slots: scale.slots,
            flows: scale.flows,
            flood: Some(scale.flood),
            kept: Some(kept),
            evicted,
            ..Case::default()
        });
    }
    Ok(cases)
}

/// Packets of flows from number `first` on: in order, so that none is one that was there before.
fn flood(protocol: u8, is_syn: bool, first: u32) -> Load {
    let plan = Plan {
        protocol,
        is_syn,
        ..plan(u32::MAX)
    };
    let mut load = plan.load(Walk::Sequential);
    load.traffic.step = first;
    load
}

/// Flows are seen, and seen again when their entries' expiry has moved, which confirms them.
fn make_known(generator: &mut Generator, subject: &mut Subject, flows: u32) -> Result<()> {
    known(generator, subject, flows)?;
    let first = tick(now());
    eventually(Duration::from_secs(2 * u64::from(TICK_SECONDS)), || {
        // The kernel's clock is a jiffy late: a second later it is in the same tick for certain.
        (tick(now().saturating_sub(1)) > first)
            .then_some(())
            .ok_or_else(|| "the tick lasts".to_owned())
    });
    let kept = known(generator, subject, flows)?;
    ensure!(
        f64::from(kept) > f64::from(flows) * 0.99,
        "only {kept} of {flows} flows are known"
    );
    if subject.build != Build::Lru {
        let confirmed = confirmed(subject).len();
        ensure!(
            confirmed as f64 > f64::from(flows) * 0.99,
            "only {confirmed} of {flows} flows are confirmed"
        );
    }
    Ok(())
}

/// Sends a packet of each known flow, and says how many had an entry.
fn known(generator: &mut Generator, subject: &mut Subject, flows: u32) -> Result<u32> {
    let mut load = plan(flows).load(Walk::Sequential);
    let outcomes = subject.run(generator, &mut load, flows)?.outcomes;
    check_forwarded(&outcomes)?;
    Ok(outcomes.get(&Reason::ForwardTracked).copied().unwrap_or(0) as u32)
}

fn check_forwarded(outcomes: &Outcomes) -> Result<()> {
    ensure!(
        outcomes.keys().all(|reason| reason.action() == Action::Forward),
        "not every packet was forwarded: {outcomes:?}"
    );
    Ok(())
}

/// Confirmed entries and where they are.
fn confirmed(subject: &Subject) -> Vec<(u32, Slot)> {
    let slots = subject.flows().alive_slots(now());
    slots.filter(|(_, slot)| slot.is_confirmed()).collect()
}

/// How many of these entries are no longer where they were. Only their expiry may have moved.
fn lost(subject: &Subject, before: &[(u32, Slot)]) -> u32 {
    let flows = subject.flows();
    let is_lost = |(index, slot): &&(u32, Slot)| {
        let now = Slot(flows.bucket(index / 8)[(index % 8) as usize]);
        (now.tag(), now.member(), now.is_confirmed()) != (slot.tag(), slot.member(), true)
    };
    before.iter().filter(is_lost).count() as u32
}
