//! A connection in HTTP/1.1, which serves one exchange.

use std::convert::Infallible;
use std::future::{Future, pending, poll_fn};

use bytes::Bytes;
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, Builder, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, timeout_at};

use super::connect::Channel;
use super::error::ProbeError;
use super::http::{HEAD_LIMIT, read_out};
use super::line::Line;

/// Lines in a reply's head.
const HEADERS: usize = 256;

pub(super) struct Connection {
    pub(super) sender: SendRequest<Empty<Bytes>>,
    pub(super) run: Run,
}

/// What has to be run while anything is expected of the connection.
pub(super) struct Run {
    connection: http1::Connection<TokioIo<Box<dyn Channel>>, Empty<Bytes>>,
    has_ended: bool,
}

impl Connection {
    /// Takes heads that are not as they should be, where clients do.
    pub(super) async fn open(stream: Box<dyn Channel>) -> Result<Self, ProbeError> {
        let (sender, connection) = Builder::new()
            .max_buf_size(HEAD_LIMIT)
            .max_headers(HEADERS)
            .allow_obsolete_multiline_headers_in_responses(true)
            .allow_spaces_after_header_name_in_responses(true)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| ProbeError::from_hyper("HTTP/1.1", &error))?;
        let run = Run {
            connection,
            has_ended: false,
        };
        Ok(Self { sender, run })
    }

    /// Reads what is left of the reply, and ends the connection. The endpoint was asked to end it first, which spares this
    /// host a port, and has half of the time for that.
    pub(super) async fn end(mut self, body: Option<Incoming>, line: Line, deadline: Instant) {
        let is_read = match body {
            Some(body) => self.run.during(read_out(body)).await,
            None => false,
        };
        let mut stream = self.run.connection.into_parts().io.into_inner();
        if is_read {
            let left = deadline.saturating_duration_since(Instant::now());
            let _ = timeout_at(deadline - left / 2, line.hear_end()).await;
        }
        // The verdict is told: what goes wrong here is no part of it.
        let _ = stream.shutdown().await;
    }
}

impl Run {
    /// Runs the connection until there is an outcome. Its errors reach the exchange, which may outlive it by what is
    /// buffered.
    pub(super) async fn during<T>(&mut self, exchange: impl Future<Output = T>) -> T {
        tokio::select! {
            outcome = exchange => outcome,
            never = self.drive() => match never {},
        }
    }

    async fn drive(&mut self) -> Infallible {
        if !self.has_ended {
            let ended = poll_fn(|context| self.connection.poll_without_shutdown(context)).await;
            self.has_ended = true;
            if let Err(error) = ended {
                tracing::trace!(%error, "probe connection ended");
            }
        }
        pending().await
    }
}
