//! Sources that no client has (semantics §1, step 1c, and §9).

use crate::parse::{Family, Network};
use crate::rules;
use crate::tables::Tables;

/// Whether the packet to a VIP comes from nowhere that one host could be: this network, loopback, a group, everybody, or the VIP
/// itself.
///
/// A function of its own in the kernel too, for its stack.
#[inline(never)]
pub fn is_martian<T: Tables>(tables: &T, network: &Network) -> bool {
    match network.family {
        Family::V4 => {
            let [first, ..] = network.source[0].to_ne_bytes();
            let is_special = matches!(first, 0 | 127 | 224..=239) || network.source[0] == u32::MAX;
            is_special || network.source[0] == network.destination[0]
        }
        Family::V6 => is_special(network.source) || is_vips_own(tables, network),
    }
}

/// Whether [`is_martian`] or [`is_link_local`] has to be asked: a quick look, which says no of nearly every packet.
#[inline(always)]
pub fn is_odd(network: &Network) -> bool {
    let is_near = match network.family {
        Family::V4 => network.source[0] == network.destination[0],
        Family::V6 => has_destinations_prefix(network),
    };
    !is_usual(network) || is_near
}

/// Whether no special address begins as the source does.
#[inline(always)]
fn is_usual(network: &Network) -> bool {
    let [first, ..] = network.source[0].to_ne_bytes();
    match network.family {
        Family::V4 => {
            first.wrapping_sub(1) < 126 || (first.wrapping_sub(128) < 96 && !is_link_local(network))
        }
        Family::V6 => first.wrapping_sub(1) < 0xfd,
    }
}

#[inline(always)]
fn has_destinations_prefix(network: &Network) -> bool {
    let (source, destination) = (network.source, network.destination);
    source[0] == destination[0] && source[1] == destination[1] && source[2] == destination[2]
}

/// ::, ::1, what stands for IPv4, groups.
#[inline(always)]
fn is_special([a, b, c, d]: [u32; 4]) -> bool {
    const ONE: u32 = 1_u32.to_be();
    const MAPPED: u32 = 0xffff_u32.to_be();
    let is_group = a.to_ne_bytes()[0] == 0xff;
    let is_zero = a | b == 0;
    is_group || (is_zero && (c == MAPPED || (c == 0 && (d == 0 || d == ONE))))
}

/// Whether the source is the destination, or of the same /96 if all of that is the VIP.
#[inline(always)]
fn is_vips_own<T: Tables>(tables: &T, network: &Network) -> bool {
    has_destinations_prefix(network)
        && (network.source[3] == network.destination[3] || tables.owns_prefix(&rules::filter_key(network)))
}

/// Whether the source is one of the link that it came by, which no router may take on (RFC 3927 §2.7, RFC 4291 §2.5.6).
#[inline(always)]
pub const fn is_link_local(network: &Network) -> bool {
    const MASK4: u32 = u32::from_ne_bytes([255, 255, 0, 0]);
    const MASK6: u32 = u32::from_ne_bytes([0xff, 0xc0, 0, 0]);
    match network.family {
        Family::V4 => network.source[0] & MASK4 == u32::from_ne_bytes([169, 254, 0, 0]),
        Family::V6 => network.source[0] & MASK6 == u32::from_ne_bytes([0xfe, 0x80, 0, 0]),
    }
}
