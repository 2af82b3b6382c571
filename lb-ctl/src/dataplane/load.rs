//! Loading the program: sizes, secrets, and maps that a former daemon left pinned.

use std::path::PathBuf;

use anyhow::Context as _;
use aya::maps::{Map, MapData};
use aya::programs::tc::SchedClassifierLinkId;
use aya::programs::{SchedClassifier, TcAttachType, Xdp, tc};
use aya::util::KernelVersion;
use aya::{Ebpf, EbpfError, EbpfLoader};
use aya_log::EbpfLogger;
use lb_common::hash::HashKeys;
use lb_common::layout::{BUCKET_SLOTS, map, size};
use thiserror::Error;
use tokio::io::unix::AsyncFd;

use super::failures::Watched;
use super::kernel::{MapSet, Source};
use super::pin::PinDirectory;

/// As aya-log numbers them: broken invariants are errors, traces of packets are information.
const LEVEL_ERROR: u8 = 1;
const LEVEL_INFO: u8 = 3;

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/lb-ebpf.o"));

/// Whether this binary was built with the kernel program inside.
pub fn object_is_embedded() -> bool {
    !OBJECT.is_empty()
}

/// Whether the kernel program in this binary can log every packet (`cargo xtask build --trace`).
pub fn object_can_trace() -> bool {
    // The format string of the record stands in the object as it is.
    let record = b"packet: reason=";
    OBJECT.windows(record.len()).any(|window| window == record)
}

/// The kernel program as an object file; empty if it is not inside.
pub fn object() -> &'static [u8] {
    OBJECT
}

/// How many entries the maps have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Flow-table slots; a multiple of 8.
    pub flow_slots: u32,
    /// Selection-table slots of all services together; even.
    pub table_slots: u32,
    pub services: u32,
    pub members: u32,
    pub backends: u32,
    /// Zones of all services with zonal affinity together.
    pub zone_tables: u32,
    /// Prefixes of client zones.
    pub zone_prefixes: u32,
}

impl Default for Sizes {
    fn default() -> Self {
        Self {
            flow_slots: size::FLOW_SLOTS,
            table_slots: size::TABLE_SLOTS,
            services: size::SERVICES,
            members: size::MEMBERS,
            backends: size::BACKENDS,
            zone_tables: size::ZONE_TABLES,
            zone_prefixes: size::ZONES,
        }
    }
}

impl Sizes {
    pub(super) fn entries(&self) -> [(&'static str, u32); 11] {
        [
            (map::FLOWS, self.flow_slots / BUCKET_SLOTS),
            (map::TUPLES, self.flow_slots),
            (map::TUPLES6, self.flow_slots),
            (map::TABLES, self.table_slots / 2),
            (map::SERVICES, self.services),
            (map::MEMBERS, self.members),
            (map::MEMBER_STATS, self.members),
            (map::BACKENDS, self.backends),
            (map::PROBES, self.members),
            (map::ZONE_TABLES, self.zone_tables),
            (map::ZONES, self.zone_prefixes),
        ]
    }
}

/// No `Debug`: the seed is a secret.
#[derive(Clone)]
pub struct LoadOptions {
    pub sizes: Sizes,
    pub seed: u128,
    /// Answer ICMP echo requests to VIPs that no rule takes.
    pub answer_echo: bool,
    /// Log every packet, in a build that can.
    pub trace_packets: bool,
    /// Not 0: a test's clock.
    pub test_now: u32,
}

#[derive(Debug, Error)]
pub enum LoadError {
    #[error("this lb-ctl was built without the kernel program; build it with `cargo xtask build`")]
    NoObject,
    #[error("the kernel refused the program: {0}")]
    Refused(#[source] Box<EbpfError>),
    #[error("the kernel's verifier refused the program: {0}")]
    Verifier(#[source] Box<aya::programs::ProgramError>),
    #[error(
        "the pinned map {map} has {actual} entries, but {wanted} are asked for; \
         keep the old size, or run `lb-ctl detach` (which stops forwarding) and start again"
    )]
    PinnedSize {
        map: &'static str,
        actual: u32,
        wanted: u32,
    },
    #[error("{0}")]
    Other(#[source] anyhow::Error),
}

/// The loaded program and its maps.
pub struct Program {
    pub(super) ebpf: Ebpf,
    /// What an earlier run left, if it is this one's to the last bit: it need not be verified again.
    pinned: Option<Box<Xdp>>,
    pub(super) identity: u64,
    /// Why the program that delivers probes could not be loaded: nothing that packets of clients need.
    no_probes: Option<anyhow::Error>,
    /// Where that program is attached.
    probing: Option<SchedClassifierLinkId>,
    pub(super) watched: Option<Watched>,
    pub maps: MapSet,
}

impl Program {
    /// Loads; with `pins`, maps pinned there are adopted and new ones pinned.
    pub fn load(options: &LoadOptions, pins: Option<&PinDirectory>) -> Result<Self, LoadError> {
        Self::load_object(OBJECT, options, pins)
    }

