//! Random frames: mostly for a VIP, mostly of few flows, some cut short or damaged.

use std::collections::VecDeque;

use etherparse::{
    EtherType, Ethernet2Header, IpDscp, IpEcn, IpFragOffset, IpNumber, Ipv4Header, Ipv4Options, Ipv6Header,
    SingleVlanHeader, TcpHeader, UdpHeader, VlanId,
};

use super::random::Random;
use super::sequence;
use super::world::{Address, OWN_MACS, Target, World};

/// The kernel refuses a test run of less than an Ethernet header.
const SHORTEST: u64 = 14;
/// What fits a page beside headroom and tailroom.
const LONGEST: usize = 3400;

pub(crate) struct Generator {
    /// Frames that come again.
    recent: Vec<Vec<u8>>,
    /// What they carried: what ICMP errors are about.
    sent: Vec<Datagram>,
    /// The rest of a sequence.
    coming: VecDeque<Vec<u8>>,
}

/// What an IP packet carries, and between which ends.
#[derive(Clone, Debug)]
pub(crate) struct Datagram {
    pub(crate) source: Address,
    pub(crate) destination: Address,
    pub(crate) protocol: u8,
    pub(crate) payload: Vec<u8>,
}

/// Which part of its datagram a packet is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Piece {
    pub(crate) identification: u8,
    /// In units of 8 bytes.
    pub(crate) offset: u16,
    pub(crate) more: bool,
}

/// How many frames are remembered.
const MEMORY: usize = 40;

impl Generator {
    pub(crate) fn new() -> Self {
        Self {
            recent: Vec::new(),
            sent: Vec::new(),
            coming: VecDeque::new(),
        }
    }

    pub(crate) fn next(&mut self, random: &mut Random, world: &World) -> Vec<u8> {
        let mut frame = self.whole(random, world);
        if random.chance(6) {
            frame.truncate(random.between(SHORTEST, frame.len() as u64) as usize);
        }
        if random.chance(6) {
            for _ in 0..random.between(1, 3) {
                let place = random.below(frame.len().min(100) as u64) as usize;
                frame[place] = random.next() as u8;
            }
        }
        frame.truncate(LONGEST);
        frame
    }

    fn whole(&mut self, random: &mut Random, world: &World) -> Vec<u8> {
        if !self.coming.is_empty() && random.chance(50) {
            return self.coming.pop_front().expect("it is not empty");
        }
        match random.below(100) {
            _ if self.recent.is_empty() => self.fresh(random, world),
            _ if random.below(1000) == 0 => {
                let about = &self.sent[random.below(self.sent.len() as u64) as usize];
                let error = sequence::icmp_error(random, world, about);
                self.coming.extend(sequence::cut_everywhere(&error));
                error
            }
            0..=14 => {
                let about = &self.sent[random.below(self.sent.len() as u64) as usize];
                sequence::icmp_error(random, world, about)
            }
            15..=19 => {
                let datagram = datagram(random, world);
                self.coming.extend(sequence::fragments(random, datagram));
                self.coming.pop_front().expect("no datagram is without fragments")
            }
            20..=22 => sequence::echo_request(random, world),
            23..=70 => self.fresh(random, world),
            _ => self.recent[random.below(self.recent.len() as u64) as usize].clone(),
        }
    }

    fn fresh(&mut self, random: &mut Random, world: &World) -> Vec<u8> {
        let datagram = datagram(random, world);
        let packet = packet(random, &datagram, None);
        let frame = frame(random, packet);
        if self.recent.len() < MEMORY {
            self.recent.push(frame.clone());
            self.sent.push(datagram);
        } else {
            let place = random.below(MEMORY as u64) as usize;
            self.recent[place].clone_from(&frame);
            self.sent[place] = datagram;
        }
        frame
    }
}

fn datagram(random: &mut Random, world: &World) -> Datagram {
    let target = &world.targets[random.below(world.targets.len() as u64) as usize];
    let (source, destination) = addresses(random, world, target);
    let (protocol, payload) = transport(random, target, matches!(destination, Address::V6(_)));
    Datagram {
        source,
        destination,
        protocol,
        payload,
    }
}

/// The IP packet.
pub(crate) fn packet(random: &mut Random, datagram: &Datagram, piece: Option<Piece>) -> Vec<u8> {
    match (datagram.source, datagram.destination) {
        (Address::V4(source), Address::V4(destination)) => ipv4(random, source, destination, datagram, piece),
        (Address::V6(source), Address::V6(destination)) => ipv6(random, source, destination, datagram, piece),
        _ => unreachable!("the source is of the destination's family"),
    }
}

/// The frame of an IP packet.
pub(crate) fn frame(random: &mut Random, packet: Vec<u8>) -> Vec<u8> {
    let ethertype = match packet[0] >> 4 {
        _ if random.chance(1) => EtherType::ARP,
        4 => EtherType::IPV4,
        _ => EtherType::IPV6,
    };
    let mut bytes = Vec::new();
    link(random, ethertype, &mut bytes);
    bytes.extend(packet);
    if random.chance(10) {
        // Ethernet padding, or what a neighbour left in its buffer.
        let mut padding = vec![0; random.between(1, 40) as usize];
        random.fill(&mut padding);
        bytes.extend(padding);
    }
    bytes
}

