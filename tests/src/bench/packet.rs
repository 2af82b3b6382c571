//! `packet`: what each kind of packet costs, by test runs on one CPU.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use lb_ctl::dataplane::Sizes;
use lb_ctl::plan::contents::Contents;

use super::Extent;
use super::access::{Access, Ring};
use super::check;
use super::clock::{self, Spread};
use super::generator::{Generator, Load, Walk};
use super::machine::Machine;
use super::progress::Progress;
use super::report::{Case, Report};
use super::rows::{CURVES, HUNDRED, Kind, MILLION, Plan, SLOTS, due};
use super::subject::{Build, Outcomes, Subject};
use super::world;
use crate::conformance::bench::enter_namespace;

/// Endpoints of each service.
pub(super) const ENDPOINTS: u32 = 64;
/// What a table is filled with, in packets of new flows for each slot: enough that one slot in a hundred stays empty.
const FILLING: u32 = 2;
/// A run of new flows is shorter than this share of the table, so that there is room for all runs.
const ROOM: u32 = 16;
/// Room for the selection table of a small service.
const TABLE: u32 = 1 << 12;
/// Packets before each run that warm the caches: others have used them.
const LEAD: u32 = 100_000;
/// How often and how long.
struct Pace {
    runs: usize,
    packets: u32,
}

/// Measures the rows whose title contains `filter`.
pub(super) fn run(extent: Extent, filter: &str, progress: &mut Progress) -> Result<Report<Case>> {
    enter_namespace();
    let cpu = clock::pin()?;
    progress.say(&format!("measuring on CPU {cpu}"));
    let mut bench = Bench {
        generator: Generator::load()?,
        pace: match extent {
            Extent::Quick => Pace {
                runs: 7,
                packets: 100_000,
            },
            Extent::Full => Pace {
                runs: 9,
                packets: 1_000_000,
            },
        },
        cases: Vec::new(),
    };
    let mut plans = due(extent);
    plans.retain(|plan| plan.title().contains(filter));
    for plans in plans.chunk_by(|one, next| one.slots == next.slots) {
        let sizes = Sizes {
            flow_slots: plans[0].slots,
            ..Sizes::default()
        };
        let contents = world::table(ENDPOINTS, &sizes)?;
        let subjects = Build::ALL.map(|build| Subject::load(build, sizes, &contents));
        let mut subjects: Vec<Subject> = subjects.into_iter().collect::<Result<_>>()?;
        for plan in plans {
            progress.say(&plan.title());
            bench
                .measure(plan, &mut subjects, &contents)
                .with_context(|| plan.title())?;
        }
    }
    if extent == Extent::Full {
        for (name, services, endpoints) in CURVES {
            let plan = Plan { name, ..HUNDRED };
            if plan.title().contains(filter) {
                progress.say(&plan.title());
                bench.point(&plan, services, endpoints)?;
            }
        }
    }
    ensure!(!bench.cases.is_empty(), "no row's title contains '{filter}'");
    Ok(Report {
        part: "packet".into(),
        machine: Machine::read()?,
        cases: bench.cases,
    })
}

pub(super) struct Bench {
    generator: Generator,
    pace: Pace,
    cases: Vec<Case>,
}

/// What one build showed in a case.
struct Shown {
    load: Load,
    nanoseconds: Vec<f64>,
    outcomes: Outcomes,
}

impl Bench {
    /// One point of a curve: flows are spread over the services.
    fn point(&mut self, plan: &Plan, services: u32, endpoints: u32) -> Result<()> {
        let shipped = Sizes::default();
        let sizes = Sizes {
            table_slots: shipped.table_slots.max(services * TABLE),
            ..shipped
        };
        let contents = world::wide(services, endpoints, &sizes)?;
        let plan = Plan {
            services,
            endpoints,
            ..*plan
        };
        let mut subjects = [Subject::load(Build::Shipped, sizes, &contents)?];
        self.measure(&plan, &mut subjects, &contents)
    }

