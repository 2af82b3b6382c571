//! Packets made by hand, with `etherparse` and not the project's own wire code, which is the point.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

use etherparse::PacketBuilder;

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
    let sent = from.run(|| send_raw(to, protocol, inner));
    sent.unwrap_or_else(|error| panic!("sending an encapsulated packet to {to}: {error}"));
}

fn send_raw(to: IpAddr, protocol: i32, payload: &[u8]) -> io::Result<()> {
    let family = if to.is_ipv4() {
        libc::AF_INET
    } else {
        libc::AF_INET6
    };
    // SAFETY: socket has no preconditions.
    let raw = unsafe { libc::socket(family, libc::SOCK_RAW | libc::SOCK_CLOEXEC, protocol) };
    if raw < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a descriptor that was just made and that nobody else owns.
    let socket = unsafe { OwnedFd::from_raw_fd(raw) };
    let address = nix::sys::socket::SockaddrStorage::from(SocketAddr::new(to, 0));
    nix::sys::socket::sendto(
        socket.as_raw_fd(),
        payload,
        &address,
        nix::sys::socket::MsgFlags::empty(),
    )?;
    Ok(())
}
