//! What the kernel does is followed, in namespaces; `state` has the same for links and addresses.

mod state;

use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use super::neighbours::should_ask;
use super::*;
use crate::net::neighbours::{Neighbour, NeighbourKey, Neighbours};
use crate::net::testing::{HERE_MAC, PATIENCE, Pair, THERE_MAC};
use crate::net::{Links, MacAddr, NextHop};

const THERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));
const THERE_6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2));
const SILENT: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 99));
const REMOTE: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 7));
const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

struct Watching {
    watcher: NetWatcher,
    receiver: watch::Receiver<Arc<NextHops>>,
}

impl Watching {
    fn new(addresses: &[IpAddr]) -> Self {
        let watcher = NetWatcher::new().unwrap();
        let receiver = watcher.next_hops();
        watcher.watch(addresses.iter().copied().collect());
        Self { watcher, receiver }
    }

    /// Waits until the next hop of `address` is as wanted.
    async fn until(&self, address: IpAddr, wanted: impl Fn(&NextHop) -> bool) -> NextHop {
        let mut receiver = self.receiver.clone();
        let matching = receiver.wait_for(|next_hops| next_hops.get(&address).is_some_and(&wanted));
        match tokio::time::timeout(PATIENCE, matching).await {
            Ok(next_hops) => next_hops.expect("the watcher lives")[&address].clone(),
            Err(_) => panic!("{address} never came to it: {:?}", self.receiver.borrow()),
        }
    }

    async fn until_mac(&self, address: IpAddr, mac: MacAddr) -> NextHop {
        self.until(
            address,
            |hop| matches!(hop, NextHop::Resolved { destination_mac, .. } if *destination_mac == mac),
        )
        .await
    }

    async fn until_reason(&self, address: IpAddr, text: &str) {
        self.until(
            address,
            |hop| matches!(hop, NextHop::Unresolved { reason } if reason.contains(text)),
        )
        .await;
    }
}

async fn cable() -> u32 {
    Links::new().unwrap().by_name("cable").await.unwrap().index
}

#[test]
fn neighbours_on_link_are_resolved_and_followed() {
    let Some(pair) = Pair::new("follow") else { return };
    pair.here.run(async || {
        let watching = Watching::new(&[THERE, THERE_6]);
        let ifindex = cable().await;
        for (address, source) in [(THERE, HERE), (THERE_6, "2001:db8::1".parse().unwrap())] {
            assert_eq!(
                watching.until_mac(address, THERE_MAC).await,
                NextHop::Resolved {
                    ifindex,
                    source_mac: HERE_MAC,
                    destination_mac: THERE_MAC,
                    on_link: true,
                    mtu: 1500,
                    source_address: Some(source),
                }
            );
        }
        // The peer changes its address, and says so only when it is asked: the kernel has to ask by itself.
        pair.there.ip("link set cable address 02:00:00:00:00:22");
        pair.here.ip("neigh del 192.0.2.2 dev cable");
        watching.until_mac(THERE, [2, 0, 0, 0, 0, 0x22]).await;

        pair.here.ip("link set cable mtu 1400");
        watching
            .until(THERE, |hop| matches!(hop, NextHop::Resolved { mtu: 1400, .. }))
            .await;
        pair.here.ip("link set cable address 02:00:00:00:00:11");
        let moved = [2, 0, 0, 0, 0, 0x11];
        watching
            .until(
                THERE,
                |hop| matches!(hop, NextHop::Resolved { source_mac, .. } if *source_mac == moved),
            )
            .await;
        pair.here.ip("link set cable down");
        watching.until_reason(THERE, "no route").await;
        pair.here.ip("link set cable up");
        watching.until_mac(THERE, [2, 0, 0, 0, 0, 0x22]).await;
        pair.there.ip("link set cable down");
        watching
            .until_reason(THERE, "interface cable has no carrier")
            .await;
    });
}

