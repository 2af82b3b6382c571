//! Packets made by hand, with `etherparse` and not the project's own wire code, which is the point.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

use etherparse::{EtherType, Ethernet2Slice, Ipv4HeaderSlice, Ipv6HeaderSlice, PacketBuilder};
use nix::sys::socket::{MsgFlags, SockaddrStorage};

use crate::netns::Namespace;

/// A whole IP packet of one UDP datagram, checksums filled in.
pub fn udp(from: SocketAddr, to: SocketAddr, payload: &[u8]) -> Vec<u8> {
    let builder = match (from.ip(), to.ip()) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            PacketBuilder::ipv4(source.octets(), destination.octets(), 64)
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            PacketBuilder::ipv6(source.octets(), destination.octets(), 64)
        }
        _ => panic!("{from} and {to} are of different families"),
    };
    let mut packet = Vec::new();
    builder
        .udp(from.port(), to.port())
        .write(&mut packet, payload)
        .expect("a packet into memory");
    packet
}

/// Sends `inner`, a whole IP packet, inside an outer IP header that the kernel makes.
pub fn send_encapsulated(from: &Namespace, to: IpAddr, inner: &[u8]) {
    let protocol = if inner[0] >> 4 == 4 {
        libc::IPPROTO_IPIP
    } else {
        libc::IPPROTO_IPV6
    };
    send(from, None, to, protocol as u8, inner);
}

/// Sends what follows the IP header, which the kernel makes; it cuts into fragments what is too big.
#[track_caller]
pub fn send(namespace: &Namespace, from: Option<IpAddr>, to: IpAddr, protocol: u8, payload: &[u8]) {
    let sent = namespace.run(|| send_raw(from, to, protocol, payload));
    sent.unwrap_or_else(|error| panic!("sending a packet of protocol {protocol} to {to}: {error}"));
}

fn send_raw(from: Option<IpAddr>, to: IpAddr, protocol: u8, payload: &[u8]) -> io::Result<()> {
    let family = if to.is_ipv4() {
        libc::AF_INET
    } else {
        libc::AF_INET6
    };
    // SAFETY: socket has no preconditions.
    let raw = unsafe { libc::socket(family, libc::SOCK_RAW | libc::SOCK_CLOEXEC, protocol.into()) };
    if raw < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a descriptor that was just made and that nobody else owns.
    let socket = unsafe { OwnedFd::from_raw_fd(raw) };
    let with_port = |address| SockaddrStorage::from(SocketAddr::new(address, 0));
    if let Some(from) = from {
        nix::sys::socket::bind(socket.as_raw_fd(), &with_port(from))?;
    }
    nix::sys::socket::sendto(socket.as_raw_fd(), payload, &with_port(to), MsgFlags::empty())?;
    Ok(())
}

/// An IP packet as somebody received it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    pub source: IpAddr,
    pub destination: IpAddr,
    /// As the IP header names it: IPv6 extension headers are not walked.
    pub protocol: u8,
    pub hop_limit: u8,
    /// All that follows the IP header.
    pub payload: Vec<u8>,
}

impl Received {
    /// Nothing if the frame holds no IP packet.
    pub fn of_frame(frame: &[u8]) -> Option<Self> {
        let ethernet = Ethernet2Slice::from_slice_without_fcs(frame).ok()?;
        let packet = ethernet.payload_slice();
        match ethernet.ether_type() {
            EtherType::IPV4 => {
                let header = Ipv4HeaderSlice::from_slice(packet).ok()?;
                Some(Self {
                    source: header.source_addr().into(),
                    destination: header.destination_addr().into(),
                    protocol: header.protocol().0,
                    hop_limit: header.ttl(),
                    payload: packet
                        .get(header.slice().len()..header.total_len().into())?
                        .to_vec(),
                })
            }
            EtherType::IPV6 => {
                let header = Ipv6HeaderSlice::from_slice(packet).ok()?;
                let start = header.slice().len();
                Some(Self {
                    source: header.source_addr().into(),
                    destination: header.destination_addr().into(),
                    protocol: header.next_header().0,
                    hop_limit: header.hop_limit(),
                    payload: packet
                        .get(start..start + usize::from(header.payload_length()))?
                        .to_vec(),
                })
            }
            _ => None,
        }
    }
}
