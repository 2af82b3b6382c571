use std::net::IpAddr;

use super::*;
use crate::flowlog::Destination;
use crate::resources::FaultKind;

fn parse(text: &str) -> FileSettings {
    match FileSettings::parse("lb.toml", text) {
        Ok(settings) => settings,
        Err(faults) => panic!("{faults:?}"),
    }
}

/// Each fault as it is printed.
fn faults(text: &str) -> Vec<String> {
    let faults = FileSettings::parse("lb.toml", text).expect_err("faults");
    faults.iter().map(ToString::to_string).collect()
}

#[test]
fn an_empty_file_is_the_defaults() {
    let settings = parse("");
    assert_eq!(settings, FileSettings::default());
    assert!(!settings.answer_echo);
    assert_eq!(settings.gue_port, 6080);
    assert_eq!(settings.probe_destination, ProbeDestination::Vip);
    assert_eq!(settings.probe_mark.to_string(), "0x3062");
    assert_eq!(settings.log_connections, Destination::StandardError);
}

#[test]
fn everything_can_be_set() {
    let settings = parse(
        r#"
        answer-echo = true
        gue-port = 7000
        compare-interval-sec = 300
        probe-destination = "own-address"
        probe-mark = "0x20/0xf0"
        interfaces = ["eth0", "eth1"]
        config = "/etc/lb"
        state-dir = "/srv/lb"
        listen = ["unix:/run/x.sock", "127.0.0.1:8080"]
        xdp-mode = "native"
        flow-slots = 4096
        project = "p"
        region = "r"
        zone = "z"
        announce = false
        pin-dir = "/sys/fs/bpf/x"
        hash-seed = "000102030405060708090a0b0c0d0e0f"

        [log]
        connections = "/var/log/lb/connections.jsonl"

        [zones]
        europe-west4-a = ["10.1.0.0/16", "2001:db8:1::/48"]
        "europe-west4-b" = ["10.2.0.9"]
        europe-west4-c = []
        "#,
    );
    assert!(settings.answer_echo);
    assert_eq!(settings.gue_port, 7000);
    assert_eq!(settings.compare_interval, std::time::Duration::from_secs(300));
    assert_eq!(settings.probe_destination, ProbeDestination::OwnAddress);
    assert_eq!(
        (settings.probe_mark.value, settings.probe_mark.mask),
        (0x20, 0xf0)
    );
    let prefixes =
        |zone: &str| -> Vec<String> { settings.zones[zone].iter().map(ToString::to_string).collect() };
    assert_eq!(prefixes("europe-west4-a"), ["10.1.0.0/16", "2001:db8:1::/48"]);
    assert_eq!(prefixes("europe-west4-b"), ["10.2.0.9/32"]);
    assert_eq!(prefixes("europe-west4-c"), [""; 0]);
    let file = Destination::File("/var/log/lb/connections.jsonl".into());
    assert_eq!(settings.log_connections, file);
    let flags = settings.flags;
    assert_eq!(flags.interfaces, ["eth0", "eth1"]);
    assert_eq!(flags.config, [PathBuf::from("/etc/lb")]);
    assert_eq!(flags.state_dir, Some("/srv/lb".into()));
    assert_eq!(flags.listen.len(), 2);
    assert_eq!(flags.xdp_mode, Some(XdpMode::Native));
    assert_eq!(flags.flow_slots, Some(4096));
    assert_eq!(flags.place.region.as_deref(), Some("r"));
    assert_eq!(flags.announce, Some(false));
    assert_eq!(flags.pin_dir, Some("/sys/fs/bpf/x".into()));
    assert_eq!(flags.hash_seed.map(|seed| seed.0[15]), Some(15));
}

#[test]
fn every_fault_is_told_with_its_key() {
    let told = faults(
        r#"
        answer-ehco = true
        gue-port = 0
        compare-interval-sec = 0
        probe-destination = "host"
        probe-mark = "0x30/0xf"
        xdp-mode = "fast"
        flow-slots = 4095
        announce = "yes"
        listen = ["tcp"]
        interfaces = ["", 5]
        state-dir = 3
        colour = "red"

        [log]
        connections = "sterr"
        conections = "stderr"

        [zones]
        europe-west4-a = ["10.1.0.0/16", "10.1.2.3/16", "ten", 7]
        europe-west4-b = "10.2.0.0/16"
        europe-west4-c = ["10.1.0.0/16", "::ffff:10.0.0.0/104", "10.3.0.0/16", "10.3.0.0/16"]
        "Not A Zone" = []
        "#,
    );
    let expected = [
        "lb.toml: answer-ehco: is no setting (did you mean answer-echo?)",
        "lb.toml: gue-port: '0': must be a port, 1 to 65535",
        "lb.toml: compare-interval-sec: '0': must be 1 to 86400 seconds",
        "lb.toml: probe-destination: 'host': must be vip or own-address",
        "lb.toml: probe-mark: '0x30/0xf': has bits set outside its mask",
        "lb.toml: xdp-mode: 'fast': must be auto, native or generic",
        "lb.toml: flow-slots: '4095': must be a power of two; the next is 4096",
        "lb.toml: announce: 'yes': expected true, false or a table",
        "lb.toml: listen[0]: 'tcp': ",
        "lb.toml: interfaces[0]: '': must not be empty",
        "lb.toml: interfaces[1]: '5': expected a string",
        "lb.toml: state-dir: '3': expected a string",
        "lb.toml: colour: is no setting (known are zones, answer-echo, ",
        "lb.toml: log.connections: 'sterr': expected stderr, or the path of a file (with a /)",
        "lb.toml: log.conections: is no setting (known is log.connections)",
        "lb.toml: zones.europe-west4-a[1]: '10.1.2.3/16': has bits set beyond its prefix; the prefix is 10.1.0.0/16",
        "lb.toml: zones.europe-west4-a[2]: 'ten': expected a prefix such as 10.1.0.0/16, or an address",
        "lb.toml: zones.europe-west4-a[3]: '7': expected a prefix such as 10.1.0.0/16, or an address",
        "lb.toml: zones.europe-west4-b: '10.2.0.0/16': expected a list of prefixes",
        "lb.toml: zones.europe-west4-c[0]: '10.1.0.0/16': is zones.europe-west4-a[0] already",
        "lb.toml: zones.europe-west4-c[1]: '::ffff:10.0.0.0/104': is IPv4 in IPv6's clothes",
        "lb.toml: zones.europe-west4-c[3]: '10.3.0.0/16': is zones.europe-west4-c[2] already",
        "lb.toml: zones.\"Not A Zone\": is no name of a zone",
    ];
    for fault in expected {
        assert!(
            told.iter().any(|told| told.starts_with(fault)),
            "no '{fault}' in {told:#?}"
        );
    }
    assert_eq!(told.len(), expected.len(), "{told:#?}");
}

