//! `run`: the daemon's arguments.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::str::FromStr;

use clap::parser::ValueSource;
use clap::{ArgMatches, Args, ValueEnum};

use super::Failure;
use super::options::{DEFAULT_ENDPOINT, DefaultPlace};
use crate::server::ListenAddress;
use crate::settings::{FileSettings, FlagDefaults};

pub(super) const DEFAULT_PIN_DIR: &str = "/sys/fs/bpf/lb";
pub(super) const DEFAULT_STATE_DIR: &str = "/var/lib/lb";
pub(super) const DEFAULT_RUNTIME_DIR: &str = "/run/lb";

/// A bucket of the flow table, and the most that its map may hold.
const FEWEST_FLOW_SLOTS: u64 = 8;
const MOST_FLOW_SLOTS: u64 = 1 << 30;

#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct RunArgs {
    /// Balance packets that arrive on this interface; repeatable.
    #[arg(
        long = "interface",
        short,
        value_name = "IF",
        required_unless_present = "settings"
    )]
    pub interfaces: Vec<String>,
    /// Settings that resources can't hold, such as the zones of clients, and defaults for these flags: a TOML file.
    #[arg(long, value_name = "FILE")]
    pub settings: Option<PathBuf>,
    /// Resources that the daemon shall hold: a JSON file, or a directory of them; repeatable.
    #[arg(long, value_name = "FILE|DIR")]
    pub config: Vec<PathBuf>,
    /// What has to survive a restart.
    #[arg(long, value_name = "DIR", default_value = DEFAULT_STATE_DIR)]
    pub state_dir: PathBuf,
    /// What has to survive a restart of the daemon, but not of the host, and must not wait for a disk.
    #[arg(long, value_name = "DIR", default_value = DEFAULT_RUNTIME_DIR)]
    pub runtime_dir: PathBuf,
    /// Serve the API here: unix:PATH, or IP:PORT (loopback only unless there are tokens); repeatable.
    #[arg(long, value_name = "ADDRESS", default_value = DEFAULT_ENDPOINT)]
    pub listen: Vec<ListenAddress>,
    /// Who may use the API over TCP: a file with a line for each token, TOKEN ROLE, the role being viewer, editor or
    /// admin. Followed when it changes.
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// How to attach: native is fast and needs the driver's support, generic works everywhere.
    #[arg(long, value_enum, default_value_t = XdpMode::Auto)]
    pub xdp_mode: XdpMode,
    /// Slots of the flow table, a power of two; 4 for each flow expected is a good size.
    #[arg(long, value_name = "N", default_value_t = 4 << 20, value_parser = flow_slots)]
    pub flow_slots: u64,
    /// Slots of all selection tables together, 4 bytes each; a quarter of them (`[tables] reserve-slots`) is kept for the
    /// tables that replace others.
    #[arg(long, value_name = "N", default_value_t = 32 << 20, value_parser = table_slots)]
    pub table_slots: u32,
    #[command(flatten)]
    pub place: DefaultPlace,
    /// Neither answer for VIPs on connected prefixes nor announce them (ARP, neighbour discovery).
    #[arg(long)]
    pub no_announce: bool,
    /// Log every packet; needs a debug build.
    #[arg(long)]
    pub trace_packets: bool,
    /// Where the kernel state is pinned; a BPF file system.
    #[arg(long, value_name = "DIR", default_value = DEFAULT_PIN_DIR)]
    pub pin_dir: PathBuf,
    /// Take over what is pinned although it was made for other resources: connections start anew.
    #[arg(long)]
    pub discard_pinned: bool,
    /// The selection hash's seed, 32 hexadecimal digits, which all hosts of a fleet share and no client knows. Made
    /// and kept in the state directory unless given.
    #[arg(long, value_name = "HEX", env = "LB_HASH_SEED", hide_env_values = true)]
    pub hash_seed: Option<HashSeed>,
    /// The flags that were given, by their names here; the others may come from the settings file.
    #[arg(skip)]
    given: BTreeSet<String>,
}

impl RunArgs {
    pub(super) fn note_given(&mut self, matches: &ArgMatches) {
        let is_given = |id: &str| {
            matches!(
                matches.value_source(id),
                Some(ValueSource::CommandLine | ValueSource::EnvVariable)
            )
        };
        let ids = matches.ids().map(clap::Id::as_str);
        self.given = ids.filter(|id| is_given(id)).map(str::to_owned).collect();
    }

