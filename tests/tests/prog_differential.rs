//! The loaded program against the decision on ordinary memory: the same random packets and states through both.
//!
//! Needs root. Everything happens in a network namespace of its own, and no map is pinned.

mod differential;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::Command;
use std::sync::atomic::Ordering;

use aya::programs::{TestRun as _, TestRunOptions};
use lb_common::hash::HashKeys;
use lb_common::layout::{DeliveryMode, FragmentKey, FragmentRecord, MemberCounter, VerdictCounter, mac_of};
use lb_common::parse::{self, Family, Network};
use lb_common::testing::MemoryTables;
use lb_common::verdict::Reason;
use lb_ctl::dataplane::{LoadOptions, Program};
use lb_ctl::plan::contents::Contents;
use lb_ctl::plan::diff::diff;
use lb_tests::conformance::bench::xdp_context;

use differential::expect::{self, Outcome, Surroundings};
use differential::packet::Generator;
use differential::random::Random;
use differential::world::{BUCKETS, INGRESS, SIZES, World};

const STEPS: u32 = 120_000;
const STEPS_PER_PHASE: u32 = 400;

/// A clock is a constant of a loaded program, so time passes by going on with the next program. These are where
/// a service's idle time, a drain or the flow table's 15 bits of a tick end, at every phase of a tick.
const CLOCKS: [&[u32]; 3] = [
    &[4001, 4003, 4007, 4061, 4064, 4066, 4668],
    &[0x1_ffc2, 0x1_ffc4, 0x1_fffd, 0x1_ffff, 0x2_0000, 0x2_0043],
    &[0x3fff_fffe, 0x3fff_ffff, 0x4000_0000, 0x4000_0041],
];

/// The programs that share one seed, in the order of their clocks.
struct Laboratory {
    keys: HashKeys,
    answer_echo: bool,
    programs: Vec<Loaded>,
}

type Fragments = BTreeMap<FragmentKey, FragmentRecord>;

fn fragments_of(tables: &MemoryTables) -> Fragments {
    tables.fragments.lock().expect("no holder panics").clone()
}

struct Loaded {
    program: Program,
    now: u32,
    contents: Contents,
    /// What the counters must show.
    verdicts: BTreeMap<Reason, (u64, u64)>,
    members: BTreeMap<u32, MemberCounter>,
    not_judged: u64,
}

impl Laboratory {
    fn new(seed: u128, clocks: &[u32], answer_echo: bool) -> Self {
        let load = |now: &u32| Loaded::new(seed, *now, answer_echo);
        Self {
            keys: HashKeys::from_seed(seed),
            answer_echo,
            programs: clocks.iter().map(load).collect(),
        }
    }
}

impl Loaded {
    fn new(seed: u128, now: u32, answer_echo: bool) -> Self {
        let options = LoadOptions {
            sizes: SIZES,
            seed,
            answer_echo,
            trace_packets: false,
            test_now: now,
        };
        Self {
            program: Program::load(&options, None).unwrap_or_else(|error| panic!("loading: {error}")),
            now,
            contents: Contents::default(),
            verdicts: Reason::ALL.iter().map(|reason| (*reason, (0, 0))).collect(),
            members: BTreeMap::new(),
            not_judged: 0,
        }
    }

    /// Brings the maps from the world before to this one, with nothing in between: numbers mean something else there.
    fn enter(&mut self, contents: &Contents, tables: &MemoryTables) {
        let nothing = Contents::default();
        for operations in [diff(&self.contents, &nothing), diff(&nothing, contents)] {
            self.program.maps.apply(&operations).expect("applying operations");
        }
        self.contents = contents.clone();
        self.restore(tables);
        // Counters of a member that was cleared start again.
        self.members = (1..SIZES.members)
            .map(|number| (number, self.member_counter(number)))
            .collect();
    }

    /// Flows and fragments, as the last program left them.
    fn restore(&mut self, tables: &MemoryTables) {
        for (index, bucket) in tables.buckets.iter().enumerate() {
            self.program
                .maps
                .flows
                .set_bucket(index as u32, bucket.snapshot().slots);
        }
        let fragments = tables.fragments.lock().expect("no holder panics");
        self.program
            .maps
            .fragments
            .replace(&fragments)
            .expect("writing the fragment memory");
    }

