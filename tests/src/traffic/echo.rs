//! ICMP echo, as `ping` sends it: the kernel's own ping socket.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::time::{Duration, Instant};

use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket};

use crate::netns::Namespace;

const HEADER: usize = 8;
const REQUEST4: u8 = 8;
const REQUEST6: u8 = 128;
const LARGEST: usize = 65_536;

pub struct Ping {
    socket: UdpSocket,
    request: u8,
    sequence: u16,
}

impl Ping {
    pub fn to(client: &Namespace, to: IpAddr) -> Self {
        Self::start(client, None, to)
    }

    /// `from` is one of the client's addresses.
    pub fn from_to(client: &Namespace, from: IpAddr, to: IpAddr) -> Self {
        Self::start(client, Some(from), to)
    }

    fn start(client: &Namespace, from: Option<IpAddr>, to: IpAddr) -> Self {
        client.sysctl(&[("ipv4/ping_group_range", "0 0")]);
        let socket = client.run(|| open(from, to));
        let socket = socket.unwrap_or_else(|error| panic!("a ping socket to {to}: {error}"));
        let request = if to.is_ipv4() { REQUEST4 } else { REQUEST6 };
        Self {
            socket,
            request,
            sequence: 0,
        }
    }

    /// Every request over IPv6 carries destination options from now on: four bytes that mean nothing (RFC 8200 §4.6).
    pub fn add_destination_options(&self) {
        const PADDING: [u8; 8] = [0, 0, 1, 4, 0, 0, 0, 0];
        // SAFETY: the descriptor is open, and the options outlive the call.
        let result = unsafe {
            libc::setsockopt(
                self.socket.as_raw_fd(),
                libc::IPPROTO_IPV6,
                libc::IPV6_DSTOPTS,
                PADDING.as_ptr().cast(),
                PADDING.len() as libc::socklen_t,
            )
        };
        assert_eq!(
            result,
            0,
            "setting destination options: {}",
            io::Error::last_os_error()
        );
    }

    /// Whether the answer to a request with this payload came within the bound, whole.
    pub fn is_answered(&mut self, payload: &[u8], bound: Duration) -> bool {
        self.sequence += 1;
        let [high, low] = self.sequence.to_be_bytes();
        // The kernel fills in checksum and identifier.
        let request = [&[self.request, 0, 0, 0, 0, 0, high, low], payload].concat();
        self.socket
            .send(&request)
            .unwrap_or_else(|error| panic!("sending an echo request: {error}"));
        let end = Instant::now() + bound;
        let mut answer = vec![0; LARGEST];
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            self.socket
                .set_read_timeout(Some(left))
                .expect("a timeout above zero");
            // An error may be an ICMP message about the request: no answer, but one may still come.
            let length = self.socket.recv(&mut answer).unwrap_or_default();
            if length >= HEADER && answer[6..8] == [high, low] {
                return answer[HEADER..length] == *payload;
            }
        }
    }
}

fn open(from: Option<IpAddr>, to: IpAddr) -> io::Result<UdpSocket> {
    let (family, protocol) = if to.is_ipv4() {
        (AddressFamily::Inet, SockProtocol::Icmp)
    } else {
        (AddressFamily::Inet6, SockProtocol::IcmpV6)
    };
    let socket = UdpSocket::from(socket(
        family,
        SockType::Datagram,
        SockFlag::SOCK_CLOEXEC,
        protocol,
    )?);
    if let Some(from) = from {
        let from = nix::sys::socket::SockaddrStorage::from(SocketAddr::new(from, 0));
        nix::sys::socket::bind(socket.as_raw_fd(), &from)?;
    }
    socket.connect(SocketAddr::new(to, 0))?;
    Ok(socket)
}
