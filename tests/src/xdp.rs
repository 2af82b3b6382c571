//! The laboratory's own XDP programs, loaded from the object that `cargo xtask build` leaves.

use std::path::PathBuf;

use aya::maps::{Array, MapData, PerCpuArray};
use aya::programs::{Xdp, XdpMode};
use aya::{Ebpf, EbpfLoader};

use crate::netns::Namespace;

const SINK: &str = "bench_sink";

/// As the sink has it.
#[repr(C)]
#[derive(Clone, Copy)]
struct Sample {
    length: u32,
    start: [u8; 80],
}

// SAFETY: without padding, and any bits are a value.
unsafe impl aya::Pod for Sample {}

/// Attached as long as this lives, and then only while the interfaces exist.
pub(crate) struct Programs {
    object: Ebpf,
}

impl Programs {
    pub(crate) fn load() -> Self {
        Self::load_with(0, &["lab_pass", "lab_decap"])
    }

    /// With the sink beside the usual programs.
    pub(crate) fn load_with_sink() -> Self {
        Self::load_with(0, &["lab_pass", "lab_decap", SINK])
    }

    /// A program that sends all that an interface hears to one MAC address.
    pub(crate) fn load_forwarder(to: [u8; 6]) -> Self {
        let [a, b, c, d, e, f] = to;
        Self::load_with(u64::from_ne_bytes([a, b, c, d, e, f, 0, 0]), &["lab_forward"])
    }

    fn load_with(forward_to: u64, names: &[&str]) -> Self {
        let path = object_path();
        let loaded = EbpfLoader::new()
            .override_global("FORWARD_TO", &forward_to, true)
            .load_file(&path);
        let mut object = loaded.unwrap_or_else(|error| {
            panic!(
                "loading {} (made by `cargo xtask build`): {error:?}",
                path.display()
            )
        });
        for name in names {
            program(&mut object, name)
                .load()
                .unwrap_or_else(|error| panic!("verifying {name}: {error:?}"));
        }
        Self { object }
    }

    /// Makes a veth end native, so that its peer may send to it from XDP.
    pub(crate) fn pass(&mut self, namespace: &Namespace, interface: &str) {
        self.attach("lab_pass", namespace, interface);
    }

    /// Makes an interface strip one outer IP header.
    pub(crate) fn decapsulate(&mut self, namespace: &Namespace, interface: &str) {
        self.attach("lab_decap", namespace, interface);
    }

    pub(crate) fn forward(&mut self, namespace: &Namespace, interface: &str) {
        self.attach("lab_forward", namespace, interface);
    }

    /// Makes a veth end native that drops and counts what the benchmark sent, and passes everything else.
    pub(crate) fn sink(&mut self, namespace: &Namespace, interface: &str) {
        self.attach(SINK, namespace, interface);
    }

    /// What came to the sink so far: frames by the last byte of the address that they were sent to.
    pub(crate) fn arrived(&self) -> Vec<u64> {
        let counters = self.object.map("BENCH_ARRIVED").expect("the sink's counters");
        let counters: PerCpuArray<&MapData, u64> = counters.try_into().expect("numbers");
        let rows = counters
            .iter()
            .map(|row| row.expect("reading a counter").iter().sum());
        rows.collect()
    }

    /// The frame that the sink kept last, no longer kept from now on.
    pub(crate) fn take_sample(&mut self) -> Vec<u8> {
        let sample = self.object.map_mut("BENCH_SAMPLE").expect("the sink's sample");
        let mut sample: Array<&mut MapData, Sample> = sample.try_into().expect("a sample");
        let Sample { length, start } = sample.get(&0, 0).expect("reading the sample");
        let nothing = Sample {
            length: 0,
            start: [0; 80],
        };
        sample.set(0, nothing, 0).expect("forgetting the sample");
        start[..start.len().min(length as usize)].to_vec()
    }

    fn attach(&mut self, name: &str, namespace: &Namespace, interface: &str) {
        let program = program(&mut self.object, name);
        // Interface names and numbers mean something else in every namespace.
        namespace.run(|| {
            program
                .attach(interface, XdpMode::Driver)
                .unwrap_or_else(|error| panic!("attaching {name} to {interface}: {error:?}"));
        });
    }
}

fn program<'a>(object: &'a mut Ebpf, name: &str) -> &'a mut Xdp {
    let program = object
        .program_mut(name)
        .unwrap_or_else(|| panic!("the object has no program {name}"));
    program
        .try_into()
        .unwrap_or_else(|error| panic!("{name}: {error:?}"))
}

pub(crate) fn object_path() -> PathBuf {
    built("LB_TESTS_BPF_OBJECT", "lb-tests-ebpf.o")
}

/// Where the build left an object: as the variable says, else in the usual target directory.
pub(crate) fn built(variable: &str, name: &str) -> PathBuf {
    std::env::var_os(variable).map_or_else(
        || {
            let target = concat!(env!("CARGO_MANIFEST_DIR"), "/../target");
            PathBuf::from(target).join(name)
        },
        PathBuf::from,
    )
}
