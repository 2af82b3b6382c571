//! Sizes of selection tables: decided once, kept, and refused where there is no room.

use std::collections::BTreeMap;

use lb_common::rendezvous::SIZES;
use serde_json::{Value, json};

use super::{apply, documents, internal};
use crate::model::{HeldSizes, ResourcePath, TableSlots};
use crate::resources::tables::{DefaultSlots, TableRoom};
use crate::resources::{Applied, Fault, FaultKind, Mode, Resource, Resources, Scope};

const MIB: u32 = 1 << 20;

/// As of a daemon with the usual settings, but for the slots of all tables.
fn room(slots: u32) -> TableRoom {
    TableRoom {
        slots,
        reserve: slots / 4,
        ..TableRoom::default()
    }
}

fn apply_within(resources: &Resources, value: &Value, room: &TableRoom) -> Result<Applied, Vec<Fault>> {
    let now = "2026-02-03T04:05:06Z".parse().expect("a time");
    resources.apply_within(&documents(value), &Scope::default(), Mode::Additive, now, room)
}

fn path(name: &str) -> ResourcePath {
    ResourcePath::from_canonical(format!("projects/local/regions/local/backendServices/{name}"))
}

/// Internal services, each with a rule and no endpoints.
fn services(range: std::ops::Range<u32>) -> Value {
    let pair = |number: u32| {
        let address = format!("10.{}.{}.{}", number >> 16, number >> 8 & 255, number & 255);
        [
            json!({"kind": "compute#backendService", "name": format!("s{number}"), "protocol": "TCP",
                "loadBalancingScheme": "INTERNAL"}),
            json!({"kind": "compute#forwardingRule", "name": format!("r{number}"), "IPProtocol": "TCP",
                "loadBalancingScheme": "INTERNAL", "IPAddress": address, "ports": ["80"],
                "backendService": format!("s{number}")}),
        ]
    };
    range.flat_map(pair).collect()
}

fn endpoints(count: usize) -> Value {
    let mut value = internal();
    value[1]["networkEndpoints"] = (0..count)
        .map(|index| json!({"instance": format!("vm-{index}"), "ipAddress": format!("10.1.{}.{}", index / 250, index % 250 + 1)}))
        .collect();
    value
}

fn slots(applied: &Applied, name: &str) -> u32 {
    let slots = applied.config.services[&path(name)].table_slots.slots;
    let kept = applied
        .resources
        .get(&path(name))
        .and_then(|resource| resource.table_slots.clone());
    assert_eq!(kept, Some(TableSlots::all(slots)), "what is decided is kept");
    slots
}

#[test]
fn a_size_is_decided_once_and_never_follows_the_endpoints() {
    let room = room(32 * MIB);
    let mut applied = apply_within(&Resources::default(), &endpoints(2), &room).expect("it fits");
    for count in [40, 41, 163, 164, 655, 656, 1000, 3] {
        applied = apply_within(&applied.resources, &endpoints(count), &room).expect("it fits");
        assert_eq!(slots(&applied, "shop"), 65_536, "{count}");
    }
    // Nor is it decided again by another setting.
    let other = TableRoom {
        default_slots: DefaultSlots::Slots(4096),
        ..room.clone()
    };
    applied = apply_within(&applied.resources, &endpoints(5), &other).expect("it fits");
    assert_eq!(slots(&applied, "shop"), 65_536);
    // Deleted and made again it is another service.
    let mut rule_gone = applied.resources.delete(&ResourcePath::from_canonical(
        "projects/local/regions/local/forwardingRules/front",
    ));
    rule_gone = rule_gone.and_then(|resources| resources.delete(&path("shop")));
    let resources = rule_gone.expect("nothing uses it");
    let applied = apply_within(&resources, &endpoints(5), &other).expect("it fits");
    assert_eq!(slots(&applied, "shop"), 4096);
}

