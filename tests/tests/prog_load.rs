//! The program as it is embedded: the verifier accepts it with room to spare, and nothing in it can panic.
//!
//! Needs root.

use lb_ctl::dataplane::{LoadOptions, Program, Sizes, object};
use object::{Object as _, ObjectSymbol as _};

/// Half of what the kernel's verifier looks at before it gives up.
const ENOUGH: u32 = 1_000_000 / 2;

#[test]
fn the_verifier_accepts_the_program_with_room_to_spare() {
    let options = LoadOptions {
        sizes: Sizes {
            flow_slots: 512,
            table_slots: 4096,
            services: 16,
            members: 64,
            backends: 64,
            zone_tables: 64,
            zone_prefixes: 64,
        },
        seed: 1,
        answer_echo: true,
        trace_packets: false,
        test_now: 0,
    };
    let mut program = Program::load(&options, None).unwrap_or_else(|error| panic!("loading: {error}"));
    let verified = program
        .verified_instructions()
        .expect("Linux 5.16 and newer tell the number");
    eprintln!("verified instructions: {verified}");
    assert!(verified > 0 && verified < ENOUGH, "{verified}");
}

#[test]
fn no_panic_is_linked() {
    let file = object::File::parse(object()).expect("the embedded program is an object file");
    let names: Vec<_> = file.symbols().filter_map(|symbol| symbol.name().ok()).collect();
    assert!(names.contains(&"lb"), "symbols can be read: {names:?}");
    let panics: Vec<_> = names.iter().filter(|name| name.contains("panic")).collect();
    assert!(panics.is_empty(), "{panics:?}");
}
