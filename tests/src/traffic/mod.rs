//! Real traffic through real kernel stacks: servers on the backends, clients that say who answered.

pub mod backend;
pub mod bulk;
pub mod crowd;
pub mod datagram;
pub mod echo;
pub mod flow;
pub mod server;
pub mod tcp;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use self::tcp::Broken;
use crate::netns::Namespace;

pub const TCP_PORT: u16 = 80;
pub const UDP_PORT: u16 = 53;
pub const HEALTH_PORT: u16 = 8080;
pub const GUE_PORT: u16 = 6080;

/// What the health endpoint at `address` answers.
pub fn health_of(from: &Namespace, address: SocketAddr) -> Result<String, Broken> {
    let mut stream = from.run(|| TcpStream::connect_timeout(&address, Duration::from_secs(2)))?;
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: lab\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
