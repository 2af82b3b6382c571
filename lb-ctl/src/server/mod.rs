//! The HTTP API: the Compute API's shape under `/compute/v1/`, and our own endpoints under `/lb/v1/`.
//!
//! The server holds no configuration: it reads the controller's snapshot and hands changes to it. Changes that come by
//! HTTP are made one after another.

mod body;
mod compute;
mod connection;
mod error;
mod groups;
mod health;
mod listen;
mod mutate;
mod operation;
mod own;
mod query;
mod route;
#[cfg(test)]
pub(crate) mod tests;

use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use http::Uri;
use http::header::HOST;
use tokio::sync::watch;

pub use self::listen::{ListenAddress, ListenError};

use self::body::BodyLimits;
use self::error::ApiError;
use self::listen::Listener;
use self::operation::OperationLog;
use crate::control::Control;

/// The bounds within which clients are served.
#[derive(Clone, Copy, Debug)]
pub struct ServerConfig {
    /// For each listener.
    pub max_connections: usize,
    pub max_body_bytes: usize,
    /// From the connection, or the previous answer, to the end of the request's header.
    pub header_timeout: Duration,
    /// For the whole body of a request.
    pub body_timeout: Duration,
    /// Without progress, while the client does not read.
    pub write_timeout: Duration,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            max_connections: 256,
            max_body_bytes: 16 << 20,
            header_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(30),
        }
    }
}

/// Bound to its addresses, not yet serving.
pub struct Server {
    listeners: Vec<Listener>,
}

impl Server {
    /// Binds to every address or to none. Needs a tokio runtime.
    pub fn bind(addresses: &[ListenAddress]) -> Result<Self, ListenError> {
        let listeners = addresses.iter().map(Listener::bind).collect::<Result<_, _>>()?;
        Ok(Self { listeners })
    }

    /// Where it listens, with the real ports.
    pub fn addresses(&self) -> std::io::Result<Vec<ListenAddress>> {
        self.listeners.iter().map(Listener::address).collect()
    }

    /// Serves until `stop` becomes true or its sender is gone, then finishes what is under way.
    pub async fn serve(self, control: Arc<dyn Control>, config: ServerConfig, stop: watch::Receiver<bool>) {
        let state = Arc::new(ApiState::new(control, config));
        let serving = self.listeners.into_iter().map(|listener| {
            let router = router(state.clone(), matches!(listener, Listener::Tcp(_)));
            connection::serve(listener, router, config, stop.clone())
        });
        futures_util::future::join_all(serving).await;
    }
}

/// What all requests share.
struct ApiState {
    control: Arc<dyn Control>,
    limits: BodyLimits,
    /// Held from the look at what exists until the controller's answer.
    mutation: tokio::sync::Mutex<()>,
    operations: Mutex<OperationLog>,
}

impl ApiState {
    fn new(control: Arc<dyn Control>, config: ServerConfig) -> Self {
        Self {
            control,
            limits: BodyLimits {
                bytes: config.max_body_bytes,
                time: config.body_timeout,
            },
            mutation: tokio::sync::Mutex::new(()),
            operations: Mutex::new(OperationLog::default()),
        }
    }

    fn operations(&self) -> std::sync::MutexGuard<'_, OperationLog> {
        self.operations
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

fn router(state: Arc<ApiState>, over_tcp: bool) -> Router {
    let router = Router::new()
        .route(
            "/compute/v1/projects/{*rest}",
            axum::routing::any(compute::handle),
        )
        .merge(own::routes())
        .fallback(no_such_url)
        .with_state(state);
    if over_tcp {
        router.layer(middleware::from_fn(refuse_foreign_host))
    } else {
        router
    }
}

async fn no_such_url(uri: Uri) -> ApiError {
    ApiError::url_not_found(uri.path())
}

/// A web page whose name an attacker points at loopback is a page of the same origin to its browser; only the `Host`
/// that the browser sends gives it away.
async fn refuse_foreign_host(request: Request, next: Next) -> Response {
    let host = request
        .headers()
        .get(HOST)
        .map(|value| value.to_str().unwrap_or("?").to_owned());
    match host {
        Some(host) if !is_local_name(&host) => ApiError::foreign_host(&host).into_response(),
        _ => next.run(request).await,
    }
}

fn is_local_name(host: &str) -> bool {
    let Ok(authority) = host.parse::<http::uri::Authority>() else {
        return false;
    };
    let name = authority.host();
    let address = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || address.parse::<IpAddr>().is_ok()
}