#[test]
fn thousands_of_services_fit_by_default() {
    let room = room(32 * MIB);
    let at_once = apply_within(&Resources::default(), &services(0..3000), &room).expect("they fit");
    assert!((0..3000).all(|number| slots(&at_once, &format!("s{number}")) == 4096));
    // In three parts, too; the first have larger ones.
    let mut resources = Resources::default();
    let mut sizes: BTreeMap<u32, usize> = BTreeMap::new();
    for part in [0..100, 100..400, 400..1700] {
        let applied = apply_within(&resources, &services(part.clone()), &room).expect("they fit");
        part.for_each(|number| *sizes.entry(slots(&applied, &format!("s{number}"))).or_default() += 1);
        resources = applied.resources;
    }
    assert_eq!(
        sizes,
        BTreeMap::from([(65_536, 100), (16_384, 300), (4096, 1300)])
    );
}

#[test]
fn what_does_not_fit_is_refused_with_its_place_and_both_settings() {
    let small = room(8 * 65_538);
    let large = TableRoom {
        default_slots: DefaultSlots::Slots(65_536),
        ..small.clone()
    };
    let applied = apply_within(&Resources::default(), &services(0..6), &large).expect("six fit");
    let faults = apply_within(&applied.resources, &services(6..7), &large).expect_err("no seventh");
    assert_eq!(faults.len(), 1);
    assert_eq!(
        (faults[0].path.as_str(), faults[0].kind),
        ("$[0]", FaultKind::Invalid)
    );
    for word in [
        "--table-slots",
        "`table-slots`",
        "`[tables] default-slots`",
        "524304",
        "393228",
    ] {
        assert!(faults[0].reason.contains(word), "{}", faults[0].reason);
    }
    // What is there stays, whatever else changes; less is never too much.
    let less = room(4 * 65_538);
    assert!(apply_within(&applied.resources, &services(0..1), &less).is_ok());
    // Another family of a service that is there takes as much again: its rule is at fault.
    let mut rule = services(0..1)[1].clone();
    rule["name"] = json!("r6");
    rule["IPAddress"] = json!("fd00:1::");
    let rule = json!([rule]);
    let faults = apply_within(&applied.resources, &rule, &large).expect_err("no room");
    assert_eq!(faults[0].path, "$[0]");
    assert!(
        faults[0]
            .reason
            .contains("its 2 selection tables take 131076 slots"),
        "{}",
        faults[0].reason
    );
    // By itself it finds what room there is.
    let auto = apply_within(&Resources::default(), &services(0..7), &small).expect("they fit");
    assert_eq!(slots(&auto, "s3"), 16_384);
}

/// All tables of a service and family change together.
#[test]
fn successors_have_to_fit_the_reserve() {
    let room = TableRoom {
        slots: 8 * MIB,
        reserve: 60_000,
        default_slots: DefaultSlots::Slots(65_536),
        ..TableRoom::default()
    };
    let faults = apply_within(&Resources::default(), &services(0..1), &room).expect_err("no successor");
    assert!(
        faults[0].reason.contains("`[tables] reserve-slots`"),
        "{}",
        faults[0].reason
    );
    let auto = TableRoom {
        default_slots: DefaultSlots::Auto,
        ..room
    };
    let applied = apply_within(&Resources::default(), &services(0..1), &auto).expect("it fits");
    assert_eq!(slots(&applied, "s0"), 16_384);
}

#[test]
fn another_size_is_set_for_one_service() {
    let room = room(5 * MIB);
    let applied = apply_within(&Resources::default(), &services(0..2), &room).expect("it fits");
    let set = |slots| applied.resources.with_table_slots(&path("s0"), slots, &room);
    let (next, config) = set(1 << 20).expect("it fits");
    assert_eq!(config.services[&path("s0")].table_slots.slots, 1 << 20);
    assert_eq!(config.services[&path("s1")].table_slots.slots, 65_536);
    assert_eq!(next.config_within(&room).expect("valid").0, config);
    let (same, config) = set(65_536).expect("it is");
    assert_eq!(
        (same, config),
        (applied.resources.clone(), applied.config.clone())
    );
    let faults = set(5000).expect_err("no size");
    assert!(
        faults[0].reason.contains("4096, 16384, 65536, 1048576"),
        "{}",
        faults[0].reason
    );
    let missing = applied
        .resources
        .with_table_slots(&path("s9"), 4096, &room)
        .expect_err("no service");
    assert_eq!(missing[0].kind, FaultKind::NotFound);
    let tight = TableRoom {
        slots: MIB,
        reserve: MIB / 4,
        ..room
    };
    let faults = applied
        .resources
        .with_table_slots(&path("s0"), 1 << 20, &tight)
        .expect_err("no room");
    assert!(
        faults[0].reason.contains("`[tables] default-slots`"),
        "{}",
        faults[0].reason
    );
}

