//! One endpoint more or less over a running daemon: what moves is its share, at every number of endpoints, in both
//! families, in the table of a zone, and across a restart.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use lb_tests::condition::eventually;
use lb_tests::daemon::Daemon;
use lb_tests::documents::Documents;
use lb_tests::held::{members_of, moved, moved_if};
use lb_tests::multitude::Multitude;
use lb_tests::resources::{endpoint, group, group_path, rule, service};
use lb_tests::topology::{Lab, PRIMARIES, VIP4, VIP6};
use serde_json::{Value, json};

const ZONE: &str = "lab-1-a";
const OTHER_ZONE: &str = "lab-1-b";
/// In the other zone, so that the zone's table is not the service's own.
const ELSEWHERE: u16 = 3;
const FOLLOWED: Duration = Duration::from_secs(60);
const EXTERNAL4: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 9));
const EXTERNAL6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0x67, 0, 0, 9, 0, 0));
const VIPS: [IpAddr; 4] = [IpAddr::V4(VIP4), IpAddr::V6(VIP6), EXTERNAL4, EXTERNAL6];

/// By VIP, and by zone of it (0 is the service's own).
type Tables = BTreeMap<(IpAddr, usize), Arc<[u32]>>;

struct Shop<'lab> {
    daemon: Daemon<'lab>,
    endpoints: Multitude,
}

impl<'lab> Shop<'lab> {
    /// An internal service with zonal affinity and an external one, of the same endpoints without a health check.
    fn open(lab: &'lab Lab, count: u16) -> Self {
        let endpoints = Multitude::start(lab, PRIMARIES[0], 79);
        let all = |range: std::ops::Range<u16>| -> Vec<Value> {
            range.map(|index| both(&endpoints, index)).collect()
        };
        let zonal = json!({"networkPassThroughLbTrafficPolicy":
            {"zonalAffinity": {"spillover": "ZONAL_AFFINITY_STAY_WITHIN_ZONE"}}});
        let (near, far) = (group_path(ZONE, "near"), group_path(OTHER_ZONE, "far"));
        let documents = Documents::of(vec![
            group(ZONE, "near", all(0..count)),
            group(OTHER_ZONE, "far", all(60_000..60_000 + ELSEWHERE)),
            service("inside", "INTERNAL", &[near.clone(), far], None, zonal),
            service("outside", "EXTERNAL", &[near], None, json!({})),
            rule("inside-4", "INTERNAL", VIPS[0], "inside"),
            rule("inside-6", "INTERNAL", VIPS[1], "inside"),
            rule("outside-4", "EXTERNAL", VIPS[2], "outside"),
            rule("outside-6", "EXTERNAL", VIPS[3], "outside"),
        ]);
        let zones = format!("[zones]\n{ZONE} = [\"10.66.0.0/24\", \"2001:db8:66::/64\"]\n");
        let daemon = Daemon::start_with_settings(lab, &zones, &documents);
        daemon.wait_for_delivery();
        Self { daemon, endpoints }
    }

    fn change(&self, method: &str, index: u16) {
        let path = format!("lab/zones/{ZONE}/networkEndpointGroups/near/{method}NetworkEndpoints");
        let body = json!({"networkEndpoints": [both(&self.endpoints, index)]});
        let operation = self.daemon.api("POST", &path, &body);
        assert_eq!(operation["status"], "DONE", "{operation}");
    }

    /// The tables once each holds as many endpoints as it should.
    #[track_caller]
    fn tables(&self, near: u16) -> Tables {
        eventually(FOLLOWED, || {
            let held = self.daemon.held();
            let of_vip = |vip: IpAddr| {
                held.tables(vip)
                    .into_iter()
                    .map(move |(zone, table)| ((vip, zone), table))
            };
            let tables: Tables = VIPS.into_iter().flat_map(of_vip).collect();
            let wanted = |(vip, zone): &(IpAddr, usize)| match (is_internal(*vip), *zone) {
                (true, 0) => near + ELSEWHERE,
                _ => near,
            };
            let wrong = tables
                .iter()
                .map(|(place, table)| (place, members_of(table).len(), wanted(place)))
                .find(|(_, members, wanted)| *members != usize::from(*wanted));
            match wrong {
                Some((place, members, wanted)) => {
                    Err(format!("{place:?} holds {members} endpoints, not {wanted}"))
                }
                None if tables.len() < 6 => Err(format!("only the tables {:?}", tables.keys())),
                None => Ok(tables),
            }
        })
    }
}