#[test]
fn announcing_is_a_word_or_a_table() {
    let of = |text: &str| {
        let settings = parse(text);
        (settings.flags.announce, settings.announce_repeat)
    };
    let seconds = |seconds| Some(std::time::Duration::from_secs(seconds));
    assert_eq!(of(""), (None, None));
    assert_eq!(of("announce = true"), (Some(true), None));
    assert_eq!(of("[announce]\ninterval-sec = 30"), (None, seconds(30)));
    assert_eq!(
        of("[announce]\nenabled = false\ninterval-sec = 86400"),
        (Some(false), seconds(86_400))
    );
    let told = faults("[announce]\nenabled = \"no\"\ninterval-sec = 0\ninterval = 5");
    let expected = [
        "lb.toml: announce.enabled: 'no': expected true or false",
        "lb.toml: announce.interval: is no setting (known are announce.enabled, announce.interval-sec)",
        "lb.toml: announce.interval-sec: '0': must be 1 to 86400 seconds",
    ];
    assert_eq!(told, expected);
}

#[test]
fn nested_prefixes_of_two_zones_are_right() {
    let settings = parse("[zones]\na = [\"10.0.0.0/8\"]\nb = [\"10.1.0.0/16\"]");
    let inner: IpAddr = "10.1.2.3".parse().expect("an address");
    assert!(
        settings
            .zones
            .values()
            .all(|zone| zone.iter().any(|net| net.contains(&inner)))
    );
}

#[test]
fn what_is_no_toml_names_its_line() {
    let told = faults("answer-echo = true\n\ngue-port == 7\n");
    assert_eq!(told.len(), 1);
    assert!(told[0].starts_with("lb.toml: line 3: is no TOML: "), "{told:?}");
    let twice = faults("gue-port = 7\ngue-port = 8\n");
    assert!(twice[0].contains("line 2"), "{twice:?}");
}

#[test]
fn a_bad_seed_is_not_repeated() {
    let told = faults("hash-seed = \"00112233445566778899aabbccddeef\"");
    assert_eq!(told, ["lb.toml: hash-seed: expected 32 hexadecimal digits"]);
}

#[test]
fn a_missing_file_is_a_fault() {
    let directory = tempfile::tempdir().expect("a directory");
    let faults = FileSettings::read(&directory.path().join("lb.toml")).expect_err("a fault");
    assert_eq!(faults.len(), 1);
    assert_eq!(faults[0].kind, FaultKind::Unreadable);
    std::fs::write(directory.path().join("lb.toml"), "gue-port = 1").expect("to write");
    let settings = FileSettings::read(&directory.path().join("lb.toml")).expect("settings");
    assert_eq!(settings.gue_port, 1);
}

#[test]
fn tables_have_a_default_size_and_a_reserve() {
    let settings = parse("[tables]\ndefault-slots = 16384\nreserve-slots = 100000");
    assert_eq!(settings.default_table_slots, DefaultSlots::Slots(16_384));
    assert_eq!(settings.table_reserve, Some(100_000));
    assert_eq!(parse("").default_table_slots, DefaultSlots::Auto);
    assert_eq!(
        parse("[tables]\ndefault-slots = \"auto\"").default_table_slots,
        DefaultSlots::Auto
    );
    assert_eq!(
        faults("[tables]\ndefault-slots = 5000\nreserve-slots = -1\nslots = 3"),
        [
            "lb.toml: tables.slots: is no setting (known are tables.default-slots, tables.reserve-slots)",
            "lb.toml: tables.default-slots: '5000': must be \"auto\", or the size of a table: it is one of 4096, 16384, \
             65536, 1048576",
            "lb.toml: tables.reserve-slots: '-1': must be a number of slots, less than table-slots",
        ]
    );
    assert_eq!(faults("tables = 1"), ["lb.toml: tables: '1': expected a table"]);
}
