//! Whose a frame is (semantics §1, step 1b).

use std::sync::atomic::Ordering;

use super::*;
use crate::decide::plain;
use crate::frames::OWN_MAC;
use crate::layout::mac_word;

const UPPER: [u8; 6] = [0, 0, 0x5e, 0, 1, 7];
const ANOTHER: [u8; 6] = [2, 0, 0, 0, 0, 77];

/// The same in a frame to this address.
fn sent_to(mac: [u8; 6], mut frame: Vec<u8>) -> Vec<u8> {
    frame[..6].copy_from_slice(&mac);
    frame
}

/// Packets of every road, and what becomes of them when they are for this host.
fn packets() -> Vec<Vec<u8>> {
    let mut malformed = frame(0, &ipv4(6, &tcp(4001, 80, SYN)));
    malformed[14] = 0x44;
    let echo = [8, 0, 0xf7, 0xff, 0, 0, 0, 0];
    vec![
        packet(4001, SYN),
        packet(4001, ACK),
        frame(1, &ipv4(6, &tcp(4001, 80, SYN))),
        frame(0, &ipv6(6, &tcp(4001, 80, SYN))),
        frame(0, &ipv4(17, &udp(4001, 80)[..5])),
        frame(0, &ipv4(1, &echo)),
        malformed,
    ]
}

#[test]
fn frames_for_other_hosts_pass_whatever_they_carry() {
    let mut tables = World::new().tables();
    tables.own_macs.insert(crate::layout::OwnMac {
        ifindex: u64::from(tables.ingress),
        mac: mac_word(UPPER),
    });
    for frame in packets() {
        for mac in [OWN_MAC, UPPER] {
            let verdict = judge(&tables, &sent_to(mac, frame.clone()));
            assert_ne!(
                verdict.reason.action(),
                crate::verdict::Action::Pass,
                "{verdict:?}"
            );
        }
        let flows = entries(&tables).len();
        for mac in [
            ANOTHER,
            [0xff; 6],
            [1, 0, 0x5e, 0, 0, 1],
            [0x33, 0x33, 0, 0, 0, 1],
        ] {
            let sent = sent_to(mac, frame.clone());
            assert_eq!(judge(&tables, &sent).reason, Reason::PassOtherHost, "{mac:02x?}");
            assert!(
                plain(&tables, &sent.as_slice()).is_none(),
                "the short road takes none of them"
            );
        }
        assert_eq!(entries(&tables).len(), flows, "nothing is recorded");
    }
    assert_eq!(tables.not_judged.load(Ordering::Relaxed), 0);
}

#[test]
fn an_address_belongs_to_an_interface() {
    let mut tables = World::new().tables();
    let first = tables.ingress;
    tables.arrive_at(first + 1, ANOTHER, 1500);
    assert_eq!(judge(&tables, &packet(4001, SYN)).reason, Reason::PassOtherHost);
    let to_it = sent_to(ANOTHER, packet(4001, SYN));
    assert_eq!(judge(&tables, &to_it).reason, Reason::ForwardNew);
    tables.ingress = first;
    assert_eq!(judge(&tables, &to_it).reason, Reason::PassOtherHost);
}

#[test]
fn on_an_unknown_interface_frames_are_balanced_and_counted_but_not_those_of_groups() {
    let mut tables = World::new().tables();
    tables.interfaces.clear();
    tables.own_macs.clear();
    for (number, mac) in (1..).zip([OWN_MAC, ANOTHER]) {
        let verdict = judge(&tables, &sent_to(mac, packet(4001, SYN)));
        assert_eq!(verdict.reason, Reason::ForwardNew);
        assert_eq!(tables.not_judged.load(Ordering::Relaxed), number);
    }
    for mac in [[0xff; 6], [1, 0, 0x5e, 0, 0, 1]] {
        let verdict = judge(&tables, &sent_to(mac, packet(4001, SYN)));
        assert_eq!(verdict.reason, Reason::PassOtherHost);
    }
    tables.vips.clear();
    tables.rules.clear();
    assert_eq!(judge(&tables, &packet(4001, SYN)).reason, Reason::PassNoVip);
    assert_eq!(
        tables.not_judged.load(Ordering::Relaxed),
        2,
        "what is no VIP's is no matter"
    );
}