    fn member_counter(&self, number: u32) -> MemberCounter {
        self.program
            .maps
            .member_counter(number)
            .expect("reading a counter")
    }

    fn run(&mut self, packet: &[u8]) -> (u32, Vec<u8>) {
        let mut frame = vec![0; 4096];
        let context = xdp_context(packet.len(), INGRESS);
        let mut options = TestRunOptions::new();
        options.data_in = Some(packet);
        options.ctx_in = Some(&context);
        options.data_out = Some(&mut frame);
        let result = self.program.xdp().test_run(options).expect("a test run");
        frame.truncate(result.data_size_out as usize);
        (result.return_value, frame)
    }

    /// Counts an expected outcome.
    fn expect(&mut self, outcome: &Outcome, length: usize) {
        let (packets, bytes) = self
            .verdicts
            .get_mut(&outcome.reason)
            .expect("every reason is there");
        *packets += 1;
        *bytes += length as u64;
        if outcome.member != 0 {
            let counter = self.members.entry(outcome.member).or_default();
            counter.packets += 1;
            counter.bytes += length as u64;
            let new = [Reason::ForwardNew, Reason::ForwardDiverted].contains(&outcome.reason);
            counter.new_flows += u64::from(new);
            counter.persisted += u64::from(outcome.reason == Reason::ForwardPersisted);
        }
    }

    /// Every verdict's counter, and the one of the member, against the expectation; takes over what it finds.
    fn compare_counters(&mut self, outcome: &Outcome, differences: &mut String) {
        let counters = self.program.maps.verdicts().expect("reading the counters");
        for (reason, VerdictCounter { packets, bytes }) in counters {
            let expected = self.verdicts.insert(reason, (packets, bytes));
            if expected != Some((packets, bytes)) {
                let _ = writeln!(
                    differences,
                    "counter {}: {expected:?} expected, {packets} packets {bytes} bytes found",
                    reason.name()
                );
            }
        }
        if outcome.member != 0 {
            self.compare_member(outcome.member, differences);
        }
    }

    fn compare_member(&mut self, number: u32, differences: &mut String) {
        let found = self.member_counter(number);
        let expected = self.members.insert(number, found).unwrap_or_default();
        if found != expected {
            let _ = writeln!(
                differences,
                "member {number}: {expected:?} expected, {found:?} found"
            );
        }
    }

    fn compare_flows(&self, tables: &MemoryTables, differences: &mut String) {
        for index in 0..BUCKETS {
            let expected = tables.buckets[index as usize].snapshot().slots;
            let found = self.program.maps.flows.bucket(index);
            if expected != found {
                let _ = writeln!(
                    differences,
                    "bucket {index}: {expected:x?} expected, {found:x?} found"
                );
            }
        }
    }

    /// The records that a packet made or changed.
    fn compare_new_fragments(&self, before: &Fragments, after: &Fragments, differences: &mut String) {
        for (key, record) in after
            .iter()
            .filter(|(key, record)| before.get(key) != Some(record))
        {
            let found = self.program.maps.fragments.get(key);
            let found = found.expect("reading the fragment memory");
            if found != Some(*record) {
                let _ = writeln!(
                    differences,
                    "fragment {key:x?}: {record:?} expected, {found:?} found"
                );
            }
        }
    }

    /// Takes over what it finds.
    fn compare_not_judged(&mut self, tables: &MemoryTables, differences: &mut String) {
        let expected = tables.not_judged.swap(0, Ordering::Relaxed);
        let found = self.program.maps.not_judged().expect("reading a counter");
        let before = std::mem::replace(&mut self.not_judged, found);
        if found - before != expected {
            let _ = writeln!(
                differences,
                "{expected} expected that were not judged, {} found",
                found - before
            );
        }
    }

    fn compare_fragments(&self, tables: &MemoryTables, differences: &mut String) {
        let found = self.program.maps.fragments.all();
        let found = found.expect("reading the fragment memory");
        let expected = tables.fragments.lock().expect("no holder panics");
        if found != *expected {
            let _ = writeln!(differences, "fragments: {expected:x?} expected, {found:x?} found");
        }
    }

