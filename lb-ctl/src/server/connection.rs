//! Accepting connections and serving HTTP/1 on each, within bounds: how many, how long idle, how slow to read.
//!
//! When a listener has as many connections as it may, the one that has been idle the longest makes room for the next;
//! while all are at work, the next waits in the kernel's queue.

mod room;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_io_timeout::TimeoutStream;

use self::room::{Room, Seat, Watched};
use super::ServerConfig;
use super::listen::Listener;

/// How long connections may take to finish after the shutdown signal.
const GRACE: Duration = Duration::from_secs(2);
/// Out of file descriptors or memory: accepting again at once would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until `stop` is true or its sender is gone, then lets requests under way finish.
pub(super) async fn serve(
    listener: Listener,
    router: Router,
    config: ServerConfig,
    mut stop: watch::Receiver<bool>,
) {
    let room = Room::new(config.max_connections);
    let mut connections = JoinSet::new();
    loop {
        while let Some(ended) = connections.try_join_next() {
            if let Err(error) = ended {
                tracing::error!(%error, "a connection's task died");
            }
        }
        let accepted = tokio::select! {
            () = stopped(&mut stop) => break,
            accepted = accept(&listener, &room) => accepted,
        };
        match accepted {
            Ok((stream, seat)) => {
                connections.spawn(run(stream, seat, router.clone(), config, stop.clone()));
            }
            Err(error) => {
                tracing::warn!(%error, "can't accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    let all_done = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(GRACE, all_done).await.is_err() {
        tracing::warn!("connections were cut off by the shutdown");
    }
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

async fn accept(listener: &Listener, room: &Arc<Room>) -> io::Result<(Box<dyn Stream>, Seat)> {
    let stream: Box<dyn Stream> = match listener {
        Listener::Unix(listener, _) => Box::new(listener.accept().await?.0),
        Listener::Tcp(listener) => Box::new(listener.accept().await?.0),
    };
    let seat = room.seat().await.ok_or_else(|| io::Error::other("no room"))?;
    Ok((stream, seat))
}

async fn run(
    stream: Box<dyn Stream>,
    seat: Seat,
    router: Router,
    config: ServerConfig,
    mut stop: watch::Receiver<bool>,
) {
    let usage = seat.usage();
    let methods = TowerToHyperService::new(router);
    let service = service_fn(|request| {
        let work = usage.work();
        let answer = methods.call(request);
        async move {
            let answer = answer.await;
            drop(work);
            answer
        }
    });
    let mut stream = TimeoutStream::new(Watched {
        stream,
        usage: seat.usage(),
    });
    stream.set_write_timeout(Some(config.write_timeout));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(config.header_timeout)
        .max_buf_size(config.max_header_bytes)
        .serve_connection(TokioIo::new(Box::pin(stream)), service);
    let mut connection = std::pin::pin!(connection);
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = seat.wanted() => {
            if !seat.is_working() {
                tracing::debug!("an idle connection made room for another");
                return;
            }
            connection.as_mut().graceful_shutdown();
            connection.await
        }
        () = stopped(&mut stop) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "connection closed");
    }
}