/// Some are no client's, some may not leave their link, some are clients like any.
const STRANGE4: [[u8; 4]; 9] = [
    [0, 0, 0, 0],
    [0, 1, 2, 3],
    [127, 0, 0, 1],
    [128, 0, 0, 1],
    [169, 254, 3, 4],
    [224, 0, 0, 5],
    [239, 1, 2, 3],
    [240, 0, 0, 1],
    [255; 4],
];
const STRANGE6: [[u8; 16]; 8] = [
    [0; 16],
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2],
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 1],
    [0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0, 10, 0, 0, 1],
    [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7],
    [0xfe, 0xc0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7],
    [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
];

pub(crate) fn addresses(random: &mut Random, world: &World, target: &Target) -> (Address, Address) {
    let same_family =
        |source: &&Address| std::mem::discriminant(*source) == std::mem::discriminant(&target.address);
    let sources: Vec<Address> = world.sources.iter().filter(same_family).copied().collect();
    let source = match (random.below(40), target.address) {
        (0, Address::V4(_)) => Address::V4(random.pick(&STRANGE4)),
        (0, Address::V6(_)) => Address::V6(random.pick(&STRANGE6)),
        (1, address) => address,
        (2, Address::V6(mut bytes)) => {
            bytes[15] ^= 1;
            Address::V6(bytes)
        }
        _ => random.pick(&sources),
    };
    let destination = match target.address {
        Address::V4(_) if random.chance(4) => Address::V4([192, 0, 2, random.next() as u8]),
        Address::V6(mut bytes) => {
            // Anywhere in the /96, or just outside; half of them to the address itself.
            if random.chance(50) {
                let free = 12 + random.below(4) as usize;
                random.fill(&mut bytes[free..]);
            }
            if random.chance(4) {
                bytes[11] = 1;
            }
            Address::V6(bytes)
        }
        address => address,
    };
    (source, destination)
}

/// Mostly this host; or another one, one that differs from it in one byte, a group, or everybody.
fn recipient(random: &mut Random) -> [u8; 6] {
    let [mut own, other] = OWN_MACS;
    match random.below(50) {
        0 => [0xff; 6],
        1 => [0x01, 0, 0x5e, 0, 0, 1],
        2 => {
            own[random.below(6) as usize] ^= 4;
            own
        }
        3..=12 => other,
        _ => own,
    }
}

fn link(random: &mut Random, ethertype: EtherType, bytes: &mut Vec<u8>) {
    let tags = match random.below(50) {
        0..=29 => 0,
        30..=39 => 1,
        40..=48 => 2,
        _ => 3,
    };
    let tag_type = |random: &mut Random| {
        if random.chance(70) {
            EtherType::VLAN_TAGGED_FRAME
        } else {
            EtherType::PROVIDER_BRIDGING
        }
    };
    let mut source = [0; 6];
    random.fill(&mut source);
    let mut next = if tags == 0 { ethertype } else { tag_type(random) };
    let header = Ethernet2Header {
        source,
        destination: recipient(random),
        ether_type: next,
    };
    header.write(bytes).expect("writing to memory");
    for left in (0..tags).rev() {
        next = if left == 0 { ethertype } else { tag_type(random) };
        let tag = SingleVlanHeader {
            vlan_id: VlanId::try_new(random.below(4096) as u16).expect("12 bits"),
            ether_type: next,
            ..SingleVlanHeader::default()
        };
        tag.write(bytes).expect("writing to memory");
    }
}

fn ipv4(
    random: &mut Random,
    source: [u8; 4],
    destination: [u8; 4],
    datagram: &Datagram,
    piece: Option<Piece>,
) -> Vec<u8> {
    let payload = &datagram.payload;
    let mut header = Ipv4Header::new(
        payload.len() as u16,
        random.pick(&[64, 64, 64, 64, 255, 2, 1, 0]),
        IpNumber(datagram.protocol),
        source,
        destination,
    )
    .expect("the payload is short");
    header.dscp = IpDscp::try_new(random.below(64) as u8).expect("6 bits");
    header.ecn = IpEcn::try_new(random.below(4) as u8).expect("2 bits");
    header.dont_fragment = random.chance(50);
    if random.chance(5) {
        header.more_fragments = true;
    }
    if random.chance(3) {
        header.fragment_offset = IpFragOffset::try_new(random.below(8192) as u16).expect("13 bits");
    }
    if let Some(piece) = piece {
        header.identification = u16::from(piece.identification) << 8;
        header.more_fragments = piece.more;
        header.fragment_offset = IpFragOffset::try_new(piece.offset).expect("13 bits");
    }
    if random.chance(15) {
        let mut options = vec![1; 4 * random.between(1, 10) as usize];
        options[0] = 0;
        header.options = Ipv4Options::try_from(options.as_slice()).expect("whole words");
        header
            .set_payload_len(payload.len())
            .expect("the payload is short");
    }
    header.header_checksum = header.calc_header_checksum();
    let mut bytes = Vec::new();
    header.write_raw(&mut bytes).expect("writing to memory");
    bytes.extend(payload);
    bytes
}

