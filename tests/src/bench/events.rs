//! What each event takes a running daemon, from when it happened to when the kernel's maps follow, and how long somebody
//! else waits for an answer meanwhile. Looking at the maps takes some milliseconds of that.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use serde_json::json;

use super::control::Case;
use super::progress::Progress;
use crate::answers::Answers;
use crate::daemon::Daemon;
use crate::documents::Documents;
use crate::held::Held;
use crate::multitude::Multitude;
use crate::resources::{endpoint, group, group_path, http_check, rule, service, tcp_check};
use crate::tmpfs::Tmpfs;
use crate::topology::{FAILOVER, Lab};

const ZONE: &str = "lab-1-a";
const NAME: &str = "large";
const VIP: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 7));
const TABLE_SLOTS: u32 = 32 << 20;
/// Of a service in the cold start.
const FEW: u16 = 6;
const DISK_MIB: u32 = 64;
const PATIENCE: Duration = Duration::from_secs(300);

/// How many there are of what is many.
#[derive(Clone, Copy)]
pub(super) struct Extent {
    pub(super) endpoints: u16,
    pub(super) services: u16,
    pub(super) runs: usize,
}

pub(super) fn run(extent: Extent, progress: &mut Progress) -> Vec<Case> {
    progress.say(&format!("events of a daemon with {} endpoints", extent.endpoints));
    let mut cases = one_large_service(extent);
    progress.say(&format!("a cold start of {} services", extent.services));
    cases.push(cold_start(extent));
    cases
}

struct Subject<'a, 'lab> {
    extent: Extent,
    lab: &'lab Lab,
    daemon: &'a mut Daemon<'lab>,
    endpoints: &'a Multitude,
    /// Where the state is.
    disk: &'a Tmpfs,
}

fn one_large_service(extent: Extent) -> Vec<Case> {
    let lab = Lab::two_armed("bench-events");
    let endpoints = Multitude::start(&lab, FAILOVER, 91);
    let mut daemon = prepared(&lab);
    let disk = Tmpfs::mount(&daemon.directory().join("state"), DISK_MIB);
    daemon.start_again();
    let all = (0..extent.endpoints).map(|index| endpoint(&[endpoints.ipv4(index).into()]));
    daemon.apply(&Documents::of(vec![
        http_check("check", 1),
        group(ZONE, NAME, all),
        service(
            NAME,
            "EXTERNAL",
            &[group_path(ZONE, NAME)],
            Some("check"),
            json!({}),
        ),
        rule(NAME, "EXTERNAL", VIP, NAME),
    ]));
    let mut subject = Subject {
        extent,
        lab: &lab,
        daemon: &mut daemon,
        endpoints: &endpoints,
        disk: &disk,
    };
    subject.until_in_rotation(extent.endpoints);
    let half = extent.endpoints / 2;
    vec![
        subject.flip("daemon, one endpoint's health", 1),
        subject.flip("daemon, the health of half", half),
        subject.endpoint("daemon, attach one endpoint", "attach"),
        subject.endpoint("daemon, detach one endpoint", "detach"),
        subject.next_hops(),
        subject.overrun(),
        subject.full_disk(half),
        subject.store_commit(),
        subject.table_slots(),
        subject.address(),
        subject.interface(),
        subject.adoption(),
    ]
}

fn prepared(lab: &Lab) -> Daemon<'_> {
    let mut daemon = Daemon::new(lab);
    daemon.table_slots = TABLE_SLOTS;
    daemon.give("--settings", "lb.toml", "probe-destination = \"own-address\"\n");
    daemon
}

impl Subject<'_, '_> {
    fn case(&self, name: &str, times: &[Duration], worst_answer: Option<Duration>) -> Case {
        Case::of_event(name, (1, self.extent.endpoints.into()), times, worst_answer)
    }

    /// As often as the extent says, while somebody else asks for the status.
    fn each(&mut self, name: &str, mut event: impl FnMut(&mut Self, usize) -> Duration) -> Case {
        let answers = Answers::watch(self.daemon.socket());
        let times: Vec<Duration> = (0..self.extent.runs).map(|run| event(self, run)).collect();
        let worst = answers.worst();
        drop(answers);
        self.case(name, &times, Some(worst))
    }

