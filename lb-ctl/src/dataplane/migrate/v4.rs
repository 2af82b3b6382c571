//! Layout 4, of the versions before this one: the same maps without `LB_ABOUT`, of the same keys and values.

use anyhow::Result;
use aya::maps::MapData;
use lb_common::layout::{
    Backend, Bucket, CpuState, FragmentKey, FragmentRecord, LAYOUT_VERSION, Member, MemberCounter, Rule,
    RuleKey, Service, SteeringKey, TupleHead, TupleRest, Vip, about, map,
};

use crate::dataplane::kernel::MapSet;
use crate::dataplane::load::{LoadOptions, Sizes, make_maps};
use crate::dataplane::pin::PinDirectory;

pub(in crate::dataplane) const LAYOUT: u32 = 4;

// As long as this holds, layout 4's maps are read and written by the types of this layout. Whoever changes a type raises
// the version, and gives layout 4 the old type here.
const _: () = {
    assert!(LAYOUT_VERSION == 5);
    assert!(size_of::<RuleKey>() == 20 && size_of::<Rule>() == 8 && size_of::<Vip>() == 16);
    assert!(size_of::<SteeringKey>() == 20 && size_of::<Service>() == 40 && size_of::<Member>() == 16);
    assert!(size_of::<Backend>() == 64 && size_of::<Bucket>() == 64);
    assert!(size_of::<TupleHead>() == 16 && size_of::<TupleRest>() == 24);
    assert!(size_of::<FragmentKey>() == 40 && size_of::<FragmentRecord>() == 8);
    assert!(size_of::<MemberCounter>() == 32 && size_of::<CpuState>() == 1040);
};

/// Opens the maps that are pinned in a directory, without a change of any.
pub(super) fn open(pins: &PinDirectory, sizes: &Sizes) -> Result<MapSet> {
    let mut source = |name: &'static str| match pins.map_pin(name) {
        Some(pin) => Ok(MapData::from_pin(pin)?),
        // It says nothing: then the flow table's own number tells which maps these are.
        None => nothing_about(),
    };
    MapSet::open(&mut source, sizes)
}

/// Makes and pins those that are missing.
pub(super) fn make(pins: &PinDirectory, options: &LoadOptions) -> Result<()> {
    Ok(make_maps(options, &|name| pins.map_pin(name))?)
}

fn nothing_about() -> Result<MapData> {
    let kind = aya_obj::generated::bpf_map_type::BPF_MAP_TYPE_ARRAY as u32;
    let flags = aya_obj::generated::BPF_F_MMAPABLE;
    let definition = aya_obj::Map::new_from_params(kind, 4, 8, about::WORDS, flags);
    Ok(MapData::create(definition, map::ABOUT, None)?)
}
