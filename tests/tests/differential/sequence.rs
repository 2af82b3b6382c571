//! Packets that make sense only beside others: fragments of one datagram, ICMP errors about what was sent, and echo
//! requests.

use etherparse::{IcmpEchoHeader, Icmpv4Header, Icmpv4Type, Icmpv6Header, Icmpv6Type};

use super::packet::{Datagram, Piece, addresses, frame, packet};
use super::random::Random;
use super::world::{Address, World};

/// The frames of a datagram's fragments: in order, later before first, without the first, overlapping, or repeated.
pub(crate) fn fragments(random: &mut Random, mut datagram: Datagram) -> Vec<Vec<u8>> {
    let length = random.between(17, 300) as usize;
    datagram.payload.resize(length, 0xa5);
    // Few, so that one comes again while the memory of its former datagram lasts, and after it has passed.
    let identification = random.below(6) as u8;
    let mut pieces = Vec::new();
    let mut start = 0;
    while start < length {
        let end = (start + 8 * random.between(1, 16) as usize).min(length);
        pieces.push((start, end));
        start = end;
    }
    match random.below(7) {
        0 => pieces.reverse(),
        1 => {
            pieces.remove(0);
        }
        2 => pieces.insert(1, (8, 16)),
        3 => pieces.push((0, 16)),
        _ => {}
    }
    if pieces.is_empty() {
        pieces.push((8, length));
    }
    pieces
        .into_iter()
        .map(|(start, end)| {
            let part = Datagram {
                payload: datagram.payload[start..end].to_vec(),
                ..datagram.clone()
            };
            let piece = Piece {
                identification,
                offset: (start / 8) as u16,
                more: end < length,
            };
            let packet = packet(random, &part, Some(piece));
            frame(random, packet)
        })
        .collect()
}

/// The frame cut at every length that a test run takes, down from where its headers have ended.
pub(crate) fn cut_everywhere(frame: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let longest = frame.len().min(160);
    (14..longest).rev().map(|length| frame[..length].to_vec())
}

/// An ICMP error about what an endpoint behind the VIP answered to `sent`, from some router.
pub(crate) fn icmp_error(random: &mut Random, world: &World, sent: &Datagram) -> Vec<u8> {
    let is_v6 = matches!(sent.destination, Address::V6(_));
    let of_family = |address: &&Address| matches!(address, Address::V6(_)) == is_v6;
    let routers: Vec<Address> = world.sources.iter().filter(of_family).copied().collect();
    let vips = world.targets.iter().map(|target| &target.address);
    let vips: Vec<Address> = vips.filter(of_family).copied().collect();
    let mut about = answer_to(sent);
    if random.chance(8) {
        about.source = random.pick(&vips);
    }
    let piece = random.chance(10).then(|| Piece {
        identification: random.below(6) as u8,
        offset: random.pick(&[0, 0, 0, 1, 185]),
        more: random.chance(70),
    });
    let mut quote = packet(random, &about, piece);
    let header = if is_v6 {
        40
    } else {
        usize::from(quote[0] & 0x0f) * 4
    };
    let longest = quote.len() as u64;
    quote.truncate(match random.below(10) {
        0..=4 => header + 8,
        5 | 6 => random.below(longest + 1) as usize,
        _ => 548,
    });
    let (protocol, kind) = if is_v6 {
        (58, random.pick(&[1, 2, 2, 2, 3, 4, 5, 100]))
    } else {
        (1, random.pick(&[3, 3, 3, 11, 12, 4, 5, 0]))
    };
    let mut payload = vec![kind, random.below(6) as u8, 0, 0, 0, 0, 5, 0xdc];
    payload.extend(quote);
    let error = Datagram {
        source: random.pick(&routers),
        destination: if random.chance(4) {
            random.pick(&vips)
        } else {
            about.source
        },
        protocol,
        payload,
    };
    let packet = packet(random, &error, None);
    frame(random, packet)
}

/// The same flow the other way.
fn answer_to(sent: &Datagram) -> Datagram {
    let mut payload = sent.payload.clone();
    if matches!(sent.protocol, 6 | 17 | 132) {
        payload[..4].rotate_left(2);
    }
    Datagram {
        source: sent.destination,
        destination: sent.source,
        protocol: sent.protocol,
        payload,
    }
}

/// An echo request with a right checksum.
pub(crate) fn echo_request(random: &mut Random, world: &World) -> Vec<u8> {
    let target = &world.targets[random.below(world.targets.len() as u64) as usize];
    let (source, destination) = addresses(random, world, target);
    let mut data = vec![0; random.below(80) as usize];
    random.fill(&mut data);
    let echo = IcmpEchoHeader {
        id: random.next() as u16,
        seq: random.next() as u16,
    };
    let (protocol, header) = match (source, destination) {
        (Address::V6(source), Address::V6(destination)) => {
            let kind = Icmpv6Type::EchoRequest(echo);
            let header = Icmpv6Header::with_checksum(kind, source, destination, &data);
            (58, header.expect("a short payload").to_bytes().to_vec())
        }
        _ => {
            let header = Icmpv4Header::with_checksum(Icmpv4Type::EchoRequest(echo), &data);
            (1, header.to_bytes().to_vec())
        }
    };
    let request = Datagram {
        source,
        destination,
        protocol,
        payload: [header, data].concat(),
    };
    let packet = packet(random, &request, None);
    frame(random, packet)
}
