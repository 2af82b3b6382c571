//! TCP connections as a client sees them: who answers, and how they break.

use std::fmt;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::bulk::Bytes;
use crate::netns::Namespace;

/// Longer than a few retransmissions, far shorter than a person's patience.
const PATIENCE: Duration = Duration::from_secs(5);

/// How a connection ended without being asked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    Refused,
    Reset,
    Closed,
    TimedOut,
    Unreachable,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Refused => "refused",
            Self::Reset => "reset",
            Self::Closed => "closed",
            Self::TimedOut => "timed out",
            Self::Unreachable => "unreachable",
        })
    }
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionRefused => Self::Refused,
            io::ErrorKind::ConnectionReset => Self::Reset,
            io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe => Self::Closed,
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => Self::TimedOut,
            io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => Self::Unreachable,
            _ => panic!("a connection broke in a way unheard of: {error}"),
        }
    }
}

/// An open connection to a [`super::server`].
pub struct Connection {
    /// Who accepted it.
    pub backend: String,
    stream: BufReader<TcpStream>,
}

impl Connection {
    pub fn open(client: &Namespace, to: SocketAddr) -> Result<Self, Broken> {
        Self::open_within(client, to, PATIENCE)
    }

    pub fn open_within(client: &Namespace, to: SocketAddr, patience: Duration) -> Result<Self, Broken> {
        client.run(|| Self::open_here(to, patience))
    }

    /// From the namespace of the calling thread.
    pub fn open_here(to: SocketAddr, patience: Duration) -> Result<Self, Broken> {
        let stream = TcpStream::connect_timeout(&to, patience)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(patience))?;
        stream.set_write_timeout(Some(patience))?;
        let mut connection = Self {
            backend: String::new(),
            stream: BufReader::new(stream),
        };
        connection.backend = connection.line()?;
        Ok(connection)
    }

    /// `count` connections, all of which must open.
    #[track_caller]
    pub fn open_many(client: &Namespace, to: SocketAddr, count: usize) -> Vec<Self> {
        let open = |_| Self::open(client, to).unwrap_or_else(|broken| panic!("connecting to {to}: {broken}"));
        (0..count).map(open).collect()
    }

    pub fn local_address(&self) -> SocketAddr {
        self.stream
            .get_ref()
            .local_addr()
            .expect("a connected socket has an address")
    }

    /// Sends a request and returns who answered it.
    pub fn ask(&mut self) -> Result<String, Broken> {
        const TEXT: &str = "are-you-there";
        self.stream
            .get_mut()
            .write_all(format!("echo {TEXT}\n").as_bytes())?;
        let answer = self.line()?;
        let name = answer
            .strip_suffix(&format!(" {TEXT}"))
            .unwrap_or_else(|| panic!("a strange answer: {answer:?}"));
        Ok(name.to_owned())
    }

    /// Sends `total` bytes and tells whether they arrived whole.
    pub fn upload(&mut self, total: u64, progress: impl FnMut(u64)) -> Result<bool, Broken> {
        let stream = self.stream.get_mut();
        stream.write_all(format!("sink {total}\n").as_bytes())?;
        let sent = Bytes::default().write(stream, total, progress)?;
        Ok(self.line()? == format!("{sent:08x}"))
    }

    /// Receives `total` bytes and tells whether they arrived whole.
    pub fn download(&mut self, total: u64) -> Result<bool, Broken> {
        self.stream
            .get_mut()
            .write_all(format!("source {total}\n").as_bytes())?;
        let mut received = crc32fast::Hasher::new();
        let mut left = total;
        while left > 0 {
            let buffer = self.stream.fill_buf()?;
            let length = buffer.len().min(left as usize);
            if length == 0 {
                return Err(Broken::Closed);
            }
            received.update(&buffer[..length]);
            self.stream.consume(length);
            left -= length as u64;
        }
        Ok(self.line()? == format!("{:08x}", received.finalize()))
    }

    fn line(&mut self) -> Result<String, Broken> {
        let mut line = String::new();
        match self.stream.read_line(&mut line)? {
            0 => Err(Broken::Closed),
            _ => Ok(line.trim_end().to_owned()),
        }
    }
}
