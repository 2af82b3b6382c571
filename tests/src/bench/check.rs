//! Whether the last packet of a run is what it should be: sent to an endpoint, with headers that a receiver accepts.

use anyhow::{Context as _, Result, ensure};
use etherparse::{Ipv4HeaderSlice, Ipv6HeaderSlice, UdpHeaderSlice};

use super::generator::{Last, Load};
use super::world::{Delivery, OWN_IPV4, OWN_MAC, endpoint, mac};
use crate::conformance::bench::{XDP_PASS, XDP_TX};

const ETHERNET: usize = 14;

/// Independent of the code that wrote it: by etherparse.
pub(super) fn delivered(delivery: Delivery, is_ours: bool, load: &Load, last: &Last) -> Result<()> {
    let frame = &last.frame[..];
    if !is_ours {
        ensure!(
            last.action == XDP_PASS,
            "a packet that is not ours was not passed: action {}",
            last.action
        );
        return inner(load, &frame[ETHERNET..], false);
    }
    ensure!(
        last.action == XDP_TX,
        "a packet was not sent: action {}",
        last.action
    );
    ensure!(
        frame[6..12] == OWN_MAC,
        "the source address is {:02x?}",
        &frame[6..12]
    );
    let number = u32::from_be_bytes(frame[2..6].try_into()?);
    ensure!(
        frame[..6] == mac(number),
        "the destination address is {:02x?}",
        &frame[..6]
    );
    match delivery {
        Delivery::L2 => inner(load, &frame[ETHERNET..], false),
        Delivery::Ipip => inner(load, outer(frame, number, &[4, 41])?, true),
        Delivery::Gue => {
            let datagram = outer(frame, number, &[17])?;
            let header = UdpHeaderSlice::from_slice(datagram).context("the outer UDP header")?;
            ensure!(
                header.destination_port() == lb_ctl::settings::GUE_PORT,
                "the outer port is {}",
                header.destination_port()
            );
            ensure!(
                usize::from(header.length()) == length(load) + 8,
                "the outer length is {}",
                header.length()
            );
            inner(load, &datagram[8..], true)
        }
    }
}

/// Whether the kernel routed this packet of IPv4, and gave it the address of the endpoint if it was to.
pub(super) fn routed(load: &Load, frame: &[u8], is_translated: bool) -> Result<()> {
    let number = u32::from_be_bytes(frame[2..6].try_into()?);
    ensure!(
        frame[..6] == mac(number),
        "the destination address is {:02x?}",
        &frame[..6]
    );
    let header = Ipv4HeaderSlice::from_slice(&frame[ETHERNET..]).context("the header")?;
    let destination = if is_translated {
        endpoint(number, false)
    } else {
        std::net::Ipv4Addr::from(<[u8; 4]>::try_from(&load.frame[30..34])?).into()
    };
    ensure!(
        destination == header.destination_addr(),
        "to {}",
        header.destination_addr()
    );
    inner(load, &frame[ETHERNET..], true)
}

/// What is behind the outer header.
fn outer<'a>(frame: &'a [u8], number: u32, protocols: &[u8]) -> Result<&'a [u8]> {
    let packet = &frame[ETHERNET..];
    if packet[0] >> 4 == 6 {
        let header = Ipv6HeaderSlice::from_slice(packet).context("the outer header")?;
        ensure!(
            endpoint(number, true) == header.destination_addr(),
            "to {}",
            header.destination_addr()
        );
        ensure!(
            protocols.contains(&header.next_header().0),
            "{:?}",
            header.next_header()
        );
        return Ok(&packet[40..]);
    }
    let header = Ipv4HeaderSlice::from_slice(packet).context("the outer header")?;
    ensure!(
        endpoint(number, false) == header.destination_addr(),
        "to {}",
        header.destination_addr()
    );
    ensure!(header.source_addr() == OWN_IPV4, "from {}", header.source_addr());
    ensure!(
        protocols.contains(&header.protocol().0),
        "{:?}",
        header.protocol()
    );
    ensure!(
        header.to_header().calc_header_checksum() == header.header_checksum(),
        "the outer checksum"
    );
    Ok(&packet[20..])
}

/// Length of the IP packet, without what pads the frame.
fn length(load: &Load) -> usize {
    let packet = &load.frame[ETHERNET..];
    match packet[0] >> 4 {
        6 => 40 + usize::from(u16::from_be_bytes([packet[4], packet[5]])),
        _ => usize::from(u16::from_be_bytes([packet[2], packet[3]])),
    }
}

/// The client's packet: a flow's addresses and ports, everything else as it was sent.
fn inner(load: &Load, packet: &[u8], is_routed: bool) -> Result<()> {
    let sent = &load.frame[ETHERNET..];
    ensure!(
        packet.len() >= length(load),
        "the packet is {} bytes long",
        packet.len()
    );
    let hop_limit = 64 - u8::from(is_routed);
    let transport = if sent[0] >> 4 == 6 {
        let header = Ipv6HeaderSlice::from_slice(packet).context("the client's header")?;
        ensure!(
            header.hop_limit() == hop_limit,
            "the hop limit is {}",
            header.hop_limit()
        );
        ensure!(
            header.destination() == sent[24..40],
            "the destination is {:?}",
            header.destination_addr()
        );
        40
    } else {
        let header = Ipv4HeaderSlice::from_slice(packet).context("the client's header")?;
        ensure!(header.ttl() == hop_limit, "the time to live is {}", header.ttl());
        ensure!(
            header.to_header().calc_header_checksum() == header.header_checksum(),
            "the client's checksum"
        );
        20
    };
    // The source port is the flow's.
    ensure!(
        packet[transport + 2..length(load)] == sent[transport + 2..length(load)],
        "the client's data changed"
    );
    Ok(())
}
