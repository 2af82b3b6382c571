//! Two hosts and a cable: what another host's kernel makes of the answers.

use std::io;
use std::net::UdpSocket;

use netlink_packet_route::address::{AddressAttribute, AddressHeaderFlags};
use tokio::sync::oneshot;

use super::schedule::ANNOUNCEMENTS;
use super::*;
use crate::net::Links;
use crate::net::neighbours::Neighbours;
use crate::net::netlink::{Netlink, requests_made};
use crate::net::testing::{PATIENCE, Pair};
use crate::plan::announce::{AnnounceInputs, Announcements};

async fn cable() -> u32 {
    Links::new().unwrap().by_name("cable").await.unwrap().index
}

/// To answer for `ranges` on an interface that never changes.
fn desired(ifindex: u32, ranges: BTreeSet<VipRange>) -> Desired {
    let serving = Serving {
        link: LinkState {
            mac: Some(HERE_MAC),
            running: true,
            carrier_changes: 0,
        },
        ranges,
    };
    Desired {
        interfaces: BTreeMap::from([(ifindex, serving)]),
        own_macs: Arc::new(BTreeSet::from([HERE_MAC])),
        repeat: None,
    }
}

/// To answer for `ranges` on the cable as it is now.
async fn desired_now(ranges: BTreeSet<VipRange>) -> Desired {
    let state = Links::new().unwrap().state().await.unwrap();
    let link = state.link_named("cable").unwrap();
    let mut desired = desired(link.index, ranges);
    desired.own_macs = Arc::new(state.own_macs());
    for serving in desired.interfaces.values_mut() {
        serving.link = LinkState::from(link);
    }
    desired
}

fn hosts<const N: usize>(addresses: [Ipv4Addr; N]) -> BTreeSet<VipRange> {
    BTreeSet::from(addresses.map(|address| VipRange::host(address.into())))
}

/// Runs `here` and `there` at once, each in its namespace, until `there` has ended.
fn both<F: Future<Output = ()>>(
    pair: &Pair,
    here: impl FnOnce() -> F + Send,
    there: impl AsyncFnOnce() + Send,
) {
    let (done, ended) = oneshot::channel::<()>();
    let (ready, started) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        let answering = scope.spawn(|| {
            pair.here.run(async || {
                let working = here();
                ready.send(()).unwrap();
                tokio::select! {
                    () = working => {}
                    _ = ended => {}
                }
            });
        });
        started.recv().expect("the other side started");
        pair.there.run(async || {
            there().await;
            drop(done);
        });
        answering.join().unwrap();
    });
}

/// Answers for `ranges` until the other side has ended.
async fn keep_answering(ranges: BTreeSet<VipRange>) {
    let mut announcer = Announcer::new();
    let errors = announcer.set(&desired_now(ranges).await);
    assert!(errors.is_empty(), "{errors:?}");
    std::future::pending().await
}

