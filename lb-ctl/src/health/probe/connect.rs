//! How a probe reaches an endpoint: the one place that makes a connection.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpSocket;

use super::delivered::Delivered;
use super::error::ProbeError;
use super::line::Line;
use super::tls::{self, Tls};
use super::{Progress, Step};
use crate::model::ProxyHeader;

/// Where a probe goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Destination {
    pub address: SocketAddr,
    /// Set when the address is a VIP, which several endpoints own.
    pub delivered: Option<Delivered>,
}

impl From<SocketAddr> for Destination {
    fn from(address: SocketAddr) -> Self {
        Self {
            address,
            delivered: None,
        }
    }
}

/// A connection, with or without TLS.
pub(super) trait Channel: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Channel for S {}

/// Connects, sends the PROXY header when there is one, and shakes hands when the check has TLS.
pub(super) async fn open(
    destination: &Destination,
    proxy_header: ProxyHeader,
    tls: Option<Tls<'_>>,
    progress: &mut Progress,
) -> Result<Box<dyn Channel>, ProbeError> {
    let mut stream = connect(destination, progress).await?;
    match proxy_header {
        ProxyHeader::None => {}
        ProxyHeader::ProxyV1 => {
            progress.step = Step::Request;
            send(&mut stream, b"PROXY UNKNOWN\r\n").await?;
        }
    }
    let Some(tls) = tls else {
        return Ok(Box::new(stream));
    };
    progress.step = Step::Tls;
    let stream = Box::pin(tls::shake_hands(stream, destination, tls)).await?;
    Ok(Box::new(stream))
}

async fn connect(destination: &Destination, progress: &mut Progress) -> Result<Line, ProbeError> {
    let address = destination.address;
    if let Some(delivered) = destination.delivered {
        return Box::pin(delivered.connect(address, progress)).await;
    }
    let failed = |error| ProbeError::from_io("connect", &error);
    let socket = new_socket(address).map_err(failed)?;
    let stream = socket.connect(address).await.map_err(failed)?;
    Ok(progress.begin(stream, address))
}

pub(super) fn new_socket(destination: SocketAddr) -> io::Result<TcpSocket> {
    match destination {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }
}

pub(super) async fn send(stream: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> Result<(), ProbeError> {
    let sent = async {
        stream.write_all(bytes).await?;
        stream.flush().await
    };
    sent.await.map_err(|error| ProbeError::from_io("send", &error))
}
