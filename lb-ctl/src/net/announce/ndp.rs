//! Neighbour discovery (RFC 4861), as far as answering and announcing need it.

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

/// "Who has `target`?" Duplicate address detection asks from the unspecified address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Solicitation {
    pub(super) source: Ipv6Addr,
    pub(super) source_mac: MacAddr,
    pub(super) target: Ipv6Addr,
}

impl Solicitation {
    /// None for everything else, and for what RFC 4861 §7.1.1 says to discard.
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
        let is_solicitation = message.len() >= MESSAGE && message[..2] == [SOLICITATION, 0];
        if !is_solicitation || checksum(source, destination, message) != 0 || source.is_multicast() {
            return None;
        }
        let target = address_at(message, 8)?;
        let option = source_link_layer(&message[MESSAGE..])?;
        let detects_duplicates = source.is_unspecified();
        let well_formed =
            !detects_duplicates || (option.is_none() && destination == solicited_node_group(target));
        let source_mac = option.or_else(|| ethernet[6..12].try_into().ok())?;
        (well_formed && !target.is_multicast()).then_some(Self {
            source,
            source_mac,
            target,
        })
    }

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

/// ff02::1:ffXX:XXXX with the last three bytes of the address.
pub(super) fn solicited_node_group(address: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b, c] = address.octets();
    Ipv6Addr::from([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, a, b, c])
}

/// The options' source link-layer address; None when the options are malformed.
fn source_link_layer(mut options: &[u8]) -> Option<Option<MacAddr>> {
    let mut found = None;
    while !options.is_empty() {
        let [kind, units, ..] = *options else { return None };
        let length = usize::from(units) * 8;
        let option = options.get(..length).filter(|option| !option.is_empty())?;
        if kind == SOURCE_LINK_LAYER && length == 8 {
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
    let sum = checksum(target, to.1, &message);
    message[2..4].copy_from_slice(&sum.to_be_bytes());

    let mut frame = Vec::with_capacity(ETHERNET + IPV6 + message.len());
    frame.extend_from_slice(&to.0);
    frame.extend_from_slice(&mac);
    frame.extend_from_slice(&[0x86, 0xdd, 0x60, 0, 0, 0]);
    frame.extend_from_slice(&(message.len() as u16).to_be_bytes());
    frame.extend_from_slice(&[ICMPV6, 255]);
    frame.extend_from_slice(&target.octets());
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
