//! A UDP client that asks with whole datagrams of any size, and says who answered.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::time::Duration;

use crate::condition::eventually;
use crate::netns::Namespace;

const PATIENCE: Duration = Duration::from_secs(5);
const RETRY: Duration = Duration::from_millis(500);
const LARGEST: usize = 65_536;

pub struct Dialogue {
    socket: UdpSocket,
    to: SocketAddr,
}

impl Dialogue {
    pub fn open(client: &Namespace, to: SocketAddr) -> Self {
        let any = if to.is_ipv4() { "0.0.0.0" } else { "::" };
        Self::open_from(client, any.parse().expect("an address"), to)
    }

    /// `from` is one of the client's addresses.
    pub fn open_from(client: &Namespace, from: IpAddr, to: SocketAddr) -> Self {
        let socket = client.run(|| {
            let socket = UdpSocket::bind(SocketAddr::new(from, 0))?;
            socket.connect(to)?;
            socket.set_read_timeout(Some(RETRY))?;
            io::Result::Ok(socket)
        });
        let socket = socket.unwrap_or_else(|error| panic!("a UDP socket from {from} to {to}: {error}"));
        Self { socket, to }
    }

    /// Every datagram from now on carries IPv4 options: four that mean nothing.
    pub fn add_ip_options(&self) {
        const NO_OPERATION: [u8; 4] = [1; 4];
        // SAFETY: the descriptor is open, and the options outlive the call.
        let result = unsafe {
            libc::setsockopt(
                self.socket.as_raw_fd(),
                libc::IPPROTO_IP,
                libc::IP_OPTIONS,
                NO_OPERATION.as_ptr().cast(),
                NO_OPERATION.len() as libc::socklen_t,
            )
        };
        assert_eq!(result, 0, "setting IP options: {}", io::Error::last_os_error());
    }

    pub fn send(&self, payload: &[u8]) {
        self.socket
            .send(payload)
            .unwrap_or_else(|error| panic!("sending {} bytes to {}: {error}", payload.len(), self.to));
    }

    /// Sends, again if need be, until the payload comes back whole; says who sent it back.
    #[track_caller]
    pub fn ask(&self, payload: &[u8]) -> String {
        eventually(PATIENCE, || {
            self.send(payload);
            let mut answer = vec![0; LARGEST];
            let length = self
                .socket
                .recv(&mut answer)
                .map_err(|error| format!("no answer from {}: {error}", self.to))?;
            let space = answer[..length].iter().position(|byte| *byte == b' ');
            let (name, echoed) = answer[..length].split_at(space.expect("a name, a space and the request"));
            assert!(
                echoed[1..] == *payload,
                "{} sent back {} bytes of other content",
                self.to,
                echoed.len() - 1
            );
            Ok(String::from_utf8_lossy(name).into_owned())
        })
    }
}
