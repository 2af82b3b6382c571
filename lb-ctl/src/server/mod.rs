//! The HTTP API: the Compute API's shape under `/compute/v1/`, and our own endpoints under `/lb/v1/`.
//!
//! The server holds no configuration: it reads the controller's snapshot and hands changes to it. Changes that come by
//! HTTP are made one after another.

mod access;
mod batch;
mod body;
mod collections;
mod compute;
mod connection;
mod error;
mod filter;
mod groups;
mod guard;
mod health;
mod iam;
mod list;
mod listen;
mod mutate;
mod operation;
mod own;
mod path;
mod query;
mod representation;
mod route;
mod scopes;
#[cfg(test)]
pub(crate) mod tests;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::middleware;
use http::Uri;
use tokio::sync::watch;

pub use self::access::{Role, TokenFile, TokenFileError};
pub use self::listen::{ListenAddress, ListenError};

use self::access::Access;
use self::body::BodyLimits;
use self::error::ApiError;
use self::guard::LargeBodies;
use self::listen::Listener;
use self::operation::OperationLog;
use crate::control::Control;

/// The bounds within which clients are served.
#[derive(Clone, Copy, Debug)]
pub struct ServerConfig {
    /// For each listener.
    pub max_connections: usize,
    pub max_body_bytes: usize,
    /// Of all large bodies that are being read or worked on, over all listeners.
    pub max_body_bytes_at_once: usize,
    /// Of a request's line and header. Looked at between reads, so up to twice as much may pass.
    pub max_header_bytes: usize,
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
            max_body_bytes_at_once: 64 << 20,
            max_header_bytes: 64 << 10,
            header_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(30),
        }
    }
}

/// Bound to its addresses, not yet serving.
pub struct Server {
    listeners: Vec<Listener>,
    tokens: Option<Arc<TokenFile>>,
}

impl Server {
    /// Binds to every address or to none. Needs a tokio runtime. `tokens` tell who asks over TCP; without them it is
    /// served on loopback only, to everybody.
    pub fn bind(addresses: &[ListenAddress], tokens: Option<TokenFile>) -> Result<Self, ListenError> {
        let bind = |address| Listener::bind(address, tokens.is_some());
        let listeners = addresses.iter().map(bind).collect::<Result<_, _>>()?;
        Ok(Self {
            listeners,
            tokens: tokens.map(Arc::new),
        })
    }

    /// Where it listens, with the real ports.
    pub fn addresses(&self) -> std::io::Result<Vec<ListenAddress>> {
        self.listeners.iter().map(Listener::address).collect()
    }

    /// Serves until `stop` becomes true or its sender is gone, then finishes what is under way.
    pub async fn serve(self, control: Arc<dyn Control>, config: ServerConfig, stop: watch::Receiver<bool>) {
        let state = Arc::new(ApiState::new(control, config));
        let serving = self.listeners.into_iter().map(|listener| {
            let over_tcp = matches!(listener, Listener::Tcp(_));
            let access = match &self.tokens {
                Some(tokens) if over_tcp => Access::Tokens(tokens.clone()),
                _ => Access::Open,
            };
            let router = router(state.clone(), access, over_tcp);
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
    large_bodies: LargeBodies,
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
            large_bodies: LargeBodies::new(config.max_body_bytes, config.max_body_bytes_at_once),
        }
    }

    fn operations(&self) -> std::sync::MutexGuard<'_, OperationLog> {
        self.operations
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

fn router(state: Arc<ApiState>, access: Access, over_tcp: bool) -> Router {
    let foreign_pages = over_tcp && matches!(access, Access::Open);
    let large_bodies = state.large_bodies.clone();
    let methods = Router::new()
        .route(
            "/compute/v1/projects/{*rest}",
            axum::routing::any(compute::handle),
        )
        .merge(own::routes())
        .fallback(no_such_url)
        .layer(middleware::from_fn_with_state(access.clone(), access::authorize));
    let limits = state.limits;
    let methods: Router = methods.with_state(state);
    // The parts of a batch are authorized one by one; the batch itself has to come from somebody known, too.
    let batch = batch::routes(methods.clone(), limits);
    let router = methods
        .merge(batch.layer(middleware::from_fn_with_state(access, access::authorize)))
        .layer(middleware::from_fn_with_state(
            large_bodies,
            guard::limit_large_bodies,
        ))
        .layer(middleware::from_fn(guard::require_one_host));
    match foreign_pages {
        true => router.layer(middleware::from_fn(guard::refuse_foreign_host)),
        false => router,
    }
}

async fn no_such_url(uri: Uri) -> ApiError {
    ApiError::url_not_found(uri.path())
}
