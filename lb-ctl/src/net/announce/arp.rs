//! ARP for IPv4 over Ethernet (RFC 826), as far as answering and announcing need it.

use std::net::Ipv4Addr;

use crate::net::MacAddr;

const FRAME_LENGTH: usize = 42;
const BROADCAST: MacAddr = [0xff; 6];
/// Ethertype, then hardware Ethernet, protocol IPv4, and their address lengths.
const PREAMBLE: [u8; 8] = [0x08, 0x06, 0, 1, 0x08, 0x00, 6, 4];
const REQUEST: u16 = 1;
const REPLY: u16 = 2;

/// "Who has `target`?" A probe (RFC 5227) has the sender 0.0.0.0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) sender_mac: MacAddr,
    pub(super) sender: Ipv4Addr,
    pub(super) target: Ipv4Addr,
}

impl Request {
    /// None for everything else. An announcement (sender = target) tells and does not ask.
    pub(super) fn parse(frame: &[u8]) -> Option<Self> {
        let frame: &[u8; FRAME_LENGTH] = frame.first_chunk()?;
        if frame[12..20] != PREAMBLE || frame[20..22] != REQUEST.to_be_bytes() {
            return None;
        }
        let request = Self {
            sender_mac: mac_at(frame, 22),
            sender: ip_at(frame, 28),
            target: ip_at(frame, 38),
        };
        let is_unicast = request.sender_mac[0] & 1 == 0 && request.sender_mac != [0; 6];
        (is_unicast && request.sender != request.target).then_some(request)
    }

    /// "`target` is at `mac`."
    pub(super) fn reply(&self, mac: MacAddr) -> [u8; FRAME_LENGTH] {
        frame(
            self.sender_mac,
            REPLY,
            (mac, self.target),
            (self.sender_mac, self.sender),
        )
    }
}

/// "I am `address`", to everybody.
pub(super) fn announcement(mac: MacAddr, address: Ipv4Addr) -> [u8; FRAME_LENGTH] {
    frame(BROADCAST, REQUEST, (mac, address), ([0; 6], address))
}

fn frame(
    to: MacAddr,
    operation: u16,
    sender: (MacAddr, Ipv4Addr),
    target: (MacAddr, Ipv4Addr),
) -> [u8; FRAME_LENGTH] {
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

fn mac_at(frame: &[u8; FRAME_LENGTH], offset: usize) -> MacAddr {
    std::array::from_fn(|index| frame[offset + index])
}

fn ip_at(frame: &[u8; FRAME_LENGTH], offset: usize) -> Ipv4Addr {
    std::array::from_fn::<u8, 4, _>(|index| frame[offset + index]).into()
}
