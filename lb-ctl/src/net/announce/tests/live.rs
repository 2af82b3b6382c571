//! Two hosts and a cable: what another host's kernel makes of the answers.

use std::io;
use std::net::UdpSocket;

use netlink_packet_route::address::{AddressAttribute, AddressHeaderFlags};
use tokio::sync::oneshot;

use super::*;
use crate::net::Links;
use crate::net::neighbours::Neighbours;
use crate::net::netlink::Netlink;
use crate::net::testing::{PATIENCE, Pair};

async fn cable() -> u32 {
    Links::new().unwrap().by_name("cable").await.unwrap().index
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
    let errors = announcer.set(&BTreeMap::from([(cable().await, ranges)]));
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

    /// Waits until all the announcements of `address` were seen.
    async fn until_announced(&self, address: Ipv4Addr) {
        let announced = async {
            let mut left = ANNOUNCEMENTS;
            while left > 0 {
                let packet = self.receive().await;
                let is_announcement = packet.sender_ipv4 == packet.target_ipv4;
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
                if packet.operation == ArpOperation::REPLY {
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
        assert!(
            announcer
                .set(&BTreeMap::from([(cable().await, ranges())]))
                .is_empty()
        );
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
        let [vip, other] = [VIP, OTHER].map(|address| VipRange::host(address.into()));
        assert!(
            announcer
                .set(&BTreeMap::from([(ifindex, BTreeSet::from([vip]))]))
                .is_empty()
        );
        all_announced.await.unwrap();
        assert!(
            announcer
                .set(&BTreeMap::from([(ifindex, BTreeSet::from([vip, other]))]))
                .is_empty()
        );
        std::future::pending::<()>().await;
    };
    both(&pair, here, async || {
        let asker = Asker::new().await;
        listening.send(()).unwrap();
        asker.until_announced(VIP).await;
        announced.send(()).unwrap();
        let packet = asker.receive().await;
        let said = (
            packet.operation,
            packet.sender_ipv4_addr(),
            packet.target_ipv4_addr(),
        );
        assert_eq!(
            said,
            (ArpOperation::REQUEST, OTHER, OTHER),
            "nothing else is said"
        );
    });
}

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
        let [vip, other] = [VIP, OTHER].map(|address| VipRange::host(address.into()));
        assert!(
            announcer
                .set(&BTreeMap::from([(ifindex, BTreeSet::from([vip]))]))
                .is_empty()
        );
        assert!(
            announcer
                .set(&BTreeMap::from([(ifindex, BTreeSet::from([other]))]))
                .is_empty()
        );
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
        let errors = announcer.set(&BTreeMap::from([(4242, ranges()), (cable().await, ranges())]));
        let texts: Vec<_> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(texts.len(), 2, "{texts:?}");
        assert!(texts[0].starts_with("can't answer for addresses on interface number 4242: No such device"));
        assert_eq!(announcer.responders.len(), 2, "the other interface is served");
    });
}
