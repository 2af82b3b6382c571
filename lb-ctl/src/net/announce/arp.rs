//! ARP for IPv4 over Ethernet (RFC 826), as far as answering, announcing and asking need it.

use std::net::Ipv4Addr;

use crate::net::MacAddr;

const FRAME_LENGTH: usize = 42;
const BROADCAST: MacAddr = [0xff; 6];
const NOBODY: MacAddr = [0; 6];
/// Ethertype, then hardware Ethernet, protocol IPv4, and their address lengths.
const PREAMBLE: [u8; 8] = [0x08, 0x06, 0, 1, 0x08, 0x00, 6, 4];
const REQUEST: u16 = 1;
const REPLY: u16 = 2;

pub(super) type Frame = [u8; FRAME_LENGTH];

/// What a sender that is one host says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Packet {
    pub(super) is_request: bool,
    pub(super) sender_mac: MacAddr,
    /// A probe (RFC 5227) has the sender 0.0.0.0.
    pub(super) sender: Ipv4Addr,
    pub(super) target: Ipv4Addr,
}

impl Packet {
    pub(super) fn parse(frame: &[u8]) -> Option<Self> {
        let frame: &Frame = frame.first_chunk()?;
        let operation = u16::from_be_bytes([frame[20], frame[21]]);
        if frame[12..20] != PREAMBLE || !matches!(operation, REQUEST | REPLY) {
            return None;
        }
        let packet = Self {
            is_request: operation == REQUEST,
            sender_mac: mac_at(frame, 22),
            sender: ip_at(frame, 28),
            target: ip_at(frame, 38),
        };
        let is_one_host = packet.sender_mac[0] & 1 == 0 && packet.sender_mac != NOBODY;
        is_one_host.then_some(packet)
    }

    /// The address that it asks for. An announcement (sender = target) tells and does not ask.
    pub(super) fn asks_for(&self) -> Option<Ipv4Addr> {
        (self.is_request && self.sender != self.target).then_some(self.target)
    }

    /// "The target is at `mac`."
    pub(super) fn reply(&self, mac: MacAddr) -> Frame {
        frame(
            self.sender_mac,
            REPLY,
            (mac, self.target),
            (self.sender_mac, self.sender),
        )
    }
}

/// "I am `address`", to everybody, in both forms: there are hosts that believe only the one or only the other (RFC 5227
/// §3, RFC 5944 §4.6).
pub(super) fn announcements(mac: MacAddr, address: Ipv4Addr) -> [Frame; 2] {
    let sender = (mac, address);
    [
        frame(BROADCAST, REQUEST, sender, (NOBODY, address)),
        frame(BROADCAST, REPLY, sender, (mac, address)),
    ]
}

/// "Has anybody `address`?", without claiming it (RFC 5227 §2.1.1).
pub(super) fn probe(mac: MacAddr, address: Ipv4Addr) -> Frame {
    frame(
        BROADCAST,
        REQUEST,
        (mac, Ipv4Addr::UNSPECIFIED),
        (NOBODY, address),
    )
}

fn frame(to: MacAddr, operation: u16, sender: (MacAddr, Ipv4Addr), target: (MacAddr, Ipv4Addr)) -> Frame {
    let mut frame = [0; FRAME_LENGTH];
    frame[0..6].copy_from_slice(&to);
    frame[6..12].copy_from_slice(&sender.0);
    frame[12..20].copy_from_slice(&PREAMBLE);
    frame[20..22].copy_from_slice(&operation.to_be_bytes());
    frame[22..28].copy_from_slice(&sender.0);
    frame[28..32].copy_from_slice(&sender.1.octets());
    frame[32..38].copy_from_slice(&target.0);
    frame[38..42].copy_from_slice(&target.1.octets());
    frame
}

fn mac_at(frame: &Frame, offset: usize) -> MacAddr {
    std::array::from_fn(|index| frame[offset + index])
}

fn ip_at(frame: &Frame, offset: usize) -> Ipv4Addr {
    std::array::from_fn::<u8, 4, _>(|index| frame[offset + index]).into()
}