fn ipv6(
    random: &mut Random,
    source: [u8; 16],
    destination: [u8; 16],
    datagram: &Datagram,
    piece: Option<Piece>,
) -> Vec<u8> {
    let extensions = match piece {
        Some(_) => random.below(3),
        None if random.chance(20) => random.pick(&[1, 1, 1, 2, 2, 3, 5, 6, 7, 8]),
        None => 0,
    };
    let mut next = datagram.protocol;
    let mut chain: Vec<u8> = Vec::new();
    if let Some(piece) = piece {
        chain = fragment_header(next, piece.offset, piece.more, piece.identification);
        next = 44;
    }
    for _ in 0..extensions {
        let (number, mut header) = extension(random, next);
        header.extend(chain);
        chain = header;
        next = number;
    }
    let header = Ipv6Header {
        traffic_class: random.next() as u8,
        payload_length: (chain.len() + datagram.payload.len()) as u16,
        next_header: IpNumber(next),
        hop_limit: random.pick(&[64, 64, 64, 255, 255, 2, 1, 0]),
        source,
        destination,
        ..Ipv6Header::default()
    };
    [&header.to_bytes()[..], &chain, &datagram.payload].concat()
}

/// By hand from RFC 8200 §4.5: etherparse 0.19 writes the M flag into the offset.
fn fragment_header(next: u8, offset: u16, more: bool, identification: u8) -> Vec<u8> {
    let [high, low] = ((offset << 3) | u16::from(more)).to_be_bytes();
    vec![next, 0, high, low, 0, 0, 0, identification]
}

fn extension(random: &mut Random, next: u8) -> (u8, Vec<u8>) {
    if random.chance(25) {
        let offset = if random.chance(30) {
            random.below(8192) as u16
        } else {
            0
        };
        let (more, identification) = (random.chance(50), random.next() as u8);
        return (44, fragment_header(next, offset, more, identification));
    }
    let length = random.below(3) as u8;
    let mut header = vec![0; 8 * (usize::from(length) + 1)];
    random.fill(&mut header);
    header[0] = next;
    header[1] = length;
    let number = random.pick(&[0, 43, 60]);
    if number == 43 && random.chance(70) {
        // No segments left: the destination is the last one.
        header[3] = 0;
    }
    (number, header)
}

const PROTOCOLS: [u8; 16] = [6, 6, 6, 6, 17, 17, 17, 132, 1, 58, 50, 51, 47, 0, 59, 99];

fn transport(random: &mut Random, target: &Target, v6: bool) -> (u8, Vec<u8>) {
    let source_port = 40_000 + random.below(6) as u16;
    let any = (random.pick(&PROTOCOLS), random.next() as u16);
    let (protocol, port) = match random.below(100) {
        0..=84 if !target.claims.is_empty() => random.pick(&target.claims),
        _ => any,
    };
    let protocol = match protocol {
        0 => any.0,
        1 if v6 => 58,
        protocol => protocol,
    };
    let mut bytes = Vec::new();
    match protocol {
        6 => {
            let mut header = TcpHeader::new(source_port, port, random.next() as u32, 1000);
            (header.syn, header.ack) =
                random.pick(&[(true, false), (true, true), (false, true), (false, false)]);
            (header.fin, header.rst) = (random.chance(10), random.chance(5));
            if random.chance(20) {
                header.set_options_raw(&[1; 20]).expect("whole words");
            }
            header.write(&mut bytes).expect("writing to memory");
        }
        17 => {
            let header = UdpHeader {
                source_port,
                destination_port: port,
                ..UdpHeader::default()
            };
            header.write(&mut bytes).expect("writing to memory");
        }
        132 => {
            bytes.extend(source_port.to_be_bytes());
            bytes.extend(port.to_be_bytes());
            let tag = random.pick(&[[0; 4], [0, 0, 0, 1]]);
            bytes.extend(tag);
            bytes.extend([0, 0, 0, 0, random.pick(&[0, 1, 1, 2]), 0, 0, 4]);
        }
        58 => bytes.extend([
            random.pick(&[128, 1, 2, 133, 134, 135, 136, 137]),
            0,
            0,
            0,
            0,
            0,
            0,
            0,
        ]),
        1 => bytes.extend([random.pick(&[8, 0, 3]), 0, 0, 0, 0, 0, 0, 0]),
        _ => {}
    }
    let length = match random.below(10) {
        0 => random.between(500, 1700),
        1 => random.between(0, 600),
        _ => random.between(0, 40),
    };
    bytes.resize(bytes.len() + length as usize, 0x5a);
    (protocol, bytes)
}