#[test]
fn routes_are_followed() {
    let Some(pair) = Pair::new("routes") else { return };
    pair.here.run(async || {
        let [here_6, remote_6]: [IpAddr; 2] =
            ["2001:db8::1", "2001:db8:1::7"].map(|text| text.parse().unwrap());
        let watching = Watching::new(&[REMOTE, HERE, here_6, remote_6]);
        watching
            .until_reason(here_6, "2001:db8::1 is a local address of this host")
            .await;
        watching
            .until_reason(remote_6, "there is no route to 2001:db8:1::7")
            .await;
        watching
            .until_reason(REMOTE, "there is no route to 198.51.100.7")
            .await;
        watching
            .until_reason(HERE, "192.0.2.1 is a local address of this host")
            .await;

        pair.here.ip("route add 198.51.100.0/24 via 192.0.2.2 mtu 1300");
        let hop = watching.until_mac(REMOTE, THERE_MAC).await;
        assert_eq!(
            hop,
            NextHop::Resolved {
                ifindex: cable().await,
                source_mac: HERE_MAC,
                destination_mac: THERE_MAC,
                on_link: false,
                mtu: 1300,
                source_address: Some(HERE),
            }
        );
        pair.here.ip("route add 198.51.100.7 via inet6 2001:db8::2");
        watching
            .until(REMOTE, |hop| {
                matches!(
                    hop,
                    NextHop::Resolved {
                        mtu: 1500,
                        on_link: false,
                        ..
                    }
                )
            })
            .await;
        pair.here
            .ip("route add blackhole 198.51.100.7/32 metric 0 table 77");
        pair.here.ip("rule add to 198.51.100.7 table 77");
        watching.until_reason(REMOTE, "black hole").await;
        pair.here.ip("rule del to 198.51.100.7 table 77");
        watching.until_mac(REMOTE, THERE_MAC).await;
        pair.here.ip("route del 198.51.100.7");
        pair.here.ip("route del 198.51.100.0/24");
        watching
            .until_reason(REMOTE, "there is no route to 198.51.100.7")
            .await;
    });
}

#[test]
fn an_endpoint_behind_a_bridge_leaves_by_the_bridge() {
    let Some(pair) = Pair::new("bridge") else { return };
    pair.here.ip("link add br0 address 02:00:00:00:00:0b type bridge");
    pair.here.ip("link set cable master br0");
    pair.here.ip("addr flush dev cable");
    pair.here.ip("addr add 192.0.2.1/24 dev br0");
    pair.here.ip("link set br0 up");
    pair.here.run(async || {
        let watching = Watching::new(&[THERE]);
        let bridge = Links::new().unwrap().by_name("br0").await.unwrap();
        assert_eq!(
            watching.until_mac(THERE, THERE_MAC).await,
            NextHop::Resolved {
                ifindex: bridge.index,
                source_mac: [2, 0, 0, 0, 0, 0x0b],
                destination_mac: THERE_MAC,
                on_link: true,
                mtu: 1500,
                source_address: Some(HERE),
            }
        );
    });
}

#[test]
fn who_is_asked_for_and_how_often() {
    let plain = Neighbour {
        mac: None,
        failed: false,
        managed: false,
        fixed: false,
    };
    let managed = Neighbour {
        managed: true,
        ..plain
    };
    let fixed = Neighbour { fixed: true, ..plain };
    let second = |seconds: u64| Some(Duration::from_secs(seconds));
    for (neighbour, since, expected) in [
        (None, None, true),
        (None, Some(Duration::from_millis(999)), false),
        (None, second(1), true),
        (Some(plain), None, true),
        (Some(plain), second(4), false),
        (Some(plain), second(5), true),
        (Some(managed), None, false),
        (Some(managed), second(100), false),
        (Some(fixed), None, false),
        (Some(fixed), second(100), false),
    ] {
        assert_eq!(
            should_ask(neighbour.as_ref(), since),
            expected,
            "{neighbour:?} {since:?}"
        );
    }
}

#[test]
fn a_silent_neighbour_is_unresolved_until_it_speaks() {
    let Some(pair) = Pair::new("silent") else { return };
    pair.here.run(async || {
        let watching = Watching::new(&[SILENT]);
        watching
            .until_reason(SILENT, "neighbour 192.0.2.99 on cable does not answer")
            .await;
        pair.there.ip("addr add 192.0.2.99/24 dev cable");
        watching.until_mac(SILENT, THERE_MAC).await;
    });
}