/// Waits until this side's kernel knows `address` by this MAC. With `asking`, it is made to ask all the while.
async fn until_neighbour(address: IpAddr, mac: MacAddr, asking: bool) {
    let netlink = Netlink::open().unwrap();
    let key = (cable().await, address);
    let mut neighbours = Neighbours::default();
    neighbours.want(BTreeSet::from([key]));
    let look = async {
        loop {
            if asking {
                provoke(address).unwrap();
            }
            neighbours.replace(&netlink.neighbours().await.unwrap());
            if neighbours
                .get(&key)
                .is_some_and(|neighbour| neighbour.mac == Some(mac))
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, look)
        .await
        .unwrap_or_else(|_| panic!("{address} is never at {mac:02x?}"));
}

/// Sees all ARP, and asks by itself.
struct Asker(PacketSocket);

impl Asker {
    async fn new() -> Self {
        const RETURN_ALL: libc::sock_filter = libc::sock_filter {
            code: 6,
            jt: 0,
            jf: 0,
            k: u32::MAX,
        };
        Self(PacketSocket::open(cable().await, libc::ETH_P_ARP, &[RETURN_ALL]).unwrap())
    }

    async fn receive(&self) -> ArpEthIpv4Packet {
        let mut frame = [0; 1514];
        let length = self.0.receive(&mut frame).await.unwrap();
        parse_arp(&frame[..length]).2
    }

    /// Waits until all the announcements of `address` were seen, in both forms.
    async fn until_announced(&self, address: Ipv4Addr) {
        self.until_said(address, HERE_MAC, 2 * ANNOUNCEMENTS).await;
    }

    /// Waits until that MAC announced `address` so many times, counted in both forms.
    async fn until_said(&self, address: Ipv4Addr, mac: MacAddr, mut left: u32) {
        let announced = async {
            while left > 0 {
                let packet = self.receive().await;
                let is_announcement = packet.sender_ipv4 == packet.target_ipv4 && packet.sender_mac == mac;
                left -= u32::from(is_announcement && packet.sender_ipv4_addr() == address);
            }
        };
        tokio::time::timeout(PATIENCE, announced)
            .await
            .expect("announced in time");
    }

    /// Asks for all of them in this order, and gives the one that is answered first.
    async fn first_answered(&self, targets: &[Ipv4Addr]) -> Ipv4Addr {
        for target in targets {
            self.0.send(&arp_request(ASKER, *target)).unwrap();
        }
        let first = async {
            loop {
                let packet = self.receive().await;
                let is_announcement = packet.sender_ipv4 == packet.target_ipv4;
                if packet.operation == ArpOperation::REPLY && !is_announcement {
                    return packet.sender_ipv4_addr();
                }
            }
        };
        tokio::time::timeout(PATIENCE, first).await.expect("an answer")
    }
}

/// Sends a packet, for which the kernel needs the neighbour.
fn provoke(address: IpAddr) -> io::Result<()> {
    let any: IpAddr = if address.is_ipv4() {
        Ipv4Addr::UNSPECIFIED.into()
    } else {
        Ipv6Addr::UNSPECIFIED.into()
    };
    let sent = UdpSocket::bind((any, 0))?.send_to(b"?", (address, 9));
    match sent {
        // The kernel gave the neighbour up meanwhile.
        Err(error) if error.kind() == ErrorKind::HostUnreachable => Ok(()),
        result => result.map(drop),
    }
}

#[test]
fn another_host_finds_the_addresses() {
    let Some(pair) = Pair::new("answer") else { return };
    both(
        &pair,
        || keep_answering(ranges()),
        async || {
            for address in [VIP.into(), VIP_6.into(), VIP_6_MEMBER.into()] {
                until_neighbour(address, HERE_MAC, true).await;
            }
        },
    );
}

#[test]
fn an_interface_that_was_down_is_served_again() {
    let Some(pair) = Pair::new("flap") else { return };
    let (listening, is_listening) = oneshot::channel::<()>();
    let (announced, all_announced) = oneshot::channel::<()>();
    let (flapped, has_flapped) = oneshot::channel::<()>();
    let here = || async {
        let mut announcer = Announcer::new();
        is_listening.await.unwrap();
        assert!(announcer.set(&desired_now(ranges()).await).is_empty());
        all_announced.await.unwrap();
        pair.here.ip("link set cable down");
        pair.here.ip("link set cable up");
        flapped.send(()).unwrap();
        std::future::pending::<()>().await;
    };
    both(&pair, here, async || {
        // Nothing but an answer shall tell this side, so the announcements come to their end first.
        let asker = Asker::new().await;
        listening.send(()).unwrap();
        asker.until_announced(VIP).await;
        announced.send(()).unwrap();
        has_flapped.await.unwrap();
        until_neighbour(VIP_6_MEMBER.into(), HERE_MAC, true).await;
        let asker = Asker::new().await;
        assert_eq!(asker.first_answered(&[OTHER, VIP]).await, VIP);
    });
}

#[test]
fn a_takeover_moves_what_another_host_remembers() {
    let Some(pair) = Pair::new("takeover") else { return };
    for address in [IpAddr::from(VIP), VIP_6.into()] {
        pair.there.ip(&format!(
            "neigh add {address} lladdr 02:00:00:00:00:99 dev cable nud reachable"
        ));
    }
    both(
        &pair,
        || keep_answering(ranges()),
        async || {
            for address in [VIP.into(), VIP_6.into()] {
                until_neighbour(address, HERE_MAC, false).await;
            }
        },
    );
}

#[test]
fn only_new_addresses_are_announced() {
    let Some(pair) = Pair::new("announced") else {
        return;
    };
    let (listening, is_listening) = oneshot::channel::<()>();
    let (announced, all_announced) = oneshot::channel::<()>();
    let here = || async {
        let ifindex = cable().await;
        let mut announcer = Announcer::new();
        is_listening.await.unwrap();
        assert!(announcer.set(&desired(ifindex, hosts([VIP]))).is_empty());
        all_announced.await.unwrap();
        assert!(announcer.set(&desired(ifindex, hosts([VIP, OTHER]))).is_empty());
        std::future::pending::<()>().await;
    };
    both(&pair, here, async || {
        let asker = Asker::new().await;
        listening.send(()).unwrap();
        asker.until_announced(VIP).await;
        announced.send(()).unwrap();
        for said in BEGINNING {
            let packet = asker.receive().await;
            let (operation, sender) = (packet.operation, packet.sender_ipv4_addr());
            assert_eq!(packet.target_ipv4_addr(), OTHER, "nothing else is said");
            assert_eq!((operation, !sender.is_unspecified()), said);
        }
    });
}

/// What is said first of an address, and whether in its name.
const BEGINNING: [(ArpOperation, bool); 3] = [
    (ArpOperation::REQUEST, false),
    (ArpOperation::REQUEST, true),
    (ArpOperation::REPLY, true),
];

#[test]
fn another_host_detects_the_duplicate() {
    let Some(pair) = Pair::new("duplicate") else {
        return;
    };
    both(
        &pair,
        || keep_answering(ranges()),
        async || {
            until_neighbour(VIP_6.into(), HERE_MAC, true).await;
            pair.there.ip(&format!("addr add {VIP_6_MEMBER}/64 dev cable"));
            let netlink = Netlink::open().unwrap();
            let failed = async {
                loop {
                    let failed = netlink.addresses().await.unwrap().into_iter().any(|address| {
                        address
                            .attributes
                            .contains(&AddressAttribute::Address(VIP_6_MEMBER.into()))
                            && address.header.flags.contains(AddressHeaderFlags::Dadfailed)
                    });
                    if failed {
                        return;
                    }
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            };
            tokio::time::timeout(PATIENCE, failed)
                .await
                .expect("the kernel refused the address");
        },
    );
}

#[test]
fn an_address_that_is_not_ours_any_more_is_not_answered_for() {
    let Some(pair) = Pair::new("release") else { return };
    let here = || async {
        let ifindex = cable().await;
        let mut announcer = Announcer::new();
        assert!(announcer.set(&desired(ifindex, hosts([VIP]))).is_empty());
        assert!(announcer.set(&desired(ifindex, hosts([OTHER]))).is_empty());
        std::future::pending::<()>().await;
    };
    both(&pair, here, async || {
        until_neighbour(OTHER.into(), HERE_MAC, true).await;
        // The answers come in the order of the questions: an answer for VIP would come first.
        let asker = Asker::new().await;
        assert_eq!(asker.first_answered(&[VIP, OTHER]).await, OTHER);
    });
}

#[test]
fn an_interface_that_is_missing_is_told_of() {
    let Some(pair) = Pair::new("missing") else { return };
    pair.here.run(async || {
        let mut announcer = Announcer::new();
        let mut desired = desired(cable().await, ranges());
        let serving = desired.interfaces.values().next().unwrap().clone();
        desired.interfaces.insert(4242, serving);
        let errors = announcer.set(&desired);
        let texts: Vec<_> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(texts.len(), 2, "{texts:?}");
        assert!(texts[0].starts_with("can't answer for addresses on interface number 4242: No such device"));
        assert_eq!(announcer.responders.len(), 2, "the other interface is served");
    });
}

#[test]
fn a_link_that_is_another_or_was_away_is_announced_on_again() {
    let Some(pair) = Pair::new("again") else { return };
    let (step, mut steps) = tokio::sync::mpsc::unbounded_channel::<()>();
    let pair = &pair;
    let here = || async move {
        let mut announcer = Announcer::new();
        steps.recv().await.unwrap();
        assert!(announcer.set(&desired_now(hosts([VIP])).await).is_empty());
        steps.recv().await.unwrap();
        pair.here.ip("link set cable down");
        pair.here.ip("link set cable up");
        assert!(announcer.set(&desired_now(hosts([VIP])).await).is_empty());
        steps.recv().await.unwrap();
        pair.here.ip("link set cable address 02:00:00:00:00:11");
        assert!(announcer.set(&desired_now(hosts([VIP])).await).is_empty());
        std::future::pending::<()>().await;
    };
    both(pair, here, async || {
        let asker = Asker::new().await;
        step.send(()).unwrap();
        asker.until_announced(VIP).await;
        step.send(()).unwrap();
        asker.until_announced(VIP).await;
        step.send(()).unwrap();
        let moved = [2, 0, 0, 0, 0, 0x11];
        asker.until_said(VIP, moved, 2 * ANNOUNCEMENTS).await;
    });
}

#[test]
fn an_interface_that_is_made_again_with_its_old_number_is_answered_on() {
    let Some(pair) = Pair::new("remade") else { return };
    pair.here.run(async || {
        let ifindex = cable().await;
        let mut announcer = Announcer::new();
        assert!(announcer.set(&desired(ifindex, ranges())).is_empty());
        let first = announcer.responders[&(ifindex, Family::Ipv4)].socket.clone();
        pair.here.ip("link del cable");
        pair.here.ip(&format!(
            "link add cable index {ifindex} type veth peer name other"
        ));
        pair.here.ip("link set cable up");
        assert!(!first.is_bound());
        assert!(announcer.set(&desired(ifindex, ranges())).is_empty());
        for responder in announcer.responders.values() {
            assert!(responder.is_of_use());
        }
    });
}

#[test]
fn announcements_are_repeated_when_that_is_asked_for() {
    let Some(pair) = Pair::new("repeat") else { return };
    let (listening, is_listening) = oneshot::channel::<()>();
    let here = || async {
        let mut announcer = Announcer::new();
        is_listening.await.unwrap();
        let repeated = Desired {
            repeat: Some(Duration::from_millis(50)),
            ..desired(cable().await, hosts([VIP]))
        };
        assert!(announcer.set(&repeated).is_empty());
        std::future::pending::<()>().await;
    };
    both(&pair, here, async || {
        let asker = Asker::new().await;
        listening.send(()).unwrap();
        asker.until_said(VIP, HERE_MAC, 10 * ANNOUNCEMENTS).await;
    });
}

/// Waits until somebody else is seen to claim `address`.
async fn until_conflict(announcer: &Announcer, address: IpAddr, mac: MacAddr) -> Conflict {
    let key = ConflictKey {
        ifindex: cable().await,
        address,
        mac,
    };
    let mut conflicts = announcer.conflicts();
    let seen = conflicts.wait_for(|conflicts| conflicts.contains_key(&key));
    let seen = tokio::time::timeout(PATIENCE, seen).await;
    seen.unwrap_or_else(|_| panic!("no conflict about {address}"))
        .expect("the announcer lives")[&key]
}

#[test]
fn a_host_that_answers_for_an_address_is_found_without_a_word_from_it() {
    let Some(pair) = Pair::new("conflict") else { return };
    // As a backend has it, but without arp_ignore; of IPv6, only what is on the interface itself is answered for.
    pair.there.ip(&format!("addr add {VIP}/32 dev lo"));
    pair.there.ip(&format!("addr add {VIP_6}/128 dev cable nodad"));
    pair.here.run(async || {
        let mut announcer = Announcer::new();
        assert!(announcer.set(&desired_now(ranges()).await).is_empty());
        for address in [VIP.into(), VIP_6.into()] {
            let conflict = until_conflict(&announcer, address, THERE_MAC).await;
            assert_eq!(conflict.claim, Claim::Answered, "{address}");
        }
        announcer.set(&Desired::default());
        let mut conflicts = announcer.conflicts();
        let none = conflicts.wait_for(|conflicts| conflicts.is_empty());
        drop(tokio::time::timeout(PATIENCE, none).await.expect("in time"));
    });
}

#[test]
fn a_host_that_takes_an_address_later_is_found_and_answered() {
    let Some(pair) = Pair::new("taken") else { return };
    let (announced, all_announced) = oneshot::channel::<()>();
    let (conflicting, in_conflict) = oneshot::channel::<()>();
    let (listening, is_listening) = oneshot::channel::<()>();
    let here = || async {
        let mut announcer = Announcer::new();
        is_listening.await.unwrap();
        assert!(announcer.set(&desired_now(hosts([VIP])).await).is_empty());
        all_announced.await.unwrap();
        let conflict = until_conflict(&announcer, VIP.into(), THERE_MAC).await;
        assert_eq!(conflict.claim, Claim::Announced);
        conflicting.send(()).unwrap();
        std::future::pending::<()>().await;
    };
    both(&pair, here, async || {
        let asker = Asker::new().await;
        listening.send(()).unwrap();
        asker.until_announced(VIP).await;
        announced.send(()).unwrap();
        for frame in arp::announcements(THERE_MAC, VIP) {
            asker.0.send(&frame).unwrap();
        }
        in_conflict.await.unwrap();
        asker.until_said(VIP, HERE_MAC, 2).await;
    });
}

#[test]
fn what_this_host_says_itself_is_no_conflict() {
    let Some(pair) = Pair::new("own-mac") else { return };
    let other: MacAddr = [2, 0, 0, 0, 0, 0x77];
    let (listening, is_listening) = oneshot::channel::<()>();
    let (seen, is_seen) = oneshot::channel::<()>();
    let here = || async {
        let mut desired = desired_now(hosts([VIP])).await;
        desired.own_macs = Arc::new(BTreeSet::from([HERE_MAC, THERE_MAC]));
        let mut announcer = Announcer::new();
        assert!(announcer.set(&desired).is_empty());
        listening.send(()).unwrap();
        // What was said before it was seen before.
        until_conflict(&announcer, VIP.into(), other).await;
        assert_eq!(announcer.conflicts().borrow().len(), 1);
        seen.send(()).unwrap();
        std::future::pending::<()>().await;
    };
    both(&pair, here, async || {
        let asker = Asker::new().await;
        is_listening.await.unwrap();
        for mac in [THERE_MAC, other] {
            for frame in arp::announcements(mac, VIP) {
                asker.0.send(&frame).unwrap();
            }
        }
        is_seen.await.unwrap();
    });
}

#[test]
fn thousands_of_groups_are_joined() {
    let Some(pair) = Pair::new("groups") else { return };
    // Thousands of reports would crowd others' packets out of the processor's queue.
    pair.there.ip("link set cable down");
    pair.here.run(async || {
        let mut groups = GroupMemberships::new(cable().await);
        let group = |n: u32| ndp::solicited_node_group(Ipv6Addr::from(u128::from(n) | 1 << 100));
        let all: BTreeSet<Ipv6Addr> = (1..=3_000).map(group).collect();
        groups.set(all.clone()).unwrap();
        let joined = || {
            let shown = pair.here.ip_output("maddr show dev cable");
            all.iter()
                .filter(|group| shown.contains(&group.to_string()))
                .count()
        };
        assert_eq!(joined(), 3_000);
        let sockets = groups.sockets.len();
        groups.set(BTreeSet::from([group(1)])).unwrap();
        assert_eq!(joined(), 1);
        groups.set(all.clone()).unwrap();
        assert_eq!(
            (joined(), groups.sockets.len()),
            (3_000, sockets),
            "sockets are used again"
        );
    });
}

#[test]
fn thousands_of_vips_ask_the_kernel_nothing() {
    let Some(pair) = Pair::new("thousands") else {
        return;
    };
    pair.here.ip("addr add 10.0.0.1/16 dev cable");
    let vips: BTreeSet<IpAddr> = (2..2_002u32)
        .map(|n| Ipv4Addr::from(0x0a00_0000 + n).into())
        .collect();
    pair.here.run(async || {
        let network = Links::new().unwrap().state().await.unwrap();
        let asked = requests_made();
        assert!(asked > 0, "what is counted counts");
        let inputs = AnnounceInputs {
            network: &network,
            interfaces: &BTreeSet::from([cable().await]),
            enabled: true,
            repeat: None,
        };
        let asked = requests_made();
        let mut announcer = Announcer::new();
        for _ in 0..2 {
            let announcements = Announcements::new(&vips, &inputs);
            let serving = announcements.desired.interfaces.values().next().unwrap();
            assert_eq!(serving.ranges.len(), vips.len());
            assert!(announcer.set(&announcements.desired).is_empty());
        }
        assert_eq!(requests_made(), asked);
    });
}
