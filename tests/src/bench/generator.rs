//! The loaded generator: aims at a program, and sends it packets by test runs.

use std::time::Duration;

use anyhow::{Context as _, Result};
use aya::maps::{Array, MapData, ProgramArray};
use aya::programs::{ProgramFd, TestRun as _, TestRunOptions, Xdp};
use aya::{Ebpf, EbpfLoader};

use super::clock::cpu_time;
use super::traffic::{Order, Traffic};
use crate::conformance::bench::{INGRESS, xdp_context};
use crate::xdp::object_path;

// SAFETY: words without padding, and any bits are a value.
unsafe impl aya::Pod for Traffic {}

pub struct Generator {
    object: Ebpf,
    traffic: Array<MapData, Traffic>,
    target: ProgramArray<MapData>,
}

/// The order of flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Walk {
    Sequential,
    Random,
}

/// What packets a run sends: of one frame, which the generator writes the addresses and ports of flows into.
#[derive(Clone, Debug)]
pub struct Load {
    pub frame: Vec<u8>,
    pub traffic: Traffic,
}

/// What the last packet of a run became.
pub struct Last {
    pub action: u32,
    pub frame: Vec<u8>,
}

const ETHERNET: usize = 14;

impl Load {
    /// Packets like `frame`, an IP packet of TCP or UDP without options, of `flows` flows.
    pub fn new(frame: Vec<u8>, flows: u32, walk: Walk) -> Self {
        let word = |at: usize| u32::from_ne_bytes(std::array::from_fn(|byte| frame[at + byte]));
        let half = |at: usize| u32::from(u16::from_ne_bytes([frame[at], frame[at + 1]]));
        let is_v4 = frame[ETHERNET] >> 4 == 4;
        let transport = ETHERNET + if is_v4 { 20 } else { 40 };
        let mut header: [u32; 10] = std::array::from_fn(|index| word(ETHERNET + 4 * index));
        let mut sum = 0;
        if is_v4 {
            // The checksum is the generator's to fill in.
            header[2] &= 0xffff;
            sum = header[..3]
                .iter()
                .map(|word| (word & 0xffff) + (word >> 16))
                .sum();
        }
        let traffic = Traffic {
            step: 0,
            flows,
            order: order(flows, walk),
            length: frame.len() as u32,
            family: if is_v4 { 4 } else { 6 },
            destination: u32::from_be(header[4]),
            destinations: 1,
            sum,
            destination_port: half(transport + 2),
            ethernet: [word(0), word(4), word(8), half(12)],
            header,
        };
        Self { frame, traffic }
    }
}

/// An order that makes use of all numbers below the next power of two.
pub(super) fn order(flows: u32, walk: Walk) -> Order {
    let mask = flows
        .checked_next_power_of_two()
        .map_or(u32::MAX, |numbers| numbers - 1);
    let bits = mask.count_ones();
    match walk {
        Walk::Sequential => Order {
            mask,
            factors: [1; 3],
            shift: 31,
        },
        Walk::Random => Order {
            mask,
            factors: [0x9e37_79b1, 0x85eb_ca6b, 0xc2b2_ae35],
            shift: bits.div_ceil(2).clamp(1, 31),
        },
    }
}

impl Generator {
    pub fn load() -> Result<Self> {
        let path = object_path();
        let mut object = EbpfLoader::new()
            .load_file(&path)
            .with_context(|| format!("loading {} (made by `cargo xtask build`)", path.display()))?;
        for name in ["bench_generate", "bench_empty"] {
            program(&mut object, name)?
                .load()
                .with_context(|| format!("verifying {name}"))?;
        }
        let mut map = |name: &str| {
            object
                .take_map(name)
                .with_context(|| format!("the object has no map {name}"))
        };
        Ok(Self {
            traffic: map("BENCH_TRAFFIC")?.try_into()?,
            target: map("BENCH_TARGET")?.try_into()?,
            object,
        })
    }

    /// The next packets go to this program.
    pub fn aim(&mut self, program: &ProgramFd) -> Result<()> {
        self.target
            .set(0, program, 0)
            .context("naming the program under test")
    }

    /// The next packets go to a program that does nothing.
    pub fn aim_at_nothing(&mut self) -> Result<()> {
        let nothing = program(&mut self.object, "bench_empty")?.fd()?.try_clone()?;
        self.aim(&nothing)
    }

    /// Sends, and counts `load` on to the packets that come next.
    pub fn send(&mut self, load: &mut Load, packets: u32) -> Result<(Last, Duration)> {
        self.traffic
            .set(0, load.traffic, 0)
            .context("setting the traffic")?;
        let mut frame = vec![0; 512];
        let context = xdp_context(load.frame.len(), INGRESS);
        let mut options = TestRunOptions::new();
        options.data_in = Some(&load.frame);
        options.ctx_in = Some(&context);
        options.data_out = Some(&mut frame);
        options.repeat = packets;
        let generate = program(&mut self.object, "bench_generate")?;
        let (result, time) = cpu_time(|| generate.test_run(options).context("a test run"))?;
        frame.truncate(result.data_size_out as usize);
        load.traffic = self.traffic.get(&0, 0).context("reading the traffic")?;
        let action = result.return_value;
        Ok((Last { action, frame }, time))
    }
}

fn program<'a>(object: &'a mut Ebpf, name: &str) -> Result<&'a mut Xdp> {
    let program = object
        .program_mut(name)
        .with_context(|| format!("the object has no program {name}"))?;
    Ok(program.try_into()?)
}