fn both(endpoints: &Multitude, index: u16) -> Value {
    endpoint(&[endpoints.ipv4(index).into(), endpoints.ipv6(index).into()])
}

fn is_internal(vip: IpAddr) -> bool {
    [VIPS[0], VIPS[1]].contains(&vip)
}

/// Of a change by one endpoint between `less` and `more`: what must not move, moved. Every table with its figures.
fn faults(less: &Tables, more: &Tables) -> Vec<String> {
    let mut faults = Vec::new();
    for (place, small) in less {
        let large = &more[place];
        let (few, many) = (members_of(small), members_of(large));
        let allowed = 1.5 / few.len() as f64;
        let others = moved_if(small, large, |one, other| {
            few.contains(&other) && many.contains(&one)
        });
        let all = moved(small, large);
        // Maglev moves some of the others' flows, rendezvous none.
        let allowed_others = if is_internal(place.0) { 0.0 } else { 0.012 };
        if others > allowed_others || all > allowed + allowed_others || small.len() != large.len() {
            faults.push(format!(
                "{place:?}: {} to {} slots; {:.2} % moved (1.5/n is {:.2} %), {:.2} % between others",
                small.len(),
                large.len(),
                all * 100.0,
                allowed * 100.0,
                others * 100.0
            ));
        }
    }
    faults
}

/// Every endpoint's share is its due, within chance: 4.5 standard deviations; of Maglev, a slot.
fn uneven(tables: &Tables) -> Vec<String> {
    let mut faults = Vec::new();
    for (place, table) in tables {
        let mut shares: BTreeMap<u32, u64> = BTreeMap::new();
        table
            .iter()
            .for_each(|member| *shares.entry(*member).or_default() += 1);
        let due = table.len() as f64 / shares.len() as f64;
        let allowed = match is_internal(place.0) {
            true => 4.5 * (due * (1.0 - 1.0 / shares.len() as f64)).sqrt(),
            false => 1.0,
        };
        let worst = shares
            .values()
            .map(|share| (*share as f64 - due).abs())
            .fold(0.0, f64::max);
        if worst > allowed {
            faults.push(format!(
                "{place:?}: {due:.1} slots are due, one differs by {worst:.1} (allowed {allowed:.1})"
            ));
        }
    }
    faults
}

/// At this number of endpoints one is attached, the daemon is killed and started again, and the endpoint is detached.
fn step(label: &str, count: u16) {
    let lab = Lab::flat(label);
    let mut shop = Shop::open(&lab, count);
    let before = shop.tables(count);
    shop.change("attach", count);
    let more = shop.tables(count + 1);
    let found = [faults(&before, &more), uneven(&more)].concat();
    assert!(
        found.is_empty(),
        "one endpoint more than {count}:\n{}",
        found.join("\n")
    );

    shop.daemon.kill();
    shop.daemon.start_again();
    assert!(more == shop.tables(count + 1), "a restart moves no flow");

    shop.change("detach", count);
    let found = faults(&shop.tables(count), &more);
    assert!(found.is_empty(), "back to {count}:\n{}", found.join("\n"));
    assert_eq!(shop.daemon.verify().differences, [""; 0]);
}

#[test]
fn forty_endpoints_and_one_more() {
    step("sizes-40", 40);
}

#[test]
fn a_hundred_and_sixty_three_endpoints_and_one_more() {
    step("sizes-163", 163);
}

#[test]
fn six_hundred_and_fifty_five_endpoints_and_one_more() {
    step("sizes-655", 655);
}
