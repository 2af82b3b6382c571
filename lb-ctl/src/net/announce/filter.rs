//! Classic BPF filters: the questions pass, and nothing else wakes us up.
//!
//! Both refuse frames that were for other hosts or that we sent (`SKF_AD_PKTTYPE`), and tagged ones, whose tag may be
//! in metadata where the frame does not show it (`SKF_AD_VLAN_TAG_PRESENT`). A load beyond the frame's end refuses.

use libc::sock_filter;

const LOAD_WORD: u16 = 0x20;
const LOAD_HALF: u16 = 0x28;
const LOAD_BYTE: u16 = 0x30;
const JUMP_EQUAL: u16 = 0x15;
const JUMP_GREATER: u16 = 0x25;
const RETURN: u16 = 0x06;

const ANCILLARY: u32 = 0xffff_f000;
const PACKET_TYPE: u32 = ANCILLARY + 4;
const VLAN_TAG_PRESENT: u32 = ANCILLARY + 48;
/// The last packet type that is for us: host, broadcast, multicast.
const LAST_OF_OURS: u32 = 2;

const fn load(code: u16, offset: u32) -> sock_filter {
    sock_filter {
        code,
        jt: 0,
        jf: 0,
        k: offset,
    }
}

/// Goes on when the loaded value is `value`, else skips the next `to_refusal` instructions.
const fn expect(value: u32, to_refusal: u8) -> sock_filter {
    sock_filter {
        code: JUMP_EQUAL,
        jt: 0,
        jf: to_refusal,
        k: value,
    }
}

const fn expect_at_most(value: u32, to_refusal: u8) -> sock_filter {
    sock_filter {
        code: JUMP_GREATER,
        jt: to_refusal,
        jf: 0,
        k: value,
    }
}

const fn pass(bytes: u32) -> sock_filter {
    sock_filter {
        code: RETURN,
        jt: 0,
        jf: 0,
        k: bytes,
    }
}

pub(super) const ARP_REQUESTS: &[sock_filter] = &[
    load(LOAD_WORD, PACKET_TYPE),
    expect_at_most(LAST_OF_OURS, 7),
    load(LOAD_WORD, VLAN_TAG_PRESENT),
    expect(0, 5),
    // Ethertype.
    load(LOAD_HALF, 12),
    expect(0x0806, 3),
    // Operation: request.
    load(LOAD_HALF, 20),
    expect(1, 1),
    pass(u32::MAX),
    pass(0),
];

pub(super) const NEIGHBOUR_SOLICITATIONS: &[sock_filter] = &[
    load(LOAD_WORD, PACKET_TYPE),
    expect_at_most(LAST_OF_OURS, 9),
    load(LOAD_WORD, VLAN_TAG_PRESENT),
    expect(0, 7),
    // Ethertype.
    load(LOAD_HALF, 12),
    expect(0x86dd, 5),
    // Next header ICMPv6, hop limit 255.
    load(LOAD_HALF, 20),
    expect(58 << 8 | 255, 3),
    // Type: neighbour solicitation.
    load(LOAD_BYTE, 54),
    expect(135, 1),
    pass(u32::MAX),
    pass(0),
];
