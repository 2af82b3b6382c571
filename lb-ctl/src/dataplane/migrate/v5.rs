//! Layout 5, of the versions before this one: the same maps without those of arriving interfaces, of the same keys and values
//! but for what CPUs keep, which ends earlier there. A delivery record's port was 32 bits wide, with a 0 where the tag is.

use anyhow::{Context as _, Result};
use aya::maps::MapData;
use aya_obj::generated::{BPF_F_NO_PREALLOC, bpf_map_type};
use lb_common::layout::{
    Backend, Bucket, FragmentKey, FragmentRecord, LAYOUT_VERSION, Member, MemberCounter, Rule, RuleKey,
    Service, SteeringKey, TupleHead, TupleRest, Vip, map,
};

use crate::dataplane::kernel::MapSet;
use crate::dataplane::load::{LoadOptions, Sizes, make_maps};
use crate::dataplane::pin::PinDirectory;

pub const LAYOUT: u32 = 5;

/// What it has not.
pub(in crate::dataplane) const WITHOUT: [&str; 2] = [map::INTERFACES, map::OWN_MACS];

/// What it has in another form.
pub(in crate::dataplane) const OTHERWISE: [&str; 1] = [map::CPU];

/// Bytes of what a CPU keeps.
const CPU_STATE: u32 = 1040;

// As long as this holds, layout 5's maps are read and written by the types of this layout. Whoever changes a type raises
// the version, and gives layout 5 the old type here.
const _: () = {
    assert!(LAYOUT_VERSION == 6);
    assert!(size_of::<RuleKey>() == 20 && size_of::<Rule>() == 8 && size_of::<Vip>() == 16);
    assert!(size_of::<SteeringKey>() == 20 && size_of::<Service>() == 40 && size_of::<Member>() == 16);
    assert!(size_of::<Backend>() == 64 && size_of::<Bucket>() == 64);
    assert!(size_of::<TupleHead>() == 16 && size_of::<TupleRest>() == 24);
    assert!(size_of::<FragmentKey>() == 40 && size_of::<FragmentRecord>() == 8);
    assert!(size_of::<MemberCounter>() == 32);
};

/// Opens the maps that are pinned in a directory, without a change of any.
pub(super) fn open(pins: &PinDirectory, sizes: &Sizes) -> Result<MapSet> {
    let mut source = |name: &'static str| match pins.map_pin(name) {
        Some(pin) => Ok(MapData::from_pin(pin)?),
        // It says nothing, and nobody reads what is written into it.
        None => nothing_of(name),
    };
    MapSet::open(&mut source, sizes)
}

/// Makes and pins those that are missing.
pub(super) fn make(pins: &PinDirectory, options: &LoadOptions) -> Result<()> {
    // The program in this version would make a larger one.
    let cpu = pins.map_pin(map::CPU).context("every layout has it")?;
    if !cpu.exists() {
        let kind = bpf_map_type::BPF_MAP_TYPE_PERCPU_ARRAY;
        new_map(map::CPU, kind, [4, CPU_STATE, 1], 0)?.pin(cpu)?;
    }
    Ok(make_maps(options, &|name| pins.usable_pin(name))?)
}

fn nothing_of(name: &'static str) -> Result<MapData> {
    let sizes = match name {
        map::INTERFACES => [8, 16, lb_common::layout::size::INTERFACES],
        _ => [16, 8, lb_common::layout::size::OWN_MACS],
    };
    new_map(name, bpf_map_type::BPF_MAP_TYPE_HASH, sizes, BPF_F_NO_PREALLOC)
}

/// Sizes are those of a key and of a value, and the number of entries.
fn new_map(name: &str, kind: bpf_map_type, [key, value, entries]: [u32; 3], flags: u32) -> Result<MapData> {
    let definition = aya_obj::Map::new_from_params(kind as u32, key, value, entries, flags);
    Ok(MapData::create(definition, name, None)?)
}
