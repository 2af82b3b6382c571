//! Classic BPF filters: questions and answers pass, and nothing else wakes us up.
//!
//! Answers are those that reach this host: what it asked for, and what is told to everybody. Both filters refuse frames that were for other hosts or that we sent (`SKF_AD_PKTTYPE`), and tagged ones, whose tag may be
//! in metadata where the frame does not show it (`SKF_AD_VLAN_TAG_PRESENT`). A load beyond the frame's end refuses.

use libc::sock_filter;

const LOAD_WORD: u16 = 0x20;
const LOAD_HALF: u16 = 0x28;
const LOAD_BYTE: u16 = 0x30;
const JUMP_EQUAL: u16 = 0x15;
const JUMP_GREATER: u16 = 0x25;
const JUMP_AT_LEAST: u16 = 0x35;
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

const fn expect_at_least(value: u32, to_refusal: u8) -> sock_filter {
    sock_filter {
        code: JUMP_AT_LEAST,
        jt: 0,
        jf: to_refusal,
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

/// Of IPv4 over Ethernet; which operation, is seen when it is parsed.
pub(super) const ARP: &[sock_filter] = &[
    load(LOAD_WORD, PACKET_TYPE),
    expect_at_most(LAST_OF_OURS, 7),
    load(LOAD_WORD, VLAN_TAG_PRESENT),
    expect(0, 5),
    // Ethertype.
    load(LOAD_HALF, 12),
    expect(0x0806, 3),
    // Operation: request or reply.
    load(LOAD_HALF, 20),
    expect_at_most(2, 1),
    pass(u32::MAX),
    pass(0),
];

pub(super) const NEIGHBOUR_DISCOVERY: &[sock_filter] = &[
    load(LOAD_WORD, PACKET_TYPE),
    expect_at_most(LAST_OF_OURS, 10),
    load(LOAD_WORD, VLAN_TAG_PRESENT),
    expect(0, 8),
    // Ethertype.
    load(LOAD_HALF, 12),
    expect(0x86dd, 6),
    // Next header ICMPv6, hop limit 255.
    load(LOAD_HALF, 20),
    expect(58 << 8 | 255, 4),
    // Type: neighbour solicitation or advertisement.
    load(LOAD_BYTE, 54),
    expect_at_most(136, 2),
    expect_at_least(135, 1),
    pass(u32::MAX),
    pass(0),
];
