//! A connection in HTTP/2 that ends, with everything that runs for it, when it is dropped.

use std::future::{Future, poll_fn};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use hyper::body::{Body, Incoming};
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper::rt::Executor;
use hyper_util::rt::TokioIo;
use tokio::task::JoinSet;

use super::connect::Channel;
use super::error::ProbeError;
use super::http::{HEAD_LIMIT, read_out};

/// Bytes that an endpoint may send ahead of what was read: the protocol's own default.
const WINDOW: u32 = 65_535;

pub(super) struct Connection<B> {
    sender: SendRequest<B>,
    tasks: Owned,
}

impl<B> Connection<B>
where
    B: Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + Unpin + 'static,
{
    /// Speaks first, without waiting for the endpoint.
    pub(super) async fn open(stream: Box<dyn Channel>) -> Result<Self, ProbeError> {
        let tasks = Tasks::default();
        let (sender, connection) = Builder::new(tasks.clone())
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW)
            .max_header_list_size(HEAD_LIMIT as u32)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| ProbeError::from_hyper("HTTP/2", &error))?;
        tasks.execute(async {
            if let Err(error) = connection.await {
                tracing::trace!(%error, "probe connection ended");
            }
        });
        let tasks = Owned(tasks);
        Ok(Self { sender, tasks })
    }

    /// Reads what is left of the reply, and takes leave: GOAWAY, and what ends the connection below.
    pub(super) async fn end(self, body: Option<Incoming>) {
        let Self { sender, tasks } = self;
        if let Some(body) = body {
            read_out(body).await;
        }
        drop(sender);
        poll_fn(|context| tasks.0.poll_ended(context)).await;
    }

    pub(super) fn sender(&mut self) -> &mut SendRequest<B> {
        &mut self.sender
    }
}

/// What runs for one connection. The tasks hold clones of it, so it is ended by its owner, not by its last clone.
#[derive(Clone, Default)]
struct Tasks(Arc<Mutex<JoinSet<()>>>);

struct Owned(Tasks);

impl Drop for Owned {
    fn drop(&mut self) {
        self.0.lock().abort_all();
    }
}

impl Tasks {
    /// Nothing panics while it holds this lock.
    fn lock(&self) -> std::sync::MutexGuard<'_, JoinSet<()>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Tasks {
    fn execute(&self, task: F) {
        self.lock().spawn(task);
    }
}

impl Tasks {
    fn poll_ended(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut tasks = self.lock();
        while ready!(tasks.poll_join_next(context)).is_some() {}
        Poll::Ready(())
    }
}