    /// Opens pinned maps that are somebody else's, without a change of any. The program is loaded, and not for attaching.
    pub fn load_beside(options: &LoadOptions, pins: &PinDirectory) -> Result<Self, LoadError> {
        Self::load_with(OBJECT, options, Some(pins), MapSet::open)
    }

    /// Loads another build of the program, such as a benchmark's.
    pub fn load_object(
        object: &[u8],
        options: &LoadOptions,
        pins: Option<&PinDirectory>,
    ) -> Result<Self, LoadError> {
        Self::load_with(object, options, pins, MapSet::new)
    }

    fn load_with(
        object: &[u8],
        options: &LoadOptions,
        pins: Option<&PinDirectory>,
        open: impl FnOnce(Source<'_>, &Sizes) -> anyhow::Result<MapSet>,
    ) -> Result<Self, LoadError> {
        let identity = identity(object, options);
        let mut ebpf = load_maps(object, options, &|name| pins?.usable_pin(name))?;
        // The programs first: loading them needs the maps' descriptors, which `MapSet` partly gives up.
        let pinned = pins.and_then(|pins| adopt_pinned(identity, pins));
        if pinned.is_none() {
            xdp(&mut ebpf)
                .load()
                .map_err(|error| LoadError::Verifier(Box::new(error)))?;
        }
        let no_probes = probe(&mut ebpf)
            .and_then(|program| program.load().map_err(Into::into))
            .err();
        let mut take = |name: &'static str| {
            if let Some(pins) = pins
                && let Some(pin) = pins.map_pin(name)
                && pins.usable_pin(name).is_none()
            {
                return Ok(MapData::from_pin(pin)?);
            }
            let map = ebpf
                .take_map(name)
                .with_context(|| format!("the object has no map {name}"))?;
            data(map).with_context(|| format!("the map {name} is of an unexpected kind"))
        };
        let maps = open(&mut take, &options.sizes).map_err(LoadError::Other)?;
        Ok(Self {
            ebpf,
            pinned,
            identity,
            no_probes,
            probing: None,
            watched: None,
            maps,
        })
    }

    pub fn xdp(&mut self) -> &mut Xdp {
        match &mut self.pinned {
            Some(pinned) => pinned,
            None => xdp(&mut self.ebpf),
        }
    }

    /// Has what the host sends by `interface`, and by no other any more, delivered to endpoints, as long as `self` lives.
    pub fn attach_probe(&mut self, interface: &str) -> anyhow::Result<()> {
        if let Some(error) = &self.no_probes {
            anyhow::bail!("loading the program that delivers probes: {error:#}");
        }
        if KernelVersion::current().is_ok_and(|version| version < KernelVersion::new(6, 6, 0)) {
            // Before there were links, programs were attached to a queueing discipline.
            tc::qdisc_add_clsact(interface)
                .with_context(|| format!("adding the queueing discipline clsact to {interface}"))?;
        }
        let program = probe(&mut self.ebpf)?;
        if let Some(before) = self.probing.take() {
            // It may be gone with its interface.
            let _ = program.detach(before);
        }
        let attached = program.attach(interface, TcAttachType::Egress);
        let attached = attached.with_context(|| format!("attaching to the egress of {interface}"))?;
        self.probing = Some(attached);
        Ok(())
    }

    /// Instructions that the verifier looked at, over all paths.
    pub fn verified_instructions(&mut self) -> Option<u32> {
        self.xdp().info().ok()?.verified_instruction_count()
    }

