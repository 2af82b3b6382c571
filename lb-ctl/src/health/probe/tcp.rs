//! The TCP probe: connect, send the request, and compare the first bytes that arrive with the expected response.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use super::{ProbeError, connect, excerpt, send, timed_out};
use crate::health::machine::{ProbeResult, WeightReport};
use crate::model::ProxyHeader;

/// What is said over the connection; empty means nothing.
#[derive(Clone, Copy, Debug)]
pub struct Exchange<'a> {
    pub proxy_header: ProxyHeader,
    pub request: &'a [u8],
    pub response: &'a [u8],
}

/// Probes `destination` once; `timeout` covers everything.
pub async fn probe(destination: SocketAddr, exchange: Exchange<'_>, timeout: Duration) -> ProbeResult {
    let outcome = tokio::time::timeout(timeout, talk(destination, exchange))
        .await
        .unwrap_or_else(|_elapsed| Err(timed_out(timeout)));
    match outcome {
        Ok(()) => ProbeResult::Success {
            weight: WeightReport::NotCarried,
        },
        Err(error) => error.into_result(WeightReport::NotCarried),
    }
}

async fn talk(destination: SocketAddr, exchange: Exchange<'_>) -> Result<(), ProbeError> {
    let mut stream = connect(destination, exchange.proxy_header).await?;
    send(&mut stream, exchange.request).await?;
    expect(&mut stream, exchange.response).await
}

/// Reads until the expected bytes are there, or can't come any more.
async fn expect(stream: &mut TcpStream, expected: &[u8]) -> Result<(), ProbeError> {
    let mut received = vec![0; expected.len()];
    let mut length = 0;
    while length < expected.len() {
        let count = stream
            .read(&mut received[length..])
            .await
            .map_err(|error| ProbeError::from_io("receive", &error))?;
        length += count;
        let so_far = &received[..length];
        if !expected.starts_with(so_far) {
            let (got, wanted) = (excerpt(so_far), excerpt(expected));
            return Err(ProbeError::Endpoint(format!("received {got}, expected {wanted}")));
        }
        if count == 0 {
            let wanted = expected.len();
            let text = format!("connection closed after {length} bytes of the {wanted} expected");
            return Err(ProbeError::Endpoint(text));
        }
    }
    Ok(())
}
