//! The GRPC and GRPC_WITH_TLS probes: one call of `grpc.health.v1.Health/Check`, which must answer `SERVING`.

use http::Uri;
use http::uri::Scheme;
use tonic::body::Body;
use tonic::{Code, Request, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::connect::{Destination, open};
use super::error::{ProbeError, cause, excerpt};
use super::http2;
use super::tls::{Alpn, Tls};
use super::{Progress, Step};
use crate::model::ProxyHeader;

/// Bytes of an answer, of which two matter.
const ANSWER_LIMIT: usize = 4096;

/// `service` may be empty: that asks for the endpoint as a whole.
pub(super) async fn talk(
    destination: &Destination,
    tls: bool,
    service: &str,
    progress: &mut Progress,
) -> Result<(), ProbeError> {
    let origin = Uri::builder()
        .scheme(if tls { Scheme::HTTPS } else { Scheme::HTTP })
        .authority(destination.address.to_string())
        .path_and_query("/")
        .build()
        .map_err(|error| ProbeError::Host(format!("can't make a request: {error}")))?;
    let tls = tls.then_some(Tls {
        alpn: Alpn::Http2,
        host: "",
    });
    let stream = open(destination, ProxyHeader::None, tls, progress).await?;
    progress.step = Step::Reply;
    let mut connection = http2::Connection::<Body>::open(stream).await?;
    let calls = tower::service_fn(|request| connection.sender().send_request(request));
    let mut client = HealthClient::with_origin(calls, origin).max_decoding_message_size(ANSWER_LIMIT);
    let request = HealthCheckRequest {
        service: service.to_owned(),
    };
    let answer = client.check(Request::new(request)).await;
    drop(client);
    progress.leave(connection.end(None));
    let answer = answer.map_err(|status| from_status(service, &status))?;
    match answer.get_ref().status() {
        ServingStatus::Serving => Ok(()),
        status => Err(ProbeError::Endpoint(format!(
            "gRPC health is {}, expected SERVING",
            status.as_str_name()
        ))),
    }
}

fn from_status(service: &str, status: &Status) -> ProbeError {
    if let Some(error) = cause::<hyper::Error>(status) {
        return ProbeError::from_hyper("HTTP/2", error);
    }
    let name = constant(&format!("{:?}", status.code()));
    let why = match status.code() {
        Code::NotFound => format!(
            "the endpoint does not know the service {}",
            excerpt(service.as_bytes())
        ),
        Code::Unimplemented => "the endpoint does not serve grpc.health.v1.Health".to_owned(),
        _ => status.message().chars().take(128).collect(),
    };
    ProbeError::Endpoint(format!("gRPC status {name}: {why}"))
}

/// `NotFound` as the specification spells it: `NOT_FOUND`.
fn constant(name: &str) -> String {
    let mut text = String::new();
    for (position, letter) in name.char_indices() {
        if position > 0 && letter.is_ascii_uppercase() {
            text.push('_');
        }
        text.push(letter.to_ascii_uppercase());
    }
    text
}
