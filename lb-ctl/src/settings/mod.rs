//! `lb.toml`: what Compute resources can't say (client zones, answering echo, the GUE port), and defaults for the
//! daemon's flags.
//!
//! Contract: every fault of the file is told at once, with the path of its key; what comes out is valid. A flag that is
//! given wins over the file. Relative paths are taken from the directory that the daemon is started in, as with flags.

mod announce;
mod mac;
mod read;
#[cfg(test)]
mod tests;
mod walk;

use std::path::PathBuf;
use std::time::Duration;

use crate::cli::{DefaultPlace, HashSeed, XdpMode};
use crate::flowlog::Destination;
use crate::net::{MacAddr, Mark};
use crate::plan::{ProbeDestination, ZonePrefixes};
use crate::resources::DefaultSlots;
use crate::server::ListenAddress;

/// Port of Generic UDP Encapsulation at IANA.
pub const GUE_PORT: u16 = 6080;

const COMPARE_INTERVAL: Duration = Duration::from_secs(60);

/// The file, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileSettings {
    /// `[zones]`: prefixes of the clients in a zone, for zonal affinity.
    pub zones: ZonePrefixes,
    /// `answer-echo`: answer ICMP echo requests to a VIP that no rule takes. Default false.
    pub answer_echo: bool,
    /// `gue-port`: UDP destination port of `gue` delivery, 1..=65535. Default 6080.
    pub gue_port: u16,
    /// `virtual-macs`: Ethernet addresses that frames to this host may have beside those of its devices. Default none.
    pub virtual_macs: Vec<MacAddr>,
    /// `probe-destination`: where health checks probe endpoints. Default `vip`.
    pub probe_destination: ProbeDestination,
    /// `probe-mark`: the firewall mark of probes for VIPs. Default 0x3062.
    pub probe_mark: Mark,
    /// `[log] connections`: where the log of connections goes. Default `stderr`.
    pub log_connections: Destination,
    /// `[tables] default-slots`: how large the selection tables of a service are that is made from now on.
    pub default_table_slots: DefaultSlots,
    /// `[tables] reserve-slots`: what successors of selection tables are made of. A quarter of `table-slots` unless set.
    pub table_reserve: Option<u32>,
    /// `announce.interval-sec`: VIPs are announced again this often. Default never.
    pub announce_repeat: Option<Duration>,
    /// `compare-interval-sec`: how often everything that the maps hold is compared with what they should hold, 1..=86400.
    /// Default 60.
    pub compare_interval: Duration,
    pub flags: FlagDefaults,
}

/// What holds for flags that are not given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FlagDefaults {
    pub interfaces: Vec<String>,
    pub config: Vec<PathBuf>,
    pub state_dir: Option<PathBuf>,
    pub runtime_dir: Option<PathBuf>,
    pub listen: Vec<ListenAddress>,
    pub token_file: Option<PathBuf>,
    pub xdp_mode: Option<XdpMode>,
    pub flow_slots: Option<u64>,
    pub table_slots: Option<u32>,
    pub place: DefaultPlace,
    pub announce: Option<bool>,
    pub pin_dir: Option<PathBuf>,
    pub hash_seed: Option<HashSeed>,
}

impl Default for FileSettings {
    fn default() -> Self {
        Self {
            zones: ZonePrefixes::new(),
            answer_echo: false,
            gue_port: GUE_PORT,
            virtual_macs: Vec::new(),
            probe_destination: ProbeDestination::default(),
            probe_mark: Mark::DEFAULT,
            log_connections: Destination::default(),
            default_table_slots: DefaultSlots::default(),
            table_reserve: None,
            announce_repeat: None,
            compare_interval: COMPARE_INTERVAL,
            flags: FlagDefaults::default(),
        }
    }
}
