//! The loaded programs: one for each point of time, because a clock is a constant of a loaded program.

use std::collections::BTreeMap;
use std::process::Command;

use aya::programs::{TestRun as _, TestRunOptions};
use lb_common::layout::BUCKET_SLOTS;
use lb_common::verdict::Reason;
use lb_ctl::dataplane::{LoadOptions, Program, Sizes};
use lb_ctl::plan::Arrivals;
use lb_ctl::plan::contents::Contents;
use lb_ctl::plan::diff::diff;

pub const SEED: u128 = 0x0c0f_fee0_0000_0000_0000_0000_0000_0001;

/// Room for every row of an event.
pub const SIZES: Sizes = Sizes {
    flow_slots: 1 << 17,
    table_slots: 1 << 21,
    services: 1 << 11,
    members: 1 << 13,
    backends: 64,
    zone_tables: 64,
    zone_prefixes: 64,
};

/// The interface that test runs pretend packets come from: the namespace's loopback.
pub const INGRESS: u32 = 1;

/// What frames are sent to there.
pub const OWN_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];
/// Longer packets were joined.
pub const MTU: u32 = 1500;

/// The interface that test runs' packets come from, and what is known of it.
pub fn arrivals() -> Arrivals {
    let mut arrivals = Arrivals::default();
    arrivals.add(INGRESS, OWN_MAC, MTU, []);
    arrivals
}

/// The kernel's `struct xdp_md`, as a test run is given it: the packet's end, and the interface that it comes from.
pub fn xdp_context(length: usize, ingress: u32) -> Vec<u8> {
    let words = [0, length as u32, 0, ingress, 0, 0];
    words.iter().flat_map(|word: &u32| word.to_ne_bytes()).collect()
}

pub const XDP_DROP: u32 = 1;
pub const XDP_PASS: u32 = 2;
pub const XDP_TX: u32 = 3;

/// What a side did with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    pub reason: Reason,
    /// The name of the endpoint that it went to.
    pub backend: Option<char>,
}

/// The endpoint that a next hop's address names.
pub fn backend_of_mac(mac: &[u8]) -> char {
    char::from(mac[5])
}

/// A namespace of this thread's own, in which only loopback exists.
pub fn enter_namespace() {
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).expect("a network namespace (needs root)");
    let status = Command::new("ip").args(["link", "set", "lo", "up"]).status();
    assert!(status.expect("running ip").success(), "setting loopback up");
}

pub struct Bench {
    pub sizes: Sizes,
    programs: BTreeMap<u32, Loaded>,
}

impl Default for Bench {
    fn default() -> Self {
        Self::new(SIZES)
    }
}

impl Bench {
    pub fn new(sizes: Sizes) -> Self {
        Self {
            sizes,
            programs: BTreeMap::new(),
        }
    }

    pub fn buckets(&self) -> u32 {
        self.sizes.flow_slots / BUCKET_SLOTS
    }

    /// The program whose clock stands at second `now`.
    pub fn at(&mut self, now: u32) -> &mut Loaded {
        let sizes = self.sizes;
        self.programs
            .entry(now)
            .or_insert_with(|| Loaded::new(sizes, now))
    }
}

pub struct Loaded {
    program: Program,
    contents: Contents,
    counters: BTreeMap<Reason, u64>,
}

impl Loaded {
    fn new(sizes: Sizes, now: u32) -> Self {
        let options = LoadOptions {
            sizes,
            seed: SEED,
            trace_packets: false,
            answer_echo: false,
            test_now: now,
        };
        Self {
            program: Program::load(&options, None).unwrap_or_else(|error| panic!("loading: {error}")),
            contents: Contents::default(),
            counters: BTreeMap::new(),
        }
    }

    /// Brings the maps from whatever world was here to this one, with nothing in between.
    pub fn enter(&mut self, contents: &Contents, flows: &[[u64; 8]]) {
        self.change(&Contents::default());
        self.change(contents);
        for (index, slots) in flows.iter().enumerate() {
            self.program.maps.flows.set_bucket(index as u32, *slots);
        }
        self.counters = self.counters();
    }

    /// As the daemon does on an event.
    pub fn change(&mut self, contents: &Contents) {
        let operations = diff(&self.contents, contents);
        self.program.maps.apply(&operations).expect("applying operations");
        self.contents = contents.clone();
    }

    pub fn flows(&self) -> Vec<[u64; 8]> {
        (0..self.program.maps.flows.bucket_count())
            .map(|index| self.program.maps.flows.bucket(index))
            .collect()
    }

    fn counters(&self) -> BTreeMap<Reason, u64> {
        let counters = self.program.maps.verdicts().expect("reading the counters");
        counters
            .into_iter()
            .map(|(reason, counter)| (reason, counter.packets))
            .collect()
    }

    /// The one counter that counted since the last look. `guess` is looked at first: reading all of them takes long.
    fn counted(&mut self, guess: Reason) -> Reason {
        let guessed = self
            .program
            .maps
            .verdict(guess)
            .expect("reading a counter")
            .packets;
        if guessed == self.counters[&guess] + 1 {
            self.counters.insert(guess, guessed);
            return guess;
        }
        let counters = self.counters();
        let before = std::mem::replace(&mut self.counters, counters);
        let mut counted = self
            .counters
            .iter()
            .filter(|(reason, count)| before[reason] != **count);
        let (reason, count) = counted.next().expect("every packet is counted");
        assert_eq!(*count, before[reason] + 1, "{}", reason.name());
        assert!(counted.next().is_none(), "a packet is counted once");
        *reason
    }

    /// Takes the counters as they are.
    pub fn forget_counters(&mut self) {
        self.counters = self.counters();
    }

    /// No packet was counted twice or by another name.
    pub fn check_counters(&self) {
        assert_eq!(self.counters, self.counters());
    }

    pub fn run(&mut self, packet: &[u8]) -> (u32, Vec<u8>) {
        let mut frame = vec![0; 2048];
        let context = xdp_context(packet.len(), INGRESS);
        let mut options = TestRunOptions::new();
        options.data_in = Some(packet);
        options.ctx_in = Some(&context);
        options.data_out = Some(&mut frame);
        let result = self.program.xdp().test_run(options).expect("a test run");
        frame.truncate(result.data_size_out as usize);
        (result.return_value, frame)
    }

    /// `guess` is the reason that it probably has.
    pub fn send(&mut self, packet: &[u8], guess: Reason) -> Seen {
        let (action, frame) = self.run(packet);
        let backend = (action == XDP_TX).then(|| backend_of_mac(&frame));
        let reason = self.counted(guess);
        let expected = match reason.action() {
            lb_common::verdict::Action::Pass => XDP_PASS,
            lb_common::verdict::Action::Drop => XDP_DROP,
            _ => XDP_TX,
        };
        assert_eq!(action, expected, "{}", reason.name());
        Seen { reason, backend }
    }
}
