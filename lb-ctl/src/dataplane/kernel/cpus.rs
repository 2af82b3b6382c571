//! What each CPU keeps for itself: of this layout, or of the former one, whose value ends earlier.

use anyhow::{Context as _, Result};
use aya::Pod;
use aya::maps::{MapData, PerCpuArray, PerCpuValues};
use lb_common::layout::{CpuState, VerdictCounter};
use lb_common::verdict::REASON_SLOTS;
use zerocopy::transmute;

/// [`CpuState`] as the map's reader takes it.
type Words = [u64; size_of::<CpuState>() / 8];
/// The former layout's: the time and the verdicts.
type FormerWords = [u64; 2 * (1 + REASON_SLOTS as usize)];

pub(super) enum CpuStates {
    Current(PerCpuArray<MapData, Words>),
    Former(PerCpuArray<MapData, FormerWords>),
}

impl CpuStates {
    pub(super) fn new(map: MapData) -> Result<Self> {
        let is_former = map.info()?.value_size() as usize == size_of::<FormerWords>();
        let map = aya::maps::Map::PerCpuArray(map);
        let states = match is_former {
            true => PerCpuArray::try_from(map).map(Self::Former),
            false => PerCpuArray::try_from(map).map(Self::Current),
        };
        states.context("the map of what CPUs keep is of an unexpected kind")
    }

    /// Of every CPU. What the former layout has not is 0.
    pub(super) fn read(&self) -> Result<Vec<CpuState>> {
        Ok(match self {
            Self::Current(map) => map.get(&0, 0)?.iter().map(|words| transmute!(*words)).collect(),
            Self::Former(map) => map.get(&0, 0)?.iter().map(of_former).collect(),
        })
    }

    /// The verdicts that `from` has counted. Nothing else is worth more than a look-up.
    pub(super) fn take_counters(&mut self, from: &Self) -> Result<()> {
        let states = from.read()?;
        match self {
            Self::Current(map) => set(map, &states, |state| {
                let nothing = CpuState {
                    asked: 0,
                    now: 0,
                    verdicts: state.verdicts,
                    own_mac: 0,
                    own_ifindex: 0,
                    own_epoch: 0,
                    own_mtu: 0,
                    not_judged: state.not_judged,
                };
                transmute!(nothing)
            }),
            Self::Former(map) => set(map, &states, |state| {
                let mut words = [0; FORMER_WORDS];
                let counters: [u64; FORMER_WORDS - 2] = transmute!(state.verdicts);
                words[2..].copy_from_slice(&counters);
                words
            }),
        }
    }
}

const FORMER_WORDS: usize = size_of::<FormerWords>() / 8;

fn of_former(words: &FormerWords) -> CpuState {
    let mut counters = [0; FORMER_WORDS - 2];
    counters.copy_from_slice(&words[2..]);
    let verdicts: [VerdictCounter; REASON_SLOTS as usize] = transmute!(counters);
    CpuState {
        asked: words[0],
        now: words[1],
        verdicts,
        own_mac: 0,
        own_ifindex: 0,
        own_epoch: 0,
        own_mtu: 0,
        not_judged: 0,
    }
}

fn set<W: Pod>(
    map: &mut PerCpuArray<MapData, W>,
    states: &[CpuState],
    words: impl Fn(&CpuState) -> W,
) -> Result<()> {
    let values: Vec<W> = states.iter().map(words).collect();
    map.set(0, PerCpuValues::try_from(values)?, 0)?;
    Ok(())
}
