//! Links and addresses.

use std::net::IpAddr;

use super::*;
use crate::net::{Address, Link};

struct Following {
    _watcher: NetWatcher,
    receiver: watch::Receiver<Arc<NetworkState>>,
}

impl Following {
    fn new() -> Self {
        let watcher = NetWatcher::new().unwrap();
        Self {
            receiver: watcher.state(),
            _watcher: watcher,
        }
    }

    async fn until(&self, what: &str, wanted: impl Fn(&NetworkState) -> bool) -> Arc<NetworkState> {
        let mut receiver = self.receiver.clone();
        let matching = receiver.wait_for(|state| wanted(state));
        match tokio::time::timeout(PATIENCE, matching).await {
            Ok(state) => state.expect("the watcher lives").clone(),
            Err(_) => panic!("never {what}: {:?}", self.receiver.borrow()),
        }
    }

    async fn until_link(&self, what: &str, name: &str, wanted: impl Fn(&Link) -> bool) {
        self.until(what, |state| state.link_named(name).is_some_and(&wanted))
            .await;
    }
}

fn connected_to(state: &NetworkState, address: &str) -> Option<String> {
    let link = state.connected_interface(address.parse().unwrap());
    link.map(|link| link.name.clone())
}

#[test]
fn nothing_is_said_before_links_and_addresses_were_read() {
    let Some(pair) = Pair::new("first") else { return };
    pair.here.run(async || {
        let (_addresses, wanted) = watch::channel(BTreeSet::new());
        let (mut worker, (state, _)) = Worker::new(wanted).unwrap();
        assert!(!state.borrow().following.is_read && state.borrow().links.is_empty());
        worker.round().await;
        let state = state.borrow().clone();
        assert!(state.following.is_read && state.link_named("cable").is_some());
        assert_eq!(connected_to(&state, "192.0.2.77"), Some("cable".to_owned()));
        assert!(state.own_addresses().contains(&HERE) && state.own_macs().contains(&HERE_MAC));
    });
}

#[test]
fn links_and_addresses_are_followed() {
    let Some(pair) = Pair::new("state") else { return };
    pair.here.run(async || {
        let following = Following::new();
        let state = following.until("read", |state| state.following.is_read).await;
        let [vip, broadcast]: [IpAddr; 2] =
            ["203.0.113.9", "203.0.113.255"].map(|text| text.parse().unwrap());
        assert_eq!(state.connected_interface(vip), None);

        pair.here
            .ip("addr add 203.0.113.1/24 broadcast 203.0.113.255 dev cable");
        let state = following
            .until("connected", |state| state.connected_interface(vip).is_some())
            .await;
        let added = Address {
            ifindex: cable().await,
            own: "203.0.113.1".parse().unwrap(),
            prefix: Some("203.0.113.0/24".parse().unwrap()),
            broadcast: Some("203.0.113.255".parse().unwrap()),
        };
        let IpAddr::V4(broadcast) = broadcast else {
            unreachable!()
        };
        assert_eq!(
            state.addresses.broadcast_of(broadcast).collect::<Vec<_>>(),
            [&added]
        );
        pair.here.ip("addr del 203.0.113.1/24 dev cable");
        following
            .until("disconnected", |state| state.connected_interface(vip).is_none())
            .await;

        pair.here.ip("link set cable address 02:00:00:00:00:11");
        let moved = Some([2, 0, 0, 0, 0, 0x11]);
        following
            .until_link("at its new MAC", "cable", |link| link.mac == moved)
            .await;
        pair.here.ip("link set cable mtu 1400");
        following
            .until_link("narrower", "cable", |link| link.mtu == 1400)
            .await;
        pair.there.ip("link set cable down");
        following
            .until_link("without carrier", "cable", |link| link.up && !link.carrier)
            .await;
        pair.here.ip("link set cable down");
        pair.here.ip("link set cable name wire");
        following
            .until_link("renamed and down", "wire", |link| !link.up)
            .await;
        pair.here.ip("link del wire");
        let gone = |state: &NetworkState| {
            state.link_named("wire").is_none() && !state.own_addresses().contains(&HERE)
        };
        following.until("gone", gone).await;
    });
}

#[test]
fn interfaces_that_are_made_again_are_followed_by_their_new_numbers() {
    let Some(pair) = Pair::new("again") else { return };
    pair.here.run(async || {
        let following = Following::new();
        let mut last = 0;
        for _ in 0..50 {
            let make =
                "link add e0 type veth peer name e1\nlink set e0 up\naddr add 198.51.100.1/24 dev e0\n";
            pair.here.ip_batch(make);
            let vip: IpAddr = "198.51.100.9".parse().unwrap();
            let is_new = |state: &NetworkState| {
                let link = state.connected_interface(vip);
                link.is_some_and(|link| link.name == "e0" && link.index > last && link.up)
            };
            let state = following.until("made again", is_new).await;
            last = state.link_named("e0").expect("it is there").index;
            pair.here.ip("link del e0");
        }
        let gone = |state: &NetworkState| state.link_named("e0").is_none();
        following.until("gone", gone).await;
    });
}