    /// With the settings file's defaults in the place of flags that are not given.
    pub(super) fn or_else(self, defaults: &FlagDefaults) -> Self {
        let FlagDefaults {
            interfaces,
            config,
            state_dir,
            runtime_dir,
            listen,
            token_file,
            xdp_mode,
            flow_slots,
            table_slots,
            place,
            announce,
            pin_dir,
            hash_seed,
        } = defaults.clone();
        let given = |id: &str| self.given.contains(id);
        Self {
            interfaces: choose(given("interfaces"), self.interfaces, filled(interfaces)),
            config: choose(given("config"), self.config, filled(config)),
            state_dir: choose(given("state_dir"), self.state_dir, state_dir),
            runtime_dir: choose(given("runtime_dir"), self.runtime_dir, runtime_dir),
            listen: choose(given("listen"), self.listen, filled(listen)),
            token_file: self.token_file.or(token_file),
            xdp_mode: choose(given("xdp_mode"), self.xdp_mode, xdp_mode),
            flow_slots: choose(given("flow_slots"), self.flow_slots, flow_slots),
            table_slots: choose(given("table_slots"), self.table_slots, table_slots),
            place: DefaultPlace {
                project: self.place.project.or(place.project),
                region: self.place.region.or(place.region),
                zone: self.place.zone.or(place.zone),
            },
            no_announce: choose(
                given("no_announce"),
                self.no_announce,
                announce.map(|announce| !announce),
            ),
            pin_dir: choose(given("pin_dir"), self.pin_dir, pin_dir),
            hash_seed: self.hash_seed.or(hash_seed),
            ..self
        }
    }
}

fn filled<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}

fn choose<T>(given: bool, value: T, default: Option<T>) -> T {
    match default {
        Some(default) if !given => default,
        _ => value,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum XdpMode {
    /// Native, or generic with a warning where the driver refuses native.
    Auto,
    Native,
    Generic,
}

/// In the order in which the digits are written. Its debug form keeps the secret.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct HashSeed(pub [u8; 16]);

impl FromStr for HashSeed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || "expected 32 hexadecimal digits".to_owned();
        if text.len() != 32 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(expected());
        }
        let number = u128::from_str_radix(text, 16).map_err(|_| expected())?;
        Ok(Self(number.to_be_bytes()))
    }
}

impl std::fmt::Debug for HashSeed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HashSeed(…)")
    }
}

pub(crate) fn flow_slots(text: &str) -> Result<u64, String> {
    let n: u64 = text.parse().map_err(|_| "expected a number".to_owned())?;
    match n {
        FEWEST_FLOW_SLOTS..=MOST_FLOW_SLOTS if n.is_power_of_two() => Ok(n),
        FEWEST_FLOW_SLOTS..=MOST_FLOW_SLOTS => Err(format!(
            "must be a power of two; the next is {}",
            n.next_power_of_two()
        )),
        _ => Err(format!("must be from {FEWEST_FLOW_SLOTS} to {MOST_FLOW_SLOTS}")),
    }
}

/// The smallest table, and the most that its map may hold.
const FEWEST_TABLE_SLOTS: u32 = 1 << 13;
const MOST_TABLE_SLOTS: u32 = 1 << 29;

pub(crate) fn table_slots(text: &str) -> Result<u32, String> {
    let n: u32 = text.parse().map_err(|_| "expected a number".to_owned())?;
    match n {
        FEWEST_TABLE_SLOTS..=MOST_TABLE_SLOTS if n.is_multiple_of(2) => Ok(n),
        FEWEST_TABLE_SLOTS..=MOST_TABLE_SLOTS => Err("must be even".to_owned()),
        _ => Err(format!("must be from {FEWEST_TABLE_SLOTS} to {MOST_TABLE_SLOTS}")),
    }
}

pub(super) fn run(args: RunArgs) -> Result<(), Failure> {
    let settings = match &args.settings {
        Some(path) => FileSettings::read(path)?,
        None => FileSettings::default(),
    };
    let args = args.or_else(&settings.flags);
    if args.interfaces.is_empty() {
        let message = "no interface to balance on: give --interface, or `interfaces` in the settings file";
        return Err(Failure::Usage(message.to_owned()));
    }
    if let Some(reserve) = settings
        .table_reserve
        .filter(|reserve| *reserve >= args.table_slots)
    {
        let message = format!(
            "`[tables] reserve-slots` is {reserve}, of {} slots of all tables (--table-slots): no table would fit",
            args.table_slots
        );
        return Err(Failure::Usage(message));
    }
    Ok(crate::daemon::run(args, settings)?)
}