/// As an older version stored it.
fn without_sizes(resources: &Resources) -> Resources {
    let mut old = resources.clone();
    old.all
        .values_mut()
        .for_each(|resource| resource.table_slots = None);
    old
}

#[test]
fn services_of_an_older_store_keep_the_sizes_that_they_had() {
    let new = apply(&endpoints(41)).expect("valid");
    let old = without_sizes(&new.resources);
    let slots_of = |room: &TableRoom| {
        let (config, _) = old.config_within(room).expect("valid");
        config.services[&path("shop")].table_slots.clone()
    };
    // As it was for so many endpoints, if nothing is known of its tables.
    assert_eq!(slots_of(&TableRoom::default()), TableSlots::all(16_384));
    let held = HeldSizes {
        own: Some(SIZES[0]),
        zones: BTreeMap::from([("z".to_owned(), SIZES[1])]),
    };
    let known = TableRoom {
        held: BTreeMap::from([(path("shop"), held)]),
        ..TableRoom::default()
    };
    let kept = TableSlots {
        slots: 4096,
        zones: BTreeMap::from([("z".to_owned(), 16_384)]),
    };
    assert_eq!(slots_of(&known), kept);
    // The next change keeps it for good, and is no change of the service itself.
    let applied = apply_within(&old, &endpoints(700), &known).expect("valid");
    assert_eq!(applied.config.services[&path("shop")].table_slots, kept);
    assert_eq!(
        applied
            .resources
            .get(&path("shop"))
            .and_then(|it| it.table_slots.clone()),
        Some(kept)
    );
    let changed = applied
        .changes
        .iter()
        .filter(|change| change.kind != crate::resources::ChangeKind::Unchanged);
    let changed: Vec<&str> = changed.map(|change| change.path.name()).collect();
    assert_eq!(changed, ["one"]);
    assert_eq!(old.undecided_sizes().count(), 1);
    assert_eq!(applied.resources.undecided_sizes().count(), 0);
}

#[test]
fn a_row_keeps_the_size_and_no_document_has_it() {
    let applied = apply(&internal()).expect("valid");
    let resource = applied.resources.get(&path("shop")).expect("a service");
    let row = serde_json::to_value(resource).expect("JSON");
    assert_eq!(row["table_slots"], json!({"slots": 65_536}));
    assert_eq!(&serde_json::from_value::<Resource>(row).expect("a row"), resource);
    assert!(!resource.document().contains_key("table_slots"));
    assert!(!resource.value.contains_key("table_slots"));
    let old = json!({"kind": resource.kind, "value": resource.value});
    assert_eq!(
        serde_json::from_value::<Resource>(old)
            .expect("an old row")
            .table_slots,
        None
    );
}

#[test]
fn too_few_slots_are_a_warning_with_the_figure() {
    let room = TableRoom {
        default_slots: DefaultSlots::Slots(4096),
        ..TableRoom::default()
    };
    let warnings = |count: usize| {
        let applied = apply_within(&Resources::default(), &endpoints(count), &room).expect("valid");
        let coarse = applied.warnings.into_iter().map(|warning| warning.to_string());
        coarse
            .filter(|warning| warning.contains("slots for"))
            .collect::<Vec<_>>()
    };
    assert_eq!(warnings(40), Vec::<String>::new());
    let told = warnings(164).pop().expect("a warning");
    for part in [
        "$[3]",
        "4096 slots for 164 endpoints are 25 each",
        "about 20 %",
        "set-table-slots shop 65536",
    ] {
        assert!(told.contains(part), "{told}");
    }
}
