//! Frames of one flow, with headers by etherparse.

use std::net::IpAddr;

use etherparse::{EtherType, Ethernet2Header, IpNumber, Ipv4Header, Ipv6Header, TcpHeader, UdpHeader};

use super::bench::OWN_MAC;
use super::rows::Case;

/// The addresses and ports that name a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    pub source: IpAddr,
    pub destination: IpAddr,
    pub source_port: u16,
    pub destination_port: u16,
}

impl Ends {
    pub fn swapped(self) -> Self {
        Self {
            source: self.destination,
            destination: self.source,
            source_port: self.destination_port,
            destination_port: self.source_port,
        }
    }
}

/// Where in a flow a packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    First,
    Further,
}

/// A whole frame.
pub fn frame(case: &Case, ends: &Ends, position: Position) -> Vec<u8> {
    let is_syn = case.is_syn || position == Position::First;
    let payload = transport(case.protocol, ends, is_syn);
    network(case, ends, &payload, case.is_fragment.then_some(Fragment::FIRST))
}

/// The place of a fragment in its datagram.
#[derive(Clone, Copy, Debug)]
pub struct Fragment {
    pub identification: u16,
    /// Units of 8 bytes.
    pub offset: u16,
    pub more: bool,
}

impl Fragment {
    pub const FIRST: Self = Self {
        identification: 1,
        offset: 0,
        more: true,
    };
}

/// A frame of this transport payload.
pub fn network(case: &Case, ends: &Ends, payload: &[u8], fragment: Option<Fragment>) -> Vec<u8> {
    let mut frame = Vec::new();
    let link = |ether_type| Ethernet2Header {
        source: [2, 0, 0, 0, 0, 1],
        destination: OWN_MAC,
        ether_type,
    };
    match (ends.source, ends.destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            link(EtherType::IPV4)
                .write(&mut frame)
                .expect("writing to memory");
            let length = payload.len() as u16;
            let mut header = Ipv4Header::new(
                length,
                64,
                IpNumber(case.protocol),
                source.octets(),
                destination.octets(),
            )
            .expect("a short payload");
            if let Some(fragment) = fragment {
                header.identification = fragment.identification;
                header.more_fragments = fragment.more;
                header.fragment_offset = fragment.offset.try_into().expect("13 bits");
                header.dont_fragment = false;
            }
            header.header_checksum = header.calc_header_checksum();
            header.write(&mut frame).expect("writing to memory");
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            link(EtherType::IPV6)
                .write(&mut frame)
                .expect("writing to memory");
            let extension = fragment.map_or(Vec::new(), |fragment| fragment_header(case.protocol, fragment));
            let header = Ipv6Header {
                payload_length: (extension.len() + payload.len()) as u16,
                next_header: IpNumber(if fragment.is_some() { 44 } else { case.protocol }),
                hop_limit: 64,
                source: source.octets(),
                destination: destination.octets(),
                ..Ipv6Header::default()
            };
            header.write(&mut frame).expect("writing to memory");
            frame.extend(extension);
        }
        _ => panic!("{ends:?} are of different families"),
    }
    frame.extend(payload);
    frame
}

/// By hand from RFC 8200 §4.5: etherparse 0.19 writes the M flag into the offset.
fn fragment_header(next: u8, fragment: Fragment) -> Vec<u8> {
    let [high, low] = ((fragment.offset << 3) | u16::from(fragment.more)).to_be_bytes();
    let [first, second] = fragment.identification.to_be_bytes();
    vec![next, 0, high, low, 0, 0, first, second]
}

/// A transport header and a few bytes.
pub fn transport(protocol: u8, ends: &Ends, is_syn: bool) -> Vec<u8> {
    let mut bytes = Vec::new();
    match protocol {
        6 => {
            let mut header = TcpHeader::new(ends.source_port, ends.destination_port, 7, 1000);
            (header.syn, header.ack) = (is_syn, !is_syn);
            header.write(&mut bytes).expect("writing to memory");
        }
        17 => {
            let header = UdpHeader {
                source_port: ends.source_port,
                destination_port: ends.destination_port,
                length: 24,
                checksum: 0,
            };
            header.write(&mut bytes).expect("writing to memory");
        }
        132 => {
            bytes.extend(ends.source_port.to_be_bytes());
            bytes.extend(ends.destination_port.to_be_bytes());
            // Verification tag, checksum, the header of the first chunk: INIT, or DATA.
            let (tag, chunk) = if is_syn { ([0; 4], 1) } else { ([1, 2, 3, 4], 0) };
            bytes.extend(tag);
            bytes.extend([0; 4]);
            bytes.extend([chunk, 0, 0, 20]);
        }
        1 => bytes.extend([8, 0, 0, 0, 0, 1, 0, 1]),
        58 => bytes.extend([128, 0, 0, 0, 0, 1, 0, 1]),
        _ => {}
    }
    bytes.extend([0x5a; 16]);
    bytes
}
