//! `run`.

use std::path::Path;

use super::super::*;
use super::lb_ctl;

fn run_args(args: &[&str]) -> Result<RunArgs, clap::Error> {
    let args = ["lb-ctl", "run"].iter().chain(args);
    match parse(args)?.verb {
        Verb::Run(args) => Ok(args),
        other => panic!("{other:?}"),
    }
}

#[test]
fn run_has_the_documented_defaults() {
    let args = run_args(&["--interface", "eth0"]).expect("to parse");
    assert_eq!(args.interfaces, ["eth0"]);
    assert_eq!(args.state_dir, Path::new("/var/lib/lb"));
    assert_eq!(args.pin_dir, Path::new("/sys/fs/bpf/lb"));
    assert_eq!(args.listen, ["unix:/run/lb/lb.sock".parse().expect("an address")]);
    assert_eq!(args.xdp_mode, XdpMode::Auto);
    assert_eq!(args.flow_slots, 4_194_304);
    assert_eq!(args.place, DefaultPlace::default());
    assert!(args.config.is_empty() && !args.no_announce && !args.trace_packets);
}

#[test]
fn flags_win_over_the_settings_file() {
    use crate::settings::FileSettings;
    let text = "interfaces = [\"file0\"]\nstate-dir = \"/f\"\nlisten = \"127.0.0.1:9\"\nxdp-mode = \"generic\"\n\
                flow-slots = 64\nproject = \"pf\"\nregion = \"rf\"\nannounce = false\npin-dir = \"/pf\"\n\
                config = [\"c.json\"]\nhash-seed = \"000102030405060708090a0b0c0d0e0f\"\n";
    let defaults = FileSettings::parse("lb.toml", text).expect("settings").flags;
    let args = run_args(&["--settings", "lb.toml"])
        .expect("to parse")
        .or_else(&defaults);
    assert_eq!(args.interfaces, ["file0"]);
    assert_eq!(args.config, [Path::new("c.json")]);
    assert_eq!(
        (args.state_dir.as_path(), args.pin_dir.as_path()),
        (Path::new("/f"), Path::new("/pf"))
    );
    assert_eq!(args.listen, ["127.0.0.1:9".parse().expect("an address")]);
    assert_eq!(
        (args.xdp_mode, args.flow_slots, args.no_announce),
        (XdpMode::Generic, 64, true)
    );
    assert_eq!(args.place.project.as_deref(), Some("pf"));
    assert!(args.hash_seed.is_some());

    let given = [
        "--settings",
        "lb.toml",
        "-i",
        "eth0",
        "--state-dir",
        "/var/lib/lb",
        "--xdp-mode",
        "auto",
        "--flow-slots",
        "4194304",
        "--project",
        "p",
        "--listen",
        "unix:/l",
        "--pin-dir",
        "/x",
        "--config",
        "d",
    ];
    let args = run_args(&given).expect("to parse").or_else(&defaults);
    assert_eq!(args.interfaces, ["eth0"]);
    assert_eq!(args.config, [Path::new("d")]);
    // Given, though it is the default.
    assert_eq!(
        (args.state_dir.as_path(), args.pin_dir.as_path()),
        (Path::new("/var/lib/lb"), Path::new("/x"))
    );
    assert_eq!((args.xdp_mode, args.flow_slots), (XdpMode::Auto, 4_194_304));
    assert_eq!(args.listen, ["unix:/l".parse().expect("an address")]);
    assert_eq!(
        (args.place.project.as_deref(), args.place.region.as_deref()),
        (Some("p"), Some("rf"))
    );
}

#[test]
fn run_needs_an_interface_and_good_settings() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("lb.toml");
    let file = file.to_str().expect("text");
    lb_ctl(&["run"]).is(ExitCode::Usage).says("--interface");
    lb_ctl(&["run", "--settings", file])
        .is(ExitCode::Invalid)
        .says("can't be read");
    std::fs::write(file, "gue-prot = 1\nanswer-echo = 3\n").expect("to write");
    lb_ctl(&["run", "--settings", file])
        .is(ExitCode::Invalid)
        .says("did you mean gue-port?")
        .says("answer-echo");
    std::fs::write(file, "gue-port = 1\n").expect("to write");
    lb_ctl(&["run", "--settings", file])
        .is(ExitCode::Usage)
        .says("no interface to balance on");
}

#[test]
fn run_takes_everything_it_names() {
    let args = run_args(&[
        "--interface",
        "a",
        "--interface",
        "b",
        "--config",
        "x.json",
        "--config",
        "dir",
        "--state-dir",
        "/s",
        "--listen",
        "unix:/l",
        "--listen",
        "127.0.0.1:1",
        "--xdp-mode",
        "native",
        "--flow-slots",
        "4096",
        "--project",
        "p",
        "--region",
        "r",
        "--zone",
        "z",
        "--no-announce",
        "--trace-packets",
        "--pin-dir",
        "/p",
        "--hash-seed",
        "000102030405060708090a0b0c0d0e0F",
    ])
    .expect("to parse");
    assert_eq!(args.interfaces, ["a", "b"]);
    assert_eq!(args.config, [Path::new("x.json"), Path::new("dir")]);
    assert_eq!(args.listen.len(), 2);
    assert_eq!((args.xdp_mode, args.flow_slots), (XdpMode::Native, 4096));
    assert_eq!(args.place.zone.as_deref(), Some("z"));
    assert!(args.no_announce && args.trace_packets);
    assert_eq!(args.hash_seed, Some(HashSeed(std::array::from_fn(|i| i as u8))));
    assert!(!format!("{args:?}").contains("0e0"), "the seed is a secret");
}
