//! The daemon's HTTP client: one connection for each request, over a Unix socket or TCP, no pool and no redirects.

mod endpoint;
#[cfg(test)]
mod tests;
mod token;

use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

pub use self::endpoint::Endpoint;
pub use self::token::Token;

use crate::control::wire::WireFault;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// From the request to the head of the answer: the longest that applying a configuration may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(120);

#[derive(Clone, Debug)]
pub struct Client {
    endpoint: Endpoint,
    token: Option<Token>,
}

#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("can't reach the daemon at {endpoint}: {reason}")]
    Unreachable {
        endpoint: Endpoint,
        reason: String,
        /// Nobody listens: no daemon runs.
        absent: bool,
    },
    /// The daemon answered, and refused.
    #[error("{message}")]
    Refused {
        status: StatusCode,
        message: String,
        faults: Vec<WireFault>,
    },
    #[error("the answer from {endpoint} can't be understood: {reason}")]
    Answer { endpoint: Endpoint, reason: String },
}

impl Client {
    pub fn new(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            token: None,
        }
    }

    #[must_use]
    pub fn with_token(self, token: Option<Token>) -> Self {
        Self { token, ..self }
    }

    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.request(Method::GET, path, None).await
    }

    pub async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        self.send(Method::POST, path, body).await
    }

    pub async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        let body = serde_json::to_vec(body).map_err(|error| self.answer_error(error))?;
        self.request(method, path, Some(body)).await
    }

    pub async fn delete<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.request(Method::DELETE, path, None).await
    }

    async fn request<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<Vec<u8>>,
    ) -> Result<T, ClientError> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, self.endpoint.host());
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, token.authorization());
        }
        if body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let body = Full::new(Bytes::from(body.unwrap_or_default()));
        let request = request.body(body).map_err(|error| self.answer_error(error))?;
        let (status, bytes) = self.exchange(request).await?;
        if status.is_success() {
            serde_json::from_slice(&bytes).map_err(|error| self.answer_error(error))
        } else {
            Err(self.refusal(status, &bytes))
        }
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<(StatusCode, Bytes), ClientError> {
        let stream = self.connect().await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| self.answer_error(error))?;
        let conversation = async {
            let answer = sender.send_request(request);
            let answer = tokio::time::timeout(ANSWER_TIMEOUT, answer).await.map_err(|_| {
                self.answer_error(format!("nothing came within {} s", ANSWER_TIMEOUT.as_secs()))
            })?;
            let answer = answer.map_err(|error| self.answer_error(error))?;
            let status = answer.status();
            Ok((
                status,
                collect(answer.into_body())
                    .await
                    .map_err(|error| self.answer_error(error))?,
            ))
        };
        let mut conversation = std::pin::pin!(conversation);
        tokio::select! {
            biased;
            result = &mut conversation => result,
            // The connection may be done with its work before the answer is read out of it.
            _ = connection => conversation.await,
        }
    }

    async fn connect(&self) -> Result<Box<dyn Stream>, ClientError> {
        let connecting = async {
            match &self.endpoint {
                Endpoint::Unix(path) => UnixStream::connect(path)
                    .await
                    .map(|s| Box::new(s) as Box<dyn Stream>),
                Endpoint::Http(address) => TcpStream::connect(address)
                    .await
                    .map(|s| Box::new(s) as Box<dyn Stream>),
            }
        };
        let unreachable = |reason, absent| ClientError::Unreachable {
            endpoint: self.endpoint.clone(),
            reason,
            absent,
        };
        match tokio::time::timeout(CONNECT_TIMEOUT, connecting).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(error)) => Err(unreachable(self.explain(&error), is_absence(&error))),
            Err(_elapsed) => Err(unreachable(
                format!("no connection within {} s", CONNECT_TIMEOUT.as_secs()),
                false,
            )),
        }
    }

    fn explain(&self, error: &io::Error) -> String {
        match (error.kind(), &self.endpoint) {
            (io::ErrorKind::NotFound, Endpoint::Unix(_)) => "no such socket; is it running?".to_owned(),
            (io::ErrorKind::ConnectionRefused, _) => "nobody listens there; is it running?".to_owned(),
            (io::ErrorKind::PermissionDenied, Endpoint::Unix(_)) => {
                "permission denied; only root and the socket's group may".to_owned()
            }
            _ => error.to_string(),
        }
    }

    fn refusal(&self, status: StatusCode, body: &[u8]) -> ClientError {
        match serde_json::from_slice::<ErrorBody>(body) {
            Ok(ErrorBody { error }) => ClientError::Refused {
                status,
                message: error.message,
                faults: error.faults,
            },
            Err(_) => self.answer_error(format!("status {status} without an explanation")),
        }
    }

    fn answer_error(&self, reason: impl std::fmt::Display) -> ClientError {
        ClientError::Answer {
            endpoint: self.endpoint.clone(),
            reason: reason.to_string(),
        }
    }
}

fn is_absence(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
    )
}

#[derive(Deserialize)]
struct ErrorBody {
    error: ErrorDetail,
}

#[derive(Deserialize)]
struct ErrorDetail {
    message: String,
    #[serde(default)]
    faults: Vec<WireFault>,
}

async fn collect(body: Incoming) -> Result<Bytes, hyper::Error> {
    body.collect().await.map(|collected| collected.to_bytes())
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}
