//! Everything at once, under traffic: kills, a full disk, lost netlink messages, an interface that goes and comes, changes,
//! and endpoints whose health flips a thousand times a minute.
//!
//! In the end the maps equal the store, what was acknowledged is kept, memory and descriptors are as they were, and no
//! flow has moved: nothing of this is a reason for that.

mod background;
mod trouble;

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use serde_json::json;

use self::background::{Background, Done};
use self::trouble::{Counts, Trouble};
use crate::condition::eventually;
use crate::daemon::Daemon;
use crate::documents::{Documents, Service};
use crate::multitude::Multitude;
use crate::random::Random;
use crate::resources::{endpoint, group, group_path, http_check, rule, service};
use crate::tmpfs::Tmpfs;
use crate::topology::{FAILOVER, LB, Lab, PRIMARIES, VIP4};
use crate::traffic::backend::Backend;
use crate::traffic::flow::UdpFlow;
use crate::traffic::tcp::Connection;
use crate::traffic::{TCP_PORT, UDP_PORT};

const ZONE: &str = "lab-1-a";
const ENDPOINTS: u16 = 100;
const FLIPPED: &str = "flipped";
const FLIPPED_VIP: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 7);
const FLOWS: usize = 10;
const CONNECTIONS: usize = 10;
const TICK: Duration = Duration::from_millis(100);
const DISK_MIB: u32 = 12;
const SETTLED: Duration = Duration::from_secs(60);
/// What allocators keep for themselves differs by as much from time to time.
const MEMORY_KIB: u64 = 24 << 10;
const DESCRIPTORS: usize = 8;

/// How much of everything.
#[derive(Clone, Copy, Debug)]
pub struct Extent {
    pub kills: u32,
    pub interfaces: u32,
    pub flips_a_minute: u32,
    pub length: Duration,
    pub seed: u64,
}

impl Extent {
    /// 200 kills, 50 interfaces and 10,000 flips in ten minutes; in fewer as much less of them.
    pub fn of_minutes(minutes: u32, seed: u64) -> Self {
        let share = |all: u32| (all * minutes).div_ceil(10);
        Self {
            kills: share(200),
            interfaces: share(50),
            flips_a_minute: 1000,
            length: Duration::from_secs(60) * minutes,
            seed,
        }
    }
}

/// What happened, for whoever reads it.
#[derive(Debug)]
pub struct Summary {
    pub trouble: Counts,
    pub done: Done,
    pub sent: u64,
    pub answered: u64,
}

/// Those that clients talk to have no health check: nothing but configuration moves their flows.
fn documents(lab: &Lab, endpoints: &Multitude) -> Documents {
    let all = (0..ENDPOINTS).map(|index| endpoint(&[endpoints.ipv4(index).into()]));
    let groups = [group_path(ZONE, FLIPPED)];
    Documents::new(lab, &PRIMARIES)
        .both_protocols(|service: Service| service.set("healthChecks", json!([])))
        .resource(http_check(FLIPPED, 1))
        .resource(group(ZONE, FLIPPED, all))
        .resource(service(FLIPPED, "EXTERNAL", &groups, Some(FLIPPED), json!({})))
        .resource(rule(FLIPPED, "EXTERNAL", FLIPPED_VIP.into(), FLIPPED))
}

/// Panics with what is not as it should be.
pub fn run(extent: Extent) -> Summary {
    let lab = Lab::two_armed("chaos");
    let _backends = Backend::all(&lab, &PRIMARIES);
    let endpoints = Multitude::start(&lab, FAILOVER, 90);
    let mut daemon = Daemon::new(&lab);
    let disk = Tmpfs::mount(&daemon.directory().join("state"), DISK_MIB);
    daemon.give("--settings", "lb.toml", "probe-destination = \"own-address\"\n");
    daemon.start_again();
    daemon.apply(&documents(&lab, &endpoints));
    daemon.wait_for_delivery();
    lab.point_vips_at(LB);
    let mut clients = Clients::start(&lab);

    let background = Background::start(daemon.client(), &endpoints, ENDPOINTS, extent.flips_a_minute);
    // The kills come first, so that the memory of one process can be looked at while all the rest goes on.
    let mut trouble = Trouble::new(&lab, &mut daemon, &disk, Random::new(extent.seed));
    trouble.pass(extent.kills, extent.interfaces / 2, extent.length / 2);
    trouble.settle(SETTLED);
    let before = Size::of(trouble.daemon);
    trouble.pass(0, extent.interfaces.div_ceil(2), extent.length / 2);
    trouble.settle(SETTLED);
    let counts = trouble.counts;
    let done = background.end();

    assert_serves_all(&daemon);
    assert_eq!(daemon.verify().differences, [""; 0], "the maps equal the store");
    done.assert_kept(&daemon);
    before.assert_flat(&Size::of(&daemon));
    let (sent, answered) = clients.assert_none_moved();
    Summary {
        trouble: counts,
        done,
        sent,
        answered,
    }
}

#[track_caller]
fn assert_serves_all(daemon: &Daemon<'_>) {
    eventually(SETTLED, || {
        let held = daemon.held();
        let (rotation, healthy) = (
            held.in_rotation(FLIPPED_VIP.into()),
            held.healthy(FLIPPED_VIP.into()),
        );
        match rotation == healthy && rotation.len() == usize::from(ENDPOINTS) {
            true => Ok(()),
            false => Err(format!(
                "{} of {ENDPOINTS} in rotation, {} healthy in the maps",
                rotation.len(),
                healthy.len()
            )),
        }
    });
}

struct Clients {
    flows: Vec<UdpFlow>,
    connections: Vec<Connection>,
}

impl Clients {
    fn start(lab: &Lab) -> Self {
        let to = |port| (IpAddr::from(VIP4), port).into();
        let flows: Vec<UdpFlow> = (0..FLOWS)
            .map(|_| UdpFlow::start(lab.client(), to(UDP_PORT), TICK))
            .collect();
        flows.iter().for_each(|flow| drop(flow.answered_by()));
        Self {
            flows,
            connections: Connection::open_many(lab.client(), to(TCP_PORT), CONNECTIONS),
        }
    }

    /// Datagrams that were sent, and answers.
    #[track_caller]
    fn assert_none_moved(&mut self) -> (u64, u64) {
        for flow in &self.flows {
            flow.answered_by();
            assert_eq!(flow.record().moves, 0, "{} moved", flow.local_address);
        }
        for connection in &mut self.connections {
            assert_eq!(connection.ask().as_deref(), Ok(connection.backend.as_str()));
        }
        let records = || self.flows.iter().map(UdpFlow::record);
        (
            records().map(|record| record.sent).sum(),
            records().map(|record| record.answered).sum(),
        )
    }
}

#[derive(Debug)]
struct Size {
    pid: u32,
    memory_kib: u64,
    descriptors: usize,
}

impl Size {
    fn of(daemon: &Daemon<'_>) -> Self {
        Self {
            pid: daemon.pid(),
            memory_kib: daemon.memory_kib(),
            descriptors: daemon.open_descriptors(),
        }
    }

    #[track_caller]
    fn assert_flat(&self, after: &Self) {
        assert_eq!(self.pid, after.pid, "nobody killed it");
        let grows = after.memory_kib > self.memory_kib + MEMORY_KIB;
        let leaks = after.descriptors > self.descriptors + DESCRIPTORS;
        assert!(!grows && !leaks, "{self:?} became {after:?}");
    }
}
