//! One connection of a probe, and how it ends.
//!
//! In order, whichever way its probe ends: our FIN, then the endpoint's, and what the endpoint still sends is read
//! meanwhile, so that its server sees the end of a connection and no error. Only where such ends would use up this
//! host's ports, it ends by RST.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use nix::sys::socket::{Shutdown, shutdown};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::endings::Endings;

/// Bytes that are read after the verdict only so that the endpoint may send them.
const LEFTOVER_LIMIT: usize = 1 << 20;

/// A connection, which ends when its last clone is dropped, or before.
#[derive(Clone, Debug)]
pub(super) struct Line(Arc<Wire>);

#[derive(Debug)]
struct Wire {
    stream: TcpStream,
    peer: SocketAddr,
    endings: Arc<Endings>,
    /// The endpoint has ended its side, or the connection is broken.
    is_over: AtomicBool,
    /// Our side was ended.
    is_ended: AtomicBool,
    /// By RST, as soon as it is dropped.
    is_reset: AtomicBool,
}

impl Line {
    pub(super) fn new(stream: TcpStream, peer: SocketAddr, endings: Arc<Endings>) -> Self {
        Self(Arc::new(Wire {
            stream,
            peer,
            endings,
            is_over: AtomicBool::new(false),
            is_ended: AtomicBool::new(false),
            is_reset: AtomicBool::new(false),
        }))
    }

    pub(super) fn end(&self) {
        self.0.end();
    }

    /// Until the endpoint has ended the connection too, unless it sends without end.
    pub(super) async fn hear_end(&self) {
        let wire = &*self.0;
        let mut left = LEFTOVER_LIMIT;
        while left > 0 && !wire.is_over.load(Ordering::Relaxed) && !wire.is_reset.load(Ordering::Relaxed) {
            if wire.stream.readable().await.is_err() {
                return;
            }
            let read = wire.stream.try_read(&mut [0; 16 * 1024]);
            if let Some(Ok(count)) = wire.look_at(read) {
                left = left.saturating_sub(count);
            }
        }
    }
}

impl Wire {
    /// Who ends first keeps the local port for a minute (TIME_WAIT).
    fn end(&self) {
        if self.is_ended.swap(true, Ordering::Relaxed) {
            return;
        }
        if self.is_over.load(Ordering::Relaxed) || self.endings.may_keep_port(self.peer) {
            // What is broken already can't be ended any more.
            let _ = shutdown(self.stream.as_raw_fd(), Shutdown::Write);
        } else {
            self.is_reset.store(true, Ordering::Relaxed);
            let _ = self.stream.set_zero_linger();
        }
    }

    /// Nothing if there is nothing to read yet.
    fn look_at(&self, read: io::Result<usize>) -> Option<io::Result<usize>> {
        match &read {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
            Ok(0) | Err(_) => self.is_over.store(true, Ordering::Relaxed),
            Ok(_) => {}
        }
        Some(read)
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.end();
    }
}

impl AsyncRead for Line {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let wire = &*self.0;
        if buffer.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        loop {
            ready!(wire.stream.poll_read_ready(context))?;
            let read = wire.stream.try_read(buffer.initialize_unfilled());
            if let Some(read) = wire.look_at(read) {
                return Poll::Ready(read.map(|count| buffer.advance(count)));
            }
        }
    }
}

impl AsyncWrite for Line {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let stream = &self.0.stream;
        loop {
            ready!(stream.poll_write_ready(context))?;
            match stream.try_write_vectored(slices) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => return Poll::Ready(written),
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.end();
        Poll::Ready(Ok(()))
    }
}
