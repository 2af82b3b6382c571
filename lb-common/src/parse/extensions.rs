//! IPv6 extension headers (RFC 8200 §4): the walk to the header behind them.

use super::{Family, Fragment, Network};
use crate::opaque::hide;
use crate::verdict::Reason;
use crate::wire::{Packet, be16, ipproto, word};

/// How many IPv6 extension headers are walked before the packet is refused.
pub const EXTENSION_HEADERS: u64 = 6;

/// Takes `network` to the header behind the extension headers: its offset, protocol and what a fragment header says.
/// The error is what happens to the packet if its destination is a VIP.
///
/// Changed in place, because in the kernel `network` is in a map's memory: the verifier forgets which way through
/// the chain led there.
#[inline(always)]
pub fn skip_extensions<P: Packet>(packet: &P, network: &mut Network) -> Result<(), Reason> {
    if matches!(network.family, Family::V4) || !is_extension(network.protocol) {
        return Ok(());
    }
    if let Some(reason) = network.fault {
        return Err(reason);
    }
    let last = walk(packet, network)?;
    if is_extension(last.protocol as u8) && !matches!(last.fragment, Fragment::Later) {
        return Err(Reason::DropExtensionHeaders);
    }
    network.l4 = last.at;
    network.protocol = last.protocol as u8;
    network.fragment = last.fragment;
    network.identification = last.identification;
    network.fragment_kind = last.fragment_kind;
    network.detour = last.detour;
    Ok(())
}

#[inline(always)]
const fn is_extension(protocol: u8) -> bool {
    matches!(
        protocol,
        ipproto::HOP_BY_HOP | ipproto::ROUTING | ipproto::DESTINATION_OPTIONS | ipproto::FRAGMENT
    )
}

/// A header that is still to be read.
#[derive(Clone, Copy)]
struct Header {
    protocol: u32,
    fragment: Fragment,
    at: usize,
    identification: u32,
    fragment_kind: u32,
    detour: u32,
}

/// The first header that is no extension header, or the one at which patience ends.
#[inline(always)]
fn walk<P: Packet>(packet: &P, network: &Network) -> Result<Header, Reason> {
    let mut header = Header {
        protocol: u32::from(network.protocol),
        fragment: Fragment::Whole,
        at: network.l4,
        identification: 0,
        fragment_kind: 0,
        detour: 0,
    };
    let mut walked = 0;
    while hide(walked) < EXTENSION_HEADERS {
        match header.protocol as u8 {
            kind @ (ipproto::HOP_BY_HOP | ipproto::ROUTING | ipproto::DESTINATION_OPTIONS) => {
                let bytes = extension(packet, header.at, network.end)?;
                if kind == ipproto::ROUTING {
                    header.detour |= u32::from(bytes[3]);
                }
                header.protocol = u32::from(bytes[0]);
                header.at += (usize::from(bytes[1]) + 1) * 8;
            }
            ipproto::FRAGMENT => {
                let bytes = extension(packet, header.at, network.end)?;
                let position = be16(bytes, 2);
                header.protocol = u32::from(bytes[0]);
                header.at += 8;
                header.identification = word(bytes, 4);
                header.fragment_kind = header.protocol | (1 << 8);
                if position & 0xfff8 != 0 {
                    // What follows is the middle of some datagram, not a header.
                    return Ok(Header {
                        fragment: Fragment::Later,
                        ..header
                    });
                }
                // An atomic fragment (RFC 6946) is a whole packet.
                if position & 1 != 0 {
                    header.fragment = Fragment::First;
                }
            }
            _ => return Ok(header),
        }
        walked += 1;
    }
    Ok(header)
}

#[inline(always)]
fn extension<P: Packet>(packet: &P, at: usize, end: usize) -> Result<&[u8; 8], Reason> {
    if at + 8 > end {
        return Err(Reason::DropTruncated);
    }
    packet.window::<8>(at).ok_or(Reason::DropTruncated)
}
