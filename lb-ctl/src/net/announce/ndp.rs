//! Neighbour discovery (RFC 4861), as far as answering, announcing and asking need it.

use std::net::Ipv6Addr;

use crate::net::MacAddr;

const ETHERNET: usize = 14;
const IPV6: usize = 40;
/// ICMPv6 header, flags or reserved word, target.
const MESSAGE: usize = 24;
const ICMPV6: u8 = 58;
const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;
const SOURCE_LINK_LAYER: u8 = 1;
const TARGET_LINK_LAYER: u8 = 2;
const FLAG_SOLICITED: u8 = 0x40;
const FLAG_OVERRIDE: u8 = 0x20;
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const ALL_NODES_MAC: MacAddr = [0x33, 0x33, 0, 0, 0, 1];

/// A message of neighbour discovery that RFC 4861 §7.1 says is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Message {
    Solicitation(Solicitation),
    /// "`target` is at `mac`."
    Advertisement {
        target: Ipv6Addr,
        mac: MacAddr,
    },
}

/// "Who has `target`?" Duplicate address detection asks from the unspecified address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Solicitation {
    pub(super) source: Ipv6Addr,
    pub(super) source_mac: MacAddr,
    pub(super) target: Ipv6Addr,
}

impl Message {
    /// None for everything else, and for what is to be discarded.
    pub(super) fn parse(frame: &[u8]) -> Option<Self> {
        let ethernet: &[u8; ETHERNET] = frame.first_chunk()?;
        let packet = &frame[ETHERNET..];
        let ip: &[u8; IPV6] = packet.first_chunk()?;
        if ethernet[12..] != [0x86, 0xdd] || ip[0] >> 4 != 6 || ip[6] != ICMPV6 || ip[7] != 255 {
            return None;
        }
        let length = usize::from(u16::from_be_bytes([ip[4], ip[5]]));
        let message = packet.get(IPV6..IPV6 + length)?;
        let (source, destination) = (address_at(ip, 8)?, address_at(ip, 24)?);
        let is_whole = message.len() >= MESSAGE && message[1] == 0;
        if !is_whole || checksum(source, destination, message) != 0 || source.is_multicast() {
            return None;
        }
        let target = address_at(message, 8).filter(|target| !target.is_multicast())?;
        let sender_mac = ethernet[6..12].try_into().ok()?;
        let link_layer = |kind| link_layer(&message[MESSAGE..], kind);
        match message[0] {
            SOLICITATION => {
                let option = link_layer(SOURCE_LINK_LAYER)?;
                let detects_duplicates = source.is_unspecified();
                let is_right =
                    !detects_duplicates || (option.is_none() && destination == solicited_node_group(target));
                is_right.then_some(Self::Solicitation(Solicitation {
                    source,
                    source_mac: option.unwrap_or(sender_mac),
                    target,
                }))
            }
            ADVERTISEMENT => {
                let is_right = !(destination.is_multicast() && message[4] & FLAG_SOLICITED != 0);
                let mac = link_layer(TARGET_LINK_LAYER)?.unwrap_or(sender_mac);
                is_right.then_some(Self::Advertisement { target, mac })
            }
            _ => None,
        }
    }
}

impl Solicitation {
    /// "`target` is at `mac`", to the asker, or to all nodes when the asker has no address yet.
    pub(super) fn reply(&self, mac: MacAddr) -> Vec<u8> {
        if self.source.is_unspecified() {
            announcement(mac, self.target)
        } else {
            let flags = FLAG_SOLICITED | FLAG_OVERRIDE;
            advertisement(mac, self.target, flags, (self.source_mac, self.source))
        }
    }
}

/// "`address` is at `mac`", unasked, to all nodes.
pub(super) fn announcement(mac: MacAddr, address: Ipv6Addr) -> Vec<u8> {
    advertisement(mac, address, FLAG_OVERRIDE, (ALL_NODES_MAC, ALL_NODES))
}

/// "Has anybody `target`?", as duplicate address detection asks: it needs no address of our own, and claims nothing.
pub(super) fn probe(mac: MacAddr, target: Ipv6Addr) -> Vec<u8> {
    let group = solicited_node_group(target);
    let [.., a, b, c, d] = group.octets();
    let mut message = vec![SOLICITATION, 0, 0, 0, 0, 0, 0, 0];
    message.extend_from_slice(&target.octets());
    frame(
        mac,
        Ipv6Addr::UNSPECIFIED,
        ([0x33, 0x33, a, b, c, d], group),
        message,
    )
}

/// ff02::1:ffXX:XXXX with the last three bytes of the address.
pub(super) fn solicited_node_group(address: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b, c] = address.octets();
    Ipv6Addr::from([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, a, b, c])
}

/// The link-layer address in the option of this kind; None when the options are malformed.
fn link_layer(mut options: &[u8], kind: u8) -> Option<Option<MacAddr>> {
    let mut found = None;
    while !options.is_empty() {
        let [of, units, ..] = *options else { return None };
        let length = usize::from(units) * 8;
        let option = options.get(..length).filter(|option| !option.is_empty())?;
        if of == kind && length == 8 {
            found = option[2..].try_into().ok();
        }
        options = &options[length..];
    }
    Some(found)
}

fn advertisement(mac: MacAddr, target: Ipv6Addr, flags: u8, to: (MacAddr, Ipv6Addr)) -> Vec<u8> {
    let mut message = vec![ADVERTISEMENT, 0, 0, 0, flags, 0, 0, 0];
    message.extend_from_slice(&target.octets());
    message.extend_from_slice(&[TARGET_LINK_LAYER, 1]);
    message.extend_from_slice(&mac);
    frame(mac, target, to, message)
}

/// The message without its checksum, in a frame.
fn frame(mac: MacAddr, source: Ipv6Addr, to: (MacAddr, Ipv6Addr), mut message: Vec<u8>) -> Vec<u8> {
    let sum = checksum(source, to.1, &message);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    let mut frame = Vec::with_capacity(ETHERNET + IPV6 + message.len());
    frame.extend_from_slice(&to.0);
    frame.extend_from_slice(&mac);
    frame.extend_from_slice(&[0x86, 0xdd, 0x60, 0, 0, 0]);
    frame.extend_from_slice(&(message.len() as u16).to_be_bytes());
    frame.extend_from_slice(&[ICMPV6, 255]);
    frame.extend_from_slice(&source.octets());
    frame.extend_from_slice(&to.1.octets());
    frame.extend_from_slice(&message);
    frame
}

/// The ICMPv6 checksum; 0 over a message that carries its right one.
fn checksum(source: Ipv6Addr, destination: Ipv6Addr, message: &[u8]) -> u16 {
    let pseudo_header = [source.octets(), destination.octets()].concat();
    let sum = words(&pseudo_header) + words(message) + message.len() as u64 + u64::from(ICMPV6);
    let folded = (sum & 0xffff) + (sum >> 16);
    !((folded & 0xffff) + (folded >> 16)) as u16
}

fn words(bytes: &[u8]) -> u64 {
    let word = |pair: &[u8]| u64::from(pair[0]) << 8 | u64::from(pair.get(1).copied().unwrap_or(0));
    bytes.chunks(2).map(word).sum()
}

fn address_at(bytes: &[u8], offset: usize) -> Option<Ipv6Addr> {
    let octets: [u8; 16] = bytes.get(offset..offset + 16)?.try_into().ok()?;
    Some(octets.into())
}