#[test]
fn a_flood_of_link_events_leaves_the_state_right() {
    let Some(pair) = Pair::new("flood") else { return };
    pair.here.run(async || {
        let (_addresses, wanted) = watch::channel(BTreeSet::new());
        let (mut worker, (state, _)) = Worker::new(wanted).unwrap();
        worker.round().await;
        let noise: String = (0..10_000u32)
            .map(|n| format!("link set cable mtu {}\n", 1_300 + n % 100))
            .collect();
        pair.here.ip_batch(&noise);
        pair.here.ip("link set cable mtu 1234");
        until_it_lost_something(&mut worker).await;
        worker.round().await;
        assert_eq!(state.borrow().link_named("cable").unwrap().mtu, 1234);
    });
}

#[test]
fn a_socket_that_is_lost_is_opened_again() {
    let Some(pair) = Pair::new("reopen") else { return };
    pair.here.run(async || {
        let (addresses, wanted) = watch::channel(BTreeSet::from([THERE]));
        let (mut worker, (state, _)) = Worker::new(wanted).unwrap();
        worker.round().await;
        worker.on_event(None);
        let told = state.borrow().following.clone();
        let warning = told.warning().expect("a warning");
        assert!(warning.contains("the netlink socket was closed"), "{warning}");
        assert!(
            state.borrow().link_named("cable").is_some(),
            "what was known is kept"
        );

        pair.here.ip("link set cable mtu 1400");
        let running = tokio::spawn(worker.run());
        let mut receiver = state.clone();
        let right = receiver.wait_for(|state| {
            let narrower = state.link_named("cable").is_some_and(|link| link.mtu == 1400);
            narrower && state.following.warning().is_none()
        });
        let right = tokio::time::timeout(PATIENCE, right).await;
        drop(right.expect("in time").expect("the watcher lives"));

        pair.here.ip("link set cable mtu 1300");
        let mut receiver = state.clone();
        let followed =
            receiver.wait_for(|state| state.link_named("cable").is_some_and(|link| link.mtu == 1300));
        let followed = tokio::time::timeout(PATIENCE, followed).await;
        drop(followed.expect("in time").expect("the watcher lives"));
        drop(addresses);
        running.await.unwrap();
    });
}

#[test]
fn what_keeps_failing_is_told_since_when() {
    let Some(pair) = Pair::new("failing") else { return };
    pair.here.run(async || {
        let (_addresses, wanted) = watch::channel(BTreeSet::new());
        let (mut worker, (state, _)) = Worker::new(wanted).unwrap();
        worker.failed("can't list the interfaces: first".to_owned());
        let first = state.borrow().following.clone();
        assert!(!first.is_read);
        worker.failed("can't list the interfaces: second".to_owned());
        let second = state.borrow().following.trouble.clone().unwrap();
        assert_eq!(second.since, first.trouble.unwrap().since);
        assert!(second.reason.ends_with("second"));
        worker.round().await;
        assert_eq!(state.borrow().following.trouble, None);
    });
}

#[test]
fn parts_that_did_not_change_are_shared() {
    let Some(pair) = Pair::new("shared") else { return };
    pair.here.run(async || {
        let (_addresses, wanted) = watch::channel(BTreeSet::new());
        let (mut worker, (state, _)) = Worker::new(wanted).unwrap();
        worker.round().await;
        let before = state.borrow().clone();
        worker.look.stale.everything();
        worker.round().await;
        assert!(Arc::ptr_eq(&before, &state.borrow()), "nothing was told");
        pair.here.ip("link set cable mtu 1400");
        worker.look.stale.everything();
        worker.round().await;
        let after = state.borrow().clone();
        assert!(!Arc::ptr_eq(&before.links, &after.links));
        assert!(Arc::ptr_eq(&before.addresses, &after.addresses));
        assert!(Arc::ptr_eq(&before.next_hops, &after.next_hops));
    });
}

#[test]
fn the_port_towards_a_bridges_neighbour_is_known_and_followed() {
    let Some(pair) = Pair::new("ports") else { return };
    pair.here.ip_batch(
        "link add br0 address 02:00:00:00:00:01 type bridge\n\
         address flush dev cable\n\
         link set cable address 02:00:00:00:00:33 master br0\n\
         address add 192.0.2.1/24 dev br0\n\
         link set br0 up\n",
    );
    pair.here.run(async || {
        let following = Following::new();
        following._watcher.watch(BTreeSet::from([THERE]));
        let port = |state: &NetworkState| {
            let bridge = state.link_named("br0")?.index;
            let port = state.ports.get(&(bridge, THERE_MAC))?;
            Some(state.links.get(&port.index)?.name.clone())
        };
        following
            .until("behind the cable", |state| {
                port(state).as_deref() == Some("cable")
            })
            .await;
        pair.here.ip("link set cable nomaster");
        following
            .until("forgotten with its port", |state| port(state).is_none())
            .await;
    });
}

#[test]
fn a_way_without_ethernet_is_told_from_one_that_is_not_resolved() {
    let Some(pair) = Pair::new("tun") else { return };
    pair.here
        .ip_batch("tuntap add tun0 mode tun\nlink set tun0 up\nroute add 198.51.100.0/24 dev tun0\n");
    pair.here.run(async || {
        let watching = Watching::new(&[REMOTE]);
        watching
            .until(
                REMOTE,
                |hop| matches!(hop, NextHop::Unusable { device, .. } if device == "tun0"),
            )
            .await;
    });
}
