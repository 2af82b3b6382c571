//! How a probe reaches an endpoint: the one place that makes a connection.

use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use super::error::ProbeError;
use super::tls::{self, Tls};
use super::{Progress, Step};
use crate::model::ProxyHeader;

/// Where a probe goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Destination {
    pub address: SocketAddr,
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
    let mut stream = connect(destination).await?;
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

/// A connection that ends by RST when it is dropped. Orderly ends would leave a socket in TIME_WAIT for each probe, and
/// thousands of endpoints behind one address use up this host's ports.
async fn connect(destination: &Destination) -> Result<TcpStream, ProbeError> {
    let address = destination.address;
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()
    } else {
        TcpSocket::new_v6()
    };
    let failed = |error| ProbeError::from_io("connect", &error);
    let socket = socket.map_err(failed)?;
    socket.set_zero_linger().map_err(failed)?;
    socket.connect(address).await.map_err(failed)
}

pub(super) async fn send(stream: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> Result<(), ProbeError> {
    let sent = async {
        stream.write_all(bytes).await?;
        stream.flush().await
    };
    sent.await.map_err(|error| ProbeError::from_io("send", &error))
}