    fn until_in_rotation(&self, count: u16) {
        until(self.daemon, |held| {
            held.in_rotation(VIP).len() == usize::from(count) && held.healthy(VIP).len() == usize::from(count)
        });
    }

    /// From the last result that told of the change.
    fn flip(&mut self, name: &str, count: u16) -> Case {
        self.each(name, |subject, run| {
            let (endpoints, all) = (subject.endpoints, subject.extent.endpoints);
            let fails = run % 2 == 0;
            let sick: BTreeSet<IpAddr> = (0..count).map(|index| endpoints.ipv4(index * 2).into()).collect();
            endpoints.fail(if fails { sick } else { BTreeSet::new() });
            subject.until_in_rotation(if fails { all - count } else { all });
            endpoints.sick().last_result().elapsed()
        })
    }

    fn endpoint(&mut self, name: &str, method: &str) -> Case {
        let other = if method == "attach" { "detach" } else { "attach" };
        self.each(name, |subject, _| {
            if other == "attach" {
                subject.change_endpoint(other);
            }
            let start = Instant::now();
            subject.change_endpoint(method);
            let all = subject.extent.endpoints + u16::from(method == "attach");
            until(subject.daemon, |held| attached(held) == usize::from(all));
            let time = start.elapsed();
            if other == "detach" {
                subject.change_endpoint(other);
            }
            time
        })
    }

    fn change_endpoint(&self, method: &str) {
        let path = format!("lab/zones/{ZONE}/networkEndpointGroups/{NAME}/{method}NetworkEndpoints");
        let one = endpoint(&[self.endpoints.ipv4(self.extent.endpoints).into()]);
        let operation = self
            .daemon
            .api("POST", &path, &json!({"networkEndpoints": [one]}));
        assert_eq!(operation["status"], "DONE", "{operation}");
    }

    /// The router that they all are behind has another MAC address.
    fn next_hops(&mut self) -> Case {
        self.each("daemon, all next hops move", |subject, run| {
            let (mac, line) = subject.move_router(run as u8);
            let start = Instant::now();
            subject.lab.lb().ip(&[line]);
            subject.until_sent_to(mac);
            start.elapsed()
        })
    }

    /// The news of that is lost, among others. From when the daemon can hear again.
    fn overrun(&mut self) -> Case {
        let mut worst = Duration::ZERO;
        let times: Vec<Duration> = (0..self.extent.runs)
            .map(|run| {
                let (mac, line) = self.move_router(0x80 | run as u8);
                self.daemon.overrun_netlink(&[line]);
                let start = Instant::now();
                let answers = Answers::watch(self.daemon.socket());
                self.until_sent_to(mac);
                let time = start.elapsed();
                worst = worst.max(answers.worst());
                time
            })
            .collect();
        self.case("daemon, a netlink overrun", &times, Some(worst))
    }

    /// The router's new address, and what tells the balancer of it.
    fn move_router(&self, last: u8) -> ([u8; 6], String) {
        let router = self.lab.host(FAILOVER);
        let mac = [2, 0, 0, 0, 9, last];
        let shown = mac.map(|byte| format!("{byte:02x}")).join(":");
        let devices = router
            .namespace
            .ip_output(&["-br", "link", "show", "type", "veth"]);
        let device = devices.split(['@', ' ']).next().expect("a name");
        router
            .namespace
            .ip(&[format!("link set {device} address {shown}")]);
        let line = format!(
            "neigh replace {} lladdr {shown} dev eth1 nud reachable",
            router.ipv4
        );
        (mac, line)
    }

    fn until_sent_to(&self, mac: [u8; 6]) {
        until(self.daemon, |held| {
            let members = held.service(VIP).members.values();
            let backends = members.map(|member| held.0.backends.get(&member.backend()));
            backends.flatten().all(|backend| backend.ethernet[..6] == mac)
        });
    }

    fn full_disk(&mut self, count: u16) -> Case {
        self.disk.fill();
        let case = self.flip("daemon, the health of half while the disk is full", count);
        self.disk.make_room();
        case
    }

