//! Frames for tests, made by etherparse: independent of the code that reads them.

use etherparse::{
    EtherType, Ethernet2Header, IpNumber, Ipv4Header, Ipv6Header, SingleVlanHeader, TcpHeader, UdpHeader,
};

pub(crate) const CLIENT: [u8; 4] = [198, 51, 100, 7];
pub(crate) const VIP: [u8; 4] = [203, 0, 113, 9];
pub(crate) const CLIENT6: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7];
pub(crate) const VIP6: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9];

/// What [`frame`]s are sent to.
pub(crate) const OWN_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];

pub(crate) const SYN: u8 = 1;
pub(crate) const ACK: u8 = 2;
pub(crate) const FIN: u8 = 4;
pub(crate) const RST: u8 = 8;

/// `flags` are the constants above.
pub(crate) fn tcp(source: u16, destination: u16, flags: u8) -> Vec<u8> {
    let mut header = TcpHeader::new(source, destination, 1, 1000);
    header.syn = flags & SYN != 0;
    header.ack = flags & ACK != 0;
    header.fin = flags & FIN != 0;
    header.rst = flags & RST != 0;
    header.to_bytes().to_vec()
}

pub(crate) fn udp(source: u16, destination: u16) -> Vec<u8> {
    let header = UdpHeader {
        source_port: source,
        destination_port: destination,
        length: 8,
        checksum: 0,
    };
    header.to_bytes().to_vec()
}

pub(crate) fn ipv4(protocol: u8, payload: &[u8]) -> Vec<u8> {
    ipv4_with(protocol, payload, |_| {})
}

pub(crate) fn ipv4_with(protocol: u8, payload: &[u8], change: impl FnOnce(&mut Ipv4Header)) -> Vec<u8> {
    let length = payload.len() as u16;
    let mut header = Ipv4Header::new(length, 64, IpNumber(protocol), CLIENT, VIP).expect("a short payload");
    change(&mut header);
    header.set_payload_len(payload.len()).expect("a short payload");
    header.header_checksum = header.calc_header_checksum();
    [&header.to_bytes()[..], payload].concat()
}

pub(crate) fn ipv6(next: u8, payload: &[u8]) -> Vec<u8> {
    ipv6_with(next, payload, |_| {})
}

pub(crate) fn ipv6_with(next: u8, payload: &[u8], change: impl FnOnce(&mut Ipv6Header)) -> Vec<u8> {
    let mut header = Ipv6Header {
        payload_length: payload.len() as u16,
        next_header: IpNumber(next),
        hop_limit: 64,
        source: CLIENT6,
        destination: VIP6,
        ..Ipv6Header::default()
    };
    change(&mut header);
    [&header.to_bytes()[..], payload].concat()
}

/// The frame of an IP packet behind `tags` tags.
pub(crate) fn frame(tags: usize, packet: &[u8]) -> Vec<u8> {
    let ethertype = match packet[0] >> 4 {
        4 => EtherType::IPV4,
        _ => EtherType::IPV6,
    };
    let types = [
        EtherType::PROVIDER_BRIDGING,
        EtherType::VLAN_TAGGED_FRAME,
        EtherType::VLAN_TAGGED_FRAME,
    ];
    let mut chain: Vec<EtherType> = types[3 - tags..].to_vec();
    chain.push(ethertype);
    let ethernet = Ethernet2Header {
        source: [2, 0, 0, 0, 0, 2],
        destination: OWN_MAC,
        ether_type: chain[0],
    };
    let mut bytes = ethernet.to_bytes().to_vec();
    for next in &chain[1..] {
        let tag = SingleVlanHeader {
            ether_type: *next,
            ..SingleVlanHeader::default()
        };
        bytes.extend(tag.to_bytes());
    }
    bytes.extend(packet);
    bytes
}

/// Address bytes as the words that the packet path holds.
pub(crate) fn words(bytes: &[u8]) -> [u32; 4] {
    let mut words = [0; 4];
    for (word, chunk) in words.iter_mut().zip(bytes.chunks(4)) {
        *word = u32::from_ne_bytes(chunk.try_into().expect("whole words"));
    }
    words
}