    /// Passes the program's log records on to the daemon's log, for as long as the runtime lives.
    pub fn forward_logs(&mut self) -> anyhow::Result<()> {
        let logger = match &self.pinned {
            Some(pinned) => EbpfLogger::init_from_id(pinned.info()?.id()),
            None => EbpfLogger::init(&mut self.ebpf),
        };
        let logger = logger.context("reading the program's log")?;
        // SAFETY: the logger's descriptor is its map's for as long as it lives.
        let logger = unsafe { AsyncFd::register(logger) };
        let mut logger = logger.context("waiting for the program's log")?;
        tokio::spawn(async move {
            while let Ok(mut ready) = logger.readable_mut().await {
                ready.get_inner_mut().flush();
                ready.clear_ready();
            }
        });
        Ok(())
    }
}

/// The object with its constants, its maps made, or opened where they are pinned; the programs are not loaded.
fn load_maps(
    object: &[u8],
    options: &LoadOptions,
    pin: &dyn Fn(&'static str) -> Option<PathBuf>,
) -> Result<Ebpf, LoadError> {
    if object.is_empty() {
        return Err(LoadError::NoObject);
    }
    let entries = options.sizes.entries();
    check_pinned_sizes(&entries, pin)?;
    let keys = HashKeys::from_seed(options.seed);
    let mut key_words = [0u32; 24];
    key_words[..12].copy_from_slice(&keys.selection.0);
    key_words[12..].copy_from_slice(&keys.flow.0);
    let buckets = options.sizes.flow_slots / BUCKET_SLOTS;
    let log_level = if options.trace_packets {
        LEVEL_INFO
    } else {
        LEVEL_ERROR
    };
    let answer_echo = u32::from(options.answer_echo);
    let mut loader = EbpfLoader::new();
    loader
        .override_global("LB_HASH_KEYS", &key_words, true)
        .override_global("LB_BUCKETS", &buckets, true)
        .override_global("LB_TEST_NOW", &options.test_now, true)
        .override_global("LB_ANSWER_ECHO", &answer_echo, true)
        .override_global(aya_log::LEVEL, &log_level, true);
    for (name, count) in entries {
        loader.map_max_entries(name, count);
    }
    for name in map::ALL {
        if let Some(path) = pin(name) {
            loader.map_pin_path(name, path);
        }
    }
    loader
        .load(object)
        .map_err(|error| LoadError::Refused(Box::new(error)))
}

/// Makes the maps that are missing where `pin` says, and pins them.
pub(super) fn make_maps(
    options: &LoadOptions,
    pin: &dyn Fn(&'static str) -> Option<PathBuf>,
) -> Result<(), LoadError> {
    load_maps(OBJECT, options, pin).map(drop)
}

/// The program that an earlier run left pinned, if it is the same one on the same maps: it need not be verified again.
fn adopt_pinned(identity: u64, pins: &PinDirectory) -> Option<Box<Xdp>> {
    let path = pins.program(identity);
    if !path.exists() {
        return None;
    }
    let adopt = || -> anyhow::Result<Option<Box<Xdp>>> {
        let xdp = Xdp::from_pin(&path, aya_obj::programs::XdpAttachType::Interface)?;
        let used = xdp.info()?.map_ids()?.unwrap_or_default();
        // Probes are not that program's, and no program asks whose the maps are.
        let unused = [map::PROBES, map::ABOUT];
        for name in map::ALL.iter().filter(|name| !unused.contains(name)) {
            let held = MapData::from_pin(pins.maps().join(name));
            let held = held.with_context(|| format!("opening the map {name}"))?;
            if !used.contains(&held.info()?.id()) {
                return Ok(None);
            }
        }
        Ok(Some(Box::new(xdp)))
    };
    adopt().unwrap_or_else(|error| {
        tracing::warn!(
            "{} can't be taken up, so the program is loaded anew: {error:#}",
            path.display()
        );
        None
    })
}

/// The same for the same program with the same constants: keyed, so that it tells nothing of the seed.
fn identity(object: &[u8], options: &LoadOptions) -> u64 {
    let LoadOptions {
        sizes,
        seed,
        answer_echo,
        trace_packets,
        test_now,
    } = options;
    let constants = format!("{sizes:?} {answer_echo} {trace_packets} {test_now} ");
    let mut bytes = constants.into_bytes();
    bytes.extend_from_slice(object);
    lb_common::hash::identity(*seed, &bytes)
}

fn xdp(ebpf: &mut Ebpf) -> &mut Xdp {
    let program = ebpf.program_mut("lb").expect("the object has the program `lb`");
    program.try_into().expect("`lb` is an XDP program")
}

fn probe(ebpf: &mut Ebpf) -> anyhow::Result<&mut SchedClassifier> {
    let program = ebpf.program_mut("lb_probe");
    let program = program.context("the object has no program `lb_probe`")?;
    Ok(program.try_into()?)
}

pub(super) fn check_pinned_sizes(
    entries: &[(&'static str, u32)],
    pin: &dyn Fn(&'static str) -> Option<PathBuf>,
) -> Result<(), LoadError> {
    for (name, wanted) in entries {
        let Some(path) = pin(name).filter(|path| path.exists()) else {
            continue;
        };
        let pinned = MapData::from_pin(&path).map_err(|error| LoadError::Other(error.into()))?;
        let actual = pinned
            .info()
            .map_err(|error| LoadError::Other(error.into()))?
            .max_entries();
        if actual != *wanted {
            return Err(LoadError::PinnedSize {
                map: name,
                actual,
                wanted: *wanted,
            });
        }
    }
    Ok(())
}

/// The map data inside one of the map kinds that the program uses.
fn data(map: Map) -> Option<MapData> {
    match map {
        Map::Array(data)
        | Map::HashMap(data)
        | Map::LruHashMap(data)
        | Map::LpmTrie(data)
        | Map::PerCpuArray(data)
        | Map::DevMapHash(data) => Some(data),
        _ => None,
    }
}