    /// Of a change that packets don't see.
    fn store_commit(&mut self) -> Case {
        self.each("daemon, a commit of the store", |subject, run| {
            let start = Instant::now();
            let path = format!("lab/regions/lab-1/backendServices/{NAME}");
            let operation = subject
                .daemon
                .api("PATCH", &path, &json!({"description": run.to_string()}));
            assert_eq!(operation["status"], "DONE", "{operation}");
            start.elapsed()
        })
    }

    fn table_slots(&mut self) -> Case {
        self.each("daemon, set-table-slots", |subject, run| {
            let slots: u32 = if run % 2 == 0 { 16_384 } else { 65_536 };
            let start = Instant::now();
            let place = ["--region", "lab-1", "--project", "lab"];
            let verb = ["backend-services", "set-table-slots", NAME, &slots.to_string()];
            subject.daemon.ctl(&[&verb[..], &place[..]].concat());
            until(subject.daemon, |held| {
                held.own_table(VIP).len().abs_diff(slots as usize) < 8
            });
            start.elapsed()
        })
    }

    /// The prefix of the VIP comes: it is answered for.
    fn address(&mut self) -> Case {
        self.each("daemon, a new address", |subject, run| {
            let start = Instant::now();
            let verb = if run % 2 == 0 { "add" } else { "delete" };
            subject
                .lab
                .lb()
                .ip(&[format!("address {verb} 203.0.113.1/24 dev eth0")]);
            let wanted = run % 2 == 0;
            while is_answered_for(subject.daemon) != wanted {
                assert!(start.elapsed() < PATIENCE, "{:?}", subject.daemon.status().vips);
            }
            start.elapsed()
        })
    }

    /// From when it is back to when it is balanced.
    fn interface(&mut self) -> Case {
        self.each("daemon, an interface gone and back", |subject, _| {
            let before = subject.daemon.link_pins();
            subject.lab.unplug(0);
            subject.lab.plug_again(0);
            let start = Instant::now();
            while subject
                .daemon
                .link_pins()
                .keys()
                .all(|index| before.contains_key(index))
            {
                assert!(
                    start.elapsed() < PATIENCE,
                    "{:?}",
                    subject.daemon.status().troubles
                );
            }
            start.elapsed()
        })
    }

    /// From a start after a kill to the first answer.
    fn adoption(&mut self) -> Case {
        let mut times = Vec::new();
        for _ in 0..self.extent.runs {
            self.daemon.kill();
            let start = Instant::now();
            self.daemon.start_again();
            times.push(start.elapsed());
        }
        self.case("daemon, adoption", &times, None)
    }
}

fn until(daemon: &Daemon<'_>, is_so: impl Fn(&Held) -> bool) {
    let start = Instant::now();
    while !is_so(&daemon.held()) {
        assert!(start.elapsed() < PATIENCE, "{}", daemon.log());
    }
}

/// Members that are not on their way out.
fn attached(held: &Held) -> usize {
    let members = held.service(VIP).members.values();
    members.filter(|member| member.serves_entries(u32::MAX)).count()
}

fn is_answered_for(daemon: &Daemon<'_>) -> bool {
    let vips = daemon.status().vips;
    vips.iter()
        .any(|vip| vip.address == VIP && vip.answering.starts_with("answered for"))
}

/// From the start of the process to when every endpoint that was found healthy is in the maps.
fn cold_start(extent: Extent) -> Case {
    let lab = Lab::two_armed("bench-cold");
    let endpoints = Multitude::start(&lab, FAILOVER, 92);
    let services = endpoints.small_services(ZONE, extent.services, FEW, "check");
    let all = Documents::of(std::iter::once(tcp_check("check", 5)).chain(services).collect());
    let mut daemon = prepared(&lab);
    daemon.give("--config", "config.json", &all.json());
    let start = Instant::now();
    daemon.start_again();
    until(&daemon, |held| {
        let healthy = held
            .0
            .services
            .values()
            .flat_map(|service| service.members.values());
        healthy.filter(|member| member.healthy()).count() == usize::from(extent.services) * usize::from(FEW)
    });
    let shape = (extent.services.into(), FEW.into());
    Case::of_event("daemon, a cold start", shape, &[start.elapsed()], None)
}
