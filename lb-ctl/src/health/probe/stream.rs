//! The TCP and SSL probes: connect, send the request, and compare the first bytes that arrive with the expected
//! response.

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::connect::{Destination, open, send};
use super::error::{ProbeError, excerpt};
use super::tls::{Alpn, Tls};
use super::{Progress, Step};
use crate::model::ProxyHeader;

/// What is said over the connection; empty means nothing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Exchange<'a> {
    pub(super) tls: bool,
    pub(super) proxy_header: ProxyHeader,
    pub(super) request: &'a [u8],
    pub(super) response: &'a [u8],
}

pub(super) async fn talk(
    destination: &Destination,
    exchange: Exchange<'_>,
    progress: &mut Progress,
) -> Result<(), ProbeError> {
    let tls = exchange.tls.then_some(Tls {
        alpn: Alpn::None,
        host: "",
    });
    let mut stream = open(destination, exchange.proxy_header, tls, progress).await?;
    let outcome = converse(&mut stream, exchange, progress).await;
    progress.leave(async move {
        // In TLS that says so before it ends the connection. What it meets there is no part of the verdict.
        let _ = stream.shutdown().await;
    });
    outcome
}

async fn converse(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    exchange: Exchange<'_>,
    progress: &mut Progress,
) -> Result<(), ProbeError> {
    if !exchange.request.is_empty() {
        progress.step = Step::Request;
        send(stream, exchange.request).await?;
    }
    progress.step = Step::Reply;
    expect(stream, exchange.response).await
}

/// Reads until the expected bytes are there, or can't come any more.
async fn expect(stream: &mut (impl AsyncRead + Unpin), expected: &[u8]) -> Result<(), ProbeError> {
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