    fn compare_tuples(&self, tables: &MemoryTables, differences: &mut String) {
        for (index, expected) in tables.tuples.lock().expect("no holder panics").iter() {
            let found = self.program.maps.flows.tuple(*index);
            if found != *expected {
                let _ = writeln!(
                    differences,
                    "tuple {index}: {expected:x?} expected, {found:x?} found"
                );
            }
        }
    }
}

#[derive(Default)]
struct Report {
    steps: u32,
    outcomes: BTreeMap<Reason, u32>,
    actions: BTreeMap<(Reason, u32), u32>,
    modes: BTreeMap<DeliveryMode, u32>,
    /// Of IPv6 packets that begin with an extension header.
    behind_extensions: BTreeMap<Reason, u32>,
    agreed: u32,
    differences: Vec<String>,
    worlds: u32,
}

impl Report {
    fn step(&mut self, outcome: &Outcome) {
        self.steps += 1;
        *self.outcomes.entry(outcome.reason).or_default() += 1;
        *self.actions.entry((outcome.reason, outcome.action)).or_default() += 1;
        if let Some(mode) = outcome.mode {
            *self.modes.entry(mode).or_default() += 1;
        }
    }
}

/// One world, through all clocks of a laboratory.
fn explore(laboratory: &mut Laboratory, seed: u64, report: &mut Report) {
    let mut random = Random::new(seed);
    let first = laboratory.programs[0].now;
    let mut world = World::random(&mut random, first, &DEVICES);
    let mut tables = world.tables(laboratory.keys);
    tables.answers_echo = laboratory.answer_echo;
    let mut packets = Generator::new();
    report.worlds += 1;
    for loaded in &mut laboratory.programs {
        tables.now = loaded.now;
        tables.tuples.lock().expect("no holder panics").clear();
        loaded.enter(&world.contents, &tables);
        for step in 0..STEPS_PER_PHASE {
            let packet = packets.next(&mut random, &world);
            let mut differences = String::new();
            let before = tables_text(&tables, &packet);
            let fragments = fragments_of(&tables);
            let interface = world.contents.arrivals.interfaces.get(&INGRESS);
            let around = Surroundings {
                own_mac: interface.map(|interface| mac_of(interface.mac)),
                backends: &world.contents.backends,
                devices: &world.contents.devices,
            };
            let expected = expect::outcome(&tables, &around, &packet);
            loaded.expect(&expected, packet.len());
            report.step(&expected);
            if begins_with_extension(&packet) {
                *report.behind_extensions.entry(expected.reason).or_default() += 1;
            }
            let (action, frame) = loaded.run(&packet);
            if action != expected.action {
                let _ = writeln!(differences, "action {} expected, {action} found", expected.action);
            } else if let Some(expected) = &expected.frame
                && *expected != frame
            {
                let _ = writeln!(
                    differences,
                    "frame {}\nexpected, {}\nfound",
                    hex(expected),
                    hex(&frame)
                );
            }
            loaded.compare_counters(&expected, &mut differences);
            loaded.compare_flows(&tables, &mut differences);
            loaded.compare_new_fragments(&fragments, &fragments_of(&tables), &mut differences);
            if differences.is_empty() {
                report.agreed += 1;
            } else {
                loaded.restore(&tables);
                let (now, packet) = (loaded.now, hex(&packet));
                report.differences.push(format!(
                    "world {seed:x}, second {now}, step {step}: {} of member {} expected\n\
                     {differences}packet {packet}\n{before}",
                    expected.reason.name(),
                    expected.member
                ));
            }
        }
        let mut differences = String::new();
        for number in 1..SIZES.members {
            loaded.compare_member(number, &mut differences);
        }
        loaded.compare_tuples(&tables, &mut differences);
        loaded.compare_fragments(&tables, &mut differences);
        loaded.compare_not_judged(&tables, &mut differences);
        if !differences.is_empty() {
            let now = loaded.now;
            report
                .differences
                .push(format!("world {seed:x}, second {now}, at the end: {differences}"));
        }
        world.change(&mut random);
        world.copy_to(&mut tables);
    }
}

fn begins_with_extension(packet: &[u8]) -> bool {
    let is_ipv6 = |network: &Network| network.family == Family::V6;
    let network = parse::network(&packet).ok().filter(is_ipv6);
    network.is_some_and(|network| matches!(network.protocol, 0 | 43 | 44 | 60))
}

