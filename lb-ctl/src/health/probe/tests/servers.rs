//! The endpoints: real servers, each connection in a task of its own, all ended on drop.

use std::convert::Infallible;
use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body, Incoming};
use hyper::service::{Service, service_fn};
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{CertificateParams, KeyPair};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, SupportedProtocolVersion};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::health::probe::Destination;

type Failure = Box<dyn std::error::Error + Send + Sync>;

pub(super) struct Endpoint {
    pub(super) destination: Destination,
    task: AbortHandle,
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Endpoint {
    /// `serve` gets every connection.
    pub(super) async fn start<F, Fut>(serve: F) -> Self
    where
        F: Fn(TcpStream) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                connections.spawn(serve(stream));
            }
        });
        Self {
            destination: address.into(),
            task: task.abort_handle(),
        }
    }

    /// As [`Self::start`], inside TLS.
    pub(super) async fn start_tls<F, Fut>(config: ServerConfig, serve: F) -> Self
    where
        F: Fn(TlsStream<TcpStream>) -> Fut + Clone + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let acceptor = TlsAcceptor::from(Arc::new(config));
        Self::start(move |stream| {
            let (acceptor, serve) = (acceptor.clone(), serve.clone());
            // A client that does not like the handshake is not served.
            async move {
                if let Ok(stream) = acceptor.accept(stream).await {
                    serve(stream).await
                }
            }
        })
        .await
    }
}

/// An address where nobody listens.
pub(super) async fn closed_port() -> Destination {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    address.into()
}

/// Reads until it has seen `until`, sends `reply`, and returns what it was sent. With `hold` it keeps the connection
/// open until the client closes.
pub(super) async fn converse<S>(mut stream: S, until: &[u8], reply: &[u8], hold: bool) -> Vec<u8>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut received = Vec::new();
    while !received.ends_with(until) {
        if !stream.read_buf(&mut received).await.is_ok_and(|count| count > 0) {
            return received;
        }
    }
    // The client may be gone already.
    let _ = stream.write_all(reply).await;
    let _ = stream.flush().await;
    while hold && stream.read_buf(&mut received).await.is_ok_and(|count| count > 0) {}
    received
}

/// An endpoint of one scripted conversation for each connection, and what it was sent.
pub(super) async fn raw(
    until: &'static str,
    reply: impl Into<Vec<u8>>,
    hold: bool,
) -> (Endpoint, mpsc::UnboundedReceiver<Vec<u8>>) {
    let (heard, hearing) = mpsc::unbounded_channel();
    let reply = Arc::new(reply.into());
    let endpoint = Endpoint::start(move |stream| {
        let (heard, reply) = (heard.clone(), Arc::clone(&reply));
        async move {
            let received = converse(stream, until.as_bytes(), &reply, hold).await;
            let _ = heard.send(received);
        }
    })
    .await;
    (endpoint, hearing)
}

/// Certificate and key for nobody in particular, of its own signature.
pub(super) fn self_signed(change: impl FnOnce(&mut CertificateParams)) -> (rcgen::Certificate, KeyPair) {
    let key = KeyPair::generate().unwrap();
    let mut parameters = CertificateParams::new(["somebody.test".to_owned()]).unwrap();
    change(&mut parameters);
    (parameters.self_signed(&key).unwrap(), key)
}

pub(super) fn tls_config(versions: &[&'static SupportedProtocolVersion], alpn: &[&str]) -> ServerConfig {
    tls_config_with(self_signed(|_| {}), versions, alpn)
}

pub(super) fn tls_config_with(
    identity: (rcgen::Certificate, KeyPair),
    versions: &[&'static SupportedProtocolVersion],
    alpn: &[&str],
) -> ServerConfig {
    tls_config_of(aws_lc_rs::default_provider(), identity, versions, alpn)
}

pub(super) fn tls_config_of(
    provider: CryptoProvider,
    (certificate, key): (rcgen::Certificate, KeyPair),
    versions: &[&'static SupportedProtocolVersion],
    alpn: &[&str],
) -> ServerConfig {
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(versions)
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    config
}

/// Both versions, and the protocols that `alpn` names.
pub(super) fn tls(alpn: &[&str]) -> ServerConfig {
    tls_config(rustls::ALL_VERSIONS, alpn)
}

/// Serves HTTP/1.1 on one connection.
pub(super) async fn serve_http1<S, H>(stream: S, handler: H)
where
    S: AsyncRead + AsyncWrite + Unpin,
    H: Fn(Request<Incoming>) -> Response<Full<Bytes>>,
{
    let service = service_fn(|request| {
        let response = handler(request);
        async move { Ok::<_, Infallible>(response) }
    });
    // What the client makes of it is the client's to judge.
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

/// Serves HTTP/2 on one connection.
pub(super) async fn serve_http2<S, V, B>(stream: S, service: V)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    V: Service<Request<Incoming>, Response = Response<B>, Future: Send + 'static, Error: Into<Failure>>,
    B: Body<Data: Send, Error: Into<Failure>> + Send + 'static,
{
    let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

/// An endpoint in HTTP/2, with TLS or without, that answers by `handler`.
pub(super) async fn http2<H>(config: Option<ServerConfig>, handler: H) -> Endpoint
where
    H: Fn(Request<Incoming>) -> Response<Full<Bytes>> + Clone + Send + Sync + 'static,
{
    let service = move || {
        let handler = handler.clone();
        service_fn(move |request| {
            let response = handler(request);
            async move { Ok::<_, Infallible>(response) }
        })
    };
    match config {
        None => Endpoint::start(move |stream| serve_http2(stream, service())).await,
        Some(config) => Endpoint::start_tls(config, move |stream| serve_http2(stream, service())).await,
    }
}