#[test]
fn the_kernel_manages_what_is_watched_and_only_that() {
    let Some(pair) = Pair::new("managed") else { return };
    pair.here
        .ip("neigh add 192.0.2.50 lladdr 02:00:00:00:00:50 dev cable nud permanent");
    let permanent: IpAddr = "192.0.2.50".parse().unwrap();
    pair.here.run(async || {
        let watching = Watching::new(&[THERE, permanent]);
        watching.until_mac(THERE, THERE_MAC).await;
        watching.until_mac(permanent, [2, 0, 0, 0, 0, 0x50]).await;
        let key = (cable().await, THERE);
        until_known(key, |neighbour| neighbour.managed).await;
        until_known((key.0, permanent), |neighbour| {
            neighbour.fixed && !neighbour.managed
        })
        .await;

        // What somebody changes is followed by the notification alone, and managed again after a while.
        pair.here
            .ip("neigh replace 192.0.2.2 lladdr 02:00:00:00:00:33 dev cable nud reachable");
        watching.until_mac(THERE, [2, 0, 0, 0, 0, 0x33]).await;
        until_known(key, |neighbour| neighbour.managed).await;

        watching.watcher.watch(BTreeSet::new());
        until_known(key, |neighbour| !neighbour.managed).await;
        until_known((key.0, permanent), |neighbour| neighbour.fixed).await;
        let mut receiver = watching.receiver.clone();
        let empty = receiver.wait_for(|next_hops| next_hops.is_empty());
        tokio::time::timeout(PATIENCE, empty)
            .await
            .expect("in time")
            .expect("the watcher lives");
    });
}

/// Waits until the kernel itself says so.
async fn until_known(key: NeighbourKey, wanted: impl Fn(&Neighbour) -> bool) {
    let netlink = Netlink::open().unwrap();
    let mut neighbours = Neighbours::default();
    neighbours.want(BTreeSet::from([key]));
    let look = async {
        loop {
            neighbours.replace(&netlink.neighbours().await.unwrap());
            if neighbours.get(&key).is_some_and(&wanted) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, look)
        .await
        .expect("the kernel came to it");
}

/// The socket has overflowed, and the worker has noticed.
async fn until_it_lost_something(worker: &mut Worker) {
    let overflow = async {
        while worker.following.losses == 0 {
            let event = next_event(&mut worker.sockets).await;
            assert!(event.is_some(), "the socket lives");
            worker.on_event(event);
        }
    };
    tokio::time::timeout(PATIENCE, overflow)
        .await
        .expect("the socket overflowed");
}

#[test]
fn lost_notifications_cost_nothing_but_a_second_look() {
    let Some(pair) = Pair::new("lost") else { return };
    pair.here.run(async || {
        let (addresses, wanted) = watch::channel(BTreeSet::from([REMOTE]));
        let (mut worker, (state, next_hops)) = Worker::new(wanted).unwrap();
        worker.round().await;
        assert!(matches!(next_hops.borrow()[&REMOTE], NextHop::Unresolved { .. }));

        // Nobody reads the socket meanwhile, so it overflows, and what comes last is certainly lost.
        let noise: String = (0..20_000u32)
            .map(|n| format!("route add {}/32 dev cable\n", Ipv4Addr::from(0x0a00_0000 + n)))
            .collect();
        pair.here.ip_batch(&noise);
        pair.here.ip("route add 198.51.100.0/24 via 192.0.2.2");

        until_it_lost_something(&mut worker).await;
        worker.round().await;
        let hop = next_hops.borrow()[&REMOTE].clone();
        match hop {
            NextHop::Resolved { .. } => {}
            NextHop::Unresolved { reason } => assert!(reason.contains("waiting for neighbour"), "{reason}"),
            unusable @ NextHop::Unusable { .. } => panic!("{unusable:?}"),
        }
        let following = state.borrow().following.clone();
        assert!(
            following.losses > 0 && following.trouble.is_none(),
            "{following:?}"
        );
        drop(addresses);
    });
}