    fn measure(&mut self, plan: &Plan, subjects: &mut [Subject], contents: &Contents) -> Result<()> {
        let mut nothing = plan.load(Walk::Random);
        let mut alone = Vec::new();
        let mut all = Vec::new();
        for subject in subjects.iter_mut().filter(|subject| plan.concerns(subject.build)) {
            let load = Self::prepare(&mut self.generator, plan, subject, contents)?;
            all.push((subject, Shown::new(load)));
        }
        for _ in 0..self.pace.runs {
            self.generator.aim_at_nothing()?;
            alone.push(self.empty_run(&mut nothing)?);
            for (subject, shown) in &mut all {
                if plan.kind == Kind::New && subject.build != Build::Lru {
                    subject.clear(contents)?;
                }
                self.run(plan, subject, shown)?;
            }
        }
        let alone = Spread::of(alone);
        let mut nets = BTreeMap::new();
        for (subject, shown) in &all {
            plan.check(&shown.outcomes)
                .with_context(|| format!("{:?}", subject.build))?;
            nets.insert(
                subject.build,
                Spread::of(shown.nanoseconds.iter().map(|time| time - alone.median)),
            );
        }
        let (subject, shipped) = &all[0];
        let access = match plan.is_on_curve() {
            true => Some(self.access(plan, subject)?),
            false => None,
        };
        self.cases.push(plan.case(&nets, &shipped.outcomes, access));
        Ok(())
    }

    /// Last of a case, because its flows are lost.
    fn access(&self, plan: &Plan, subject: &Subject) -> Result<Access> {
        let ring = Ring::new(subject.flows(), plan.flows);
        ring.access(self.pace.runs, self.pace.packets)
    }

    fn empty_run(&mut self, load: &mut Load) -> Result<f64> {
        self.generator.send(load, LEAD)?;
        let packets = self.pace.packets;
        let (_, time) = self.generator.send(load, packets)?;
        Ok(time.as_nanos() as f64 / f64::from(packets))
    }

    fn run(&mut self, plan: &Plan, subject: &mut Subject, shown: &mut Shown) -> Result<()> {
        let packets = match plan.kind {
            Kind::New => self.pace.packets.min(plan.slots / ROOM),
            _ => self.pace.packets,
        };
        if plan.kind != Kind::New {
            subject.run(&mut self.generator, &mut shown.load, LEAD)?;
        }
        let run = subject.run(&mut self.generator, &mut shown.load, packets)?;
        check::delivered(plan.delivery, plan.kind != Kind::Passed, &shown.load, &run.last)?;
        shown
            .nanoseconds
            .push(run.time.as_nanos() as f64 / f64::from(packets));
        for (reason, count) in run.outcomes {
            *shown.outcomes.entry(reason).or_default() += count;
        }
        Ok(())
    }

    /// Brings the flow table to what the case is about, and makes the packets to measure.
    pub(super) fn prepare(
        generator: &mut Generator,
        plan: &Plan,
        subject: &mut Subject,
        contents: &Contents,
    ) -> Result<Load> {
        let mut load = plan.load(Walk::Random);
        match plan.kind {
            Kind::Known | Kind::Again => {
                // Making the kernel's table again takes long, and few flows don't fill it.
                if subject.build != Build::Lru || plan.flows >= MILLION.flows {
                    subject.clear(contents)?;
                }
                // Entries shall not lie in the order in which they are asked for.
                let mut filling = plan.load(Walk::Sequential);
                subject.run(generator, &mut filling, plan.flows)?;
            }
            Kind::Full => {
                let filling = if subject.build == Build::Lru {
                    SLOTS + SLOTS / 8
                } else {
                    plan.slots * FILLING
                };
                subject.run(generator, &mut load, filling)?;
            }
            Kind::New => subject.clear(contents)?,
            Kind::Untracked | Kind::Passed => {}
        }
        Ok(load)
    }
}

impl Shown {
    fn new(load: Load) -> Self {
        Self {
            load,
            nanoseconds: Vec::new(),
            outcomes: Outcomes::new(),
        }
    }
}
