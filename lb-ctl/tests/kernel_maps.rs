//! The kernel's maps take what a plan says, and give it back. Needs root and a binary with the kernel program inside.

use std::collections::BTreeMap;

use lb_common::layout::{Member, Pool, Pools, Selection, Service, ZoneTables, ipv4_key};
use lb_common::policy::{Persistence, Policy, PolicyWord, Scheme, SessionAffinity, TrackingMode};
use lb_ctl::dataplane::{LoadOptions, Program, Sizes, object_is_embedded};
use lb_ctl::plan::contents::{Contents, Numbered, ServiceContents};
use lb_ctl::plan::diff::diff;

fn load() -> Option<Program> {
    if !object_is_embedded() || !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: no root, or no kernel program inside");
        return None;
    }
    let options = LoadOptions {
        sizes: Sizes {
            flow_slots: 64,
            table_slots: 64,
            services: 8,
            members: 16,
            backends: 8,
            zone_tables: 16,
            zone_prefixes: 8,
        },
        seed: 1,
        answer_echo: true,
        trace_packets: false,
        test_now: 0,
    };
    Some(Program::load(&options, None).unwrap_or_else(|error| panic!("loading: {error}")))
}

fn policy() -> u64 {
    let policy = Policy {
        scheme: Scheme::Internal,
        affinity: SessionAffinity::None,
        mode: TrackingMode::PerConnection,
        persistence: Persistence::DefaultForProtocol,
        subsetting: false,
        idle_seconds: 600,
    };
    PolicyWord::new(&policy).0
}

/// A service with `count` zones from `first` on; the second of them has a table of its own.
fn zonal(first: u32, count: u32) -> Contents {
    let own = Selection { offset: 0, size: 4 };
    let zone = Selection { offset: 8, size: 2 };
    let record = Service {
        policy: policy(),
        selection: own.to_word(),
        pools: Pools::new(Pool::Primary, false, false, 0).0,
        leader: 0,
        zones: ZoneTables { first, count }.to_word(),
    };
    let mut zone_words = vec![0; count as usize];
    zone_words[1] = zone.to_word();
    let member = |number| (number, Member::new(3, true, Pool::Primary, 0, None));
    let service = ServiceContents {
        record,
        members: [1, 2].map(member).into(),
        table: Some((own.offset, [1, 2, 1, 2].into())),
        zone_words,
        zone_tables: BTreeMap::from([(zone.offset, [2, 2].into())]),
    };
    let v4 = ipv4_key(u32::from_ne_bytes([10, 1, 0, 0]));
    let v6 = [0x2001_0db8_u32.to_be(), 0, 0, 0];
    Contents {
        services: Numbered::unit(3, service.into()),
        zones: BTreeMap::from([((v4, 112), 1), ((v6, 32), count), (([0; 4], 0), 2)]).into(),
        ..Contents::default()
    }
}

#[test]
fn zones_are_read_back_as_they_were_written() {
    let Some(mut program) = load() else { return };
    let steps = [zonal(0, 2), zonal(4, 3), zonal(4, 2), Contents::default()];
    for desired in &steps {
        let actual = program.maps.read().expect("readable maps");
        let operations = diff(&actual, desired);
        assert_ne!(operations, []);
        program.maps.apply(&operations).expect("the maps take it");
        let held = program.maps.read().expect("readable maps");
        assert_eq!(held, *desired);
        assert_eq!(diff(&held, desired), []);
    }
}
