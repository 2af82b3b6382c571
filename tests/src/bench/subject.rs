//! A program under test: one build of the balancer's, loaded, with the maps of a plan.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use aya::programs::{ProgramFd, Xdp};
use lb_common::layout::BUCKET_SLOTS;
use lb_common::verdict::Reason;
use lb_ctl::dataplane::{FlowTable, LoadOptions, Program, Sizes, object};
use lb_ctl::plan::contents::Contents;
use lb_ctl::plan::diff::diff;

use super::generator::{Generator, Last, Load};
use crate::conformance::bench::SEED;
use crate::xdp::built;

/// Builds of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Build {
    /// What the daemon loads.
    Shipped,
    /// The same, but the tuples of flows are not kept.
    WithoutTuples,
    /// The same, but flows are in the kernel's LRU hash.
    Lru,
}

impl Build {
    pub(super) const ALL: [Self; 3] = [Self::Shipped, Self::WithoutTuples, Self::Lru];

    fn object(self) -> Result<Vec<u8>> {
        let read = |variable, name| {
            let path = built(variable, name);
            std::fs::read(&path)
                .with_context(|| format!("reading {} (made by `cargo xtask bench`)", path.display()))
        };
        match self {
            Self::Shipped => Ok(object().to_vec()),
            Self::WithoutTuples => read("LB_BENCH_WITHOUT_TUPLES_OBJECT", "lb-ebpf-without-tuples.o"),
            Self::Lru => read("LB_BENCH_LRU_OBJECT", "lb-ebpf-lru.o"),
        }
    }
}

pub(super) struct Subject {
    pub(super) build: Build,
    sizes: Sizes,
    program: Program,
}

fn loaded(build: Build, sizes: Sizes, contents: &Contents) -> Result<Program> {
    let options = LoadOptions {
        sizes,
        seed: SEED,
        trace_packets: false,
        answer_echo: false,
        test_now: 0,
    };
    let mut program = Program::load_object(&build.object()?, &options, None)?;
    program.maps.apply(&diff(&Contents::default(), contents))?;
    Ok(program)
}

/// How often packets had which outcome.
pub(super) type Outcomes = BTreeMap<Reason, u64>;

/// What a run of packets was.
pub(super) struct Run {
    pub(super) time: Duration,
    pub(super) outcomes: Outcomes,
    pub(super) last: Last,
}

impl Subject {
    pub(super) fn load(build: Build, mut sizes: Sizes, contents: &Contents) -> Result<Self> {
        if build == Build::Lru {
            // Nothing is recorded there: its own table has the shipped number of entries.
            sizes.flow_slots = BUCKET_SLOTS;
        }
        let program = loaded(build, sizes, contents)?;
        Ok(Self {
            build,
            sizes,
            program,
        })
    }

    pub(super) fn fd(&mut self) -> Result<ProgramFd> {
        Ok(self.program.xdp().fd()?.try_clone()?)
    }

    pub(super) fn xdp(&mut self) -> &mut Xdp {
        self.program.xdp()
    }

    /// Where the flows are, except those of [`Build::Lru`].
    pub(super) fn flows(&self) -> &FlowTable {
        &self.program.maps.flows
    }

    /// Instructions that the verifier looked at.
    pub(super) fn verified_instructions(&mut self) -> Result<u32> {
        let count = self.program.verified_instructions();
        count.context("Linux 5.16 and newer tell how many instructions were verified")
    }

    /// Forgets every flow. The kernel's table forgets fastest by being made again.
    pub(super) fn clear(&mut self, contents: &Contents) -> Result<()> {
        if self.build == Build::Lru {
            self.program = loaded(self.build, self.sizes, contents)?;
        }
        let flows = &self.program.maps.flows;
        for bucket in 0..flows.bucket_count() {
            flows.set_bucket(bucket, [0; BUCKET_SLOTS as usize]);
        }
        Ok(())
    }

    /// Sends packets, and says what they took and how they were counted: each once.
    pub(super) fn run(&mut self, generator: &mut Generator, load: &mut Load, packets: u32) -> Result<Run> {
        let before = self.counted()?;
        generator.aim(&self.fd()?)?;
        let (last, time) = generator.send(load, packets)?;
        let outcomes = self.counted_since(&before)?;
        let counted: u64 = outcomes.values().sum();
        ensure!(
            counted == u64::from(packets),
            "{packets} packets were sent and {counted} counted"
        );
        Ok(Run { time, outcomes, last })
    }

    pub(super) fn counted_since(&self, before: &Outcomes) -> Result<Outcomes> {
        let mut outcomes = self.counted()?;
        for (reason, count) in &mut outcomes {
            *count -= before[reason];
        }
        outcomes.retain(|_, count| *count != 0);
        Ok(outcomes)
    }

    pub(super) fn counted(&self) -> Result<Outcomes> {
        let verdicts = self.program.maps.verdicts().context("reading the counters")?;
        Ok(verdicts
            .into_iter()
            .map(|(reason, counter)| (reason, counter.packets))
            .collect())
    }
}