/// The state that a packet meets, for a report.
fn tables_text(tables: &MemoryTables, packet: &[u8]) -> String {
    let Ok(network) = parse::network(&packet) else {
        return String::new();
    };
    let Some((key, vip)) = lb_common::rules::vip(tables, &network) else {
        return String::new();
    };
    let rules: Vec<_> = tables
        .rules
        .iter()
        .filter(|(rule, _)| rule.address == key)
        .collect();
    if std::env::var_os("LB_DIFFERENTIAL_VERBOSE").is_none() {
        return format!("{vip:?} {rules:x?}");
    }
    format!(
        "{vip:?} {rules:x?}\n{:x?}\n{:x?}",
        tables.services, tables.members
    )
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The two ends of a veth pair, made first in a new namespace.
const DEVICES: [u32; 2] = [2, 3];

/// A namespace of this thread's own, in which only loopback and the two devices exist.
fn enter_namespace() {
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).expect("a network namespace (needs root)");
    let status = Command::new("ip")
        .args([
            "link", "add", "lb0", "index", "2", "type", "veth", "peer", "name", "lb1", "index", "3",
        ])
        .status()
        .expect("running ip");
    assert!(status.success(), "making a veth pair");
}

fn regressions() -> impl Iterator<Item = u64> {
    include_str!("differential/regressions.txt")
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .map(|line| u64::from_str_radix(line, 16).expect("a hexadecimal seed"))
}

/// Outcomes that need another CPU at the same moment, or a kernel without memory.
const UNREACHABLE: [Reason; 2] = [Reason::ForwardInsertRaced, Reason::DropNoRoom];

#[test]
fn the_loaded_program_and_the_decision_agree() {
    enter_namespace();
    let mut laboratories: Vec<Laboratory> = CLOCKS
        .iter()
        .enumerate()
        .map(|(index, clocks)| {
            let seed = 0x5eed_0000_0000_0000_0000_0001 * (index as u128 + 1);
            Laboratory::new(seed, clocks, index % 2 == 1)
        })
        .collect();
    let mut report = Report::default();
    for seed in regressions() {
        for laboratory in &mut laboratories {
            explore(laboratory, seed, &mut report);
        }
    }
    let mut seed = 0x1b00;
    while report.steps < STEPS {
        for laboratory in &mut laboratories {
            explore(laboratory, seed, &mut report);
            seed += 1;
        }
    }
    eprintln!(
        "{} steps in {} worlds, {} agreed, {} differences",
        report.steps,
        report.worlds,
        report.agreed,
        report.differences.len()
    );
    for (reason, count) in &report.outcomes {
        eprintln!("{count:8} {}", reason.name());
    }
    for (reason, count) in &report.behind_extensions {
        eprintln!("{count:8} {} behind extension headers", reason.name());
    }
    for (mode, count) in &report.modes {
        eprintln!("{count:8} delivered by {mode:?}");
    }
    let shown: Vec<_> = report.differences.iter().take(5).map(String::as_str).collect();
    assert!(
        shown.is_empty(),
        "the first of {} differences:\n{}",
        report.differences.len(),
        shown.join("\n\n")
    );
    for reason in Reason::ALL {
        let reached = report.outcomes.contains_key(reason);
        assert_eq!(
            reached,
            !UNREACHABLE.contains(reason),
            "{}: the packets no longer cover what they should",
            reason.name()
        );
    }
    for reason in [Reason::ForwardIcmpError, Reason::DropIcmpError, Reason::ReplyEcho] {
        let reached = report.behind_extensions.get(&reason);
        assert!(
            reached.is_some_and(|count| *count > 20),
            "{reason:?}: {reached:?}"
        );
    }
    for action in [expect::XDP_TX, expect::XDP_REDIRECT] {
        let forwarded = report.actions.get(&(Reason::ForwardTracked, action));
        assert!(forwarded.is_some_and(|count| *count > 500), "action {action}");
    }
    let modes = [
        DeliveryMode::L2,
        DeliveryMode::Ipv4,
        DeliveryMode::Ipv6,
        DeliveryMode::GueIpv4,
        DeliveryMode::GueIpv6,
    ];
    for mode in modes {
        assert!(
            report.modes.get(&mode).is_some_and(|count| *count > 500),
            "{mode:?}"
        );
    }
}
