//! `POST /batch/compute/v1`: several requests in one, as `multipart/mixed` parts of type `application/http`. gcloud sends
//! one whenever it has more than one request, such as the deletion of two resources.
//!
//! The parts are done one after another, each as if it had come alone; one that is refused keeps no other from being
//! done. A part's answer has its `Content-ID` with `response-` before it.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HOST, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::BodyExt as _;
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use sha2::{Digest as _, Sha256};

use super::body::{BodyLimits, read};
use super::error::{ApiError, ApiResult};

/// As many as the cloud takes.
const MOST_PARTS: usize = 1000;
const MOST_HEADERS: usize = 64;
/// Of all answers together.
const LARGEST_ANSWER: usize = 64 << 20;
const LONGEST_BOUNDARY: usize = 200;

#[derive(Clone)]
struct Batch {
    methods: Router,
    limits: BodyLimits,
}

/// `methods` are what the parts may ask for.
pub(super) fn routes(methods: Router, limits: BodyLimits) -> Router {
    let refuse = |method: Method, uri: Uri| async move { ApiError::method_not_allowed(&method, uri.path()) };
    Router::new()
        .route("/batch/compute/v1", post(handle).fallback(refuse))
        .with_state(Batch { methods, limits })
}

async fn handle(State(batch): State<Batch>, request: Request<Body>) -> ApiResult<Response> {
    let (head, body) = request.into_parts();
    let boundary = boundary(&head.headers)?;
    let body = read(body, batch.limits).await?;
    let parts = split(&body, &boundary)?;
    let requests: Vec<Part> = parts
        .into_iter()
        .enumerate()
        .map(|(index, part)| {
            Part::read(part, &head.headers)
                .map_err(|why| ApiError::bad_request(format!("Part {} of the batch: {why}", index + 1)))
        })
        .collect::<ApiResult<_>>()?;
    let mut answers = Vec::new();
    let mut size = 0;
    for part in requests {
        let answer = match size > LARGEST_ANSWER {
            false => answer(&batch, part.request).await?,
            true => {
                let why = format!(
                    "The answers before this one have more than {LARGEST_ANSWER} bytes; send smaller batches"
                );
                written(ApiError::busy(&why).into_response()).await?
            }
        };
        size += answer.len();
        answers.push((part.id, answer));
    }
    Ok(multipart(&answers))
}

fn boundary(headers: &HeaderMap) -> ApiResult<String> {
    let found = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let refused =
        || ApiError::bad_request("A batch must be of the content type multipart/mixed, with a boundary");
    let (essence, parameters) = found
        .and_then(|value| value.split_once(';'))
        .ok_or_else(refused)?;
    if !essence.trim().eq_ignore_ascii_case("multipart/mixed") {
        return Err(refused());
    }
    let boundary = parameters.split(';').find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim()
            .eq_ignore_ascii_case("boundary")
            .then(|| value.trim().trim_matches('"').to_owned())
    });
    boundary
        .filter(|boundary| !boundary.is_empty() && boundary.len() <= LONGEST_BOUNDARY)
        .ok_or_else(refused)
}

/// The parts between the lines that are `--boundary`, up to the one that is `--boundary--`. A line may end without CR,
/// as Python's own does.
fn split<'a>(body: &'a [u8], boundary: &str) -> ApiResult<Vec<&'a [u8]>> {
    let open = format!("--{boundary}");
    let close = format!("{open}--");
    let mut parts = Vec::new();
    let mut start = None;
    let mut position = 0;
    for line in body.split_inclusive(|byte| *byte == b'\n') {
        let text = line.trim_ascii_end();
        let closes = text == close.as_bytes();
        if closes || text == open.as_bytes() {
            parts.extend(start.map(|start| without_line_end(&body[start..position])));
            start = Some(position + line.len());
        }
        if parts.len() > MOST_PARTS {
            return Err(ApiError::bad_request(format!(
                "A batch has at most {MOST_PARTS} requests"
            )));
        }
        if closes {
            return match parts.is_empty() {
                true => Err(ApiError::bad_request("The batch has no requests")),
                false => Ok(parts),
            };
        }
        position += line.len();
    }
    Err(ApiError::bad_request(
        "The batch does not end with its closing boundary",
    ))
}

/// The line end before a boundary belongs to the boundary.
fn without_line_end(part: &[u8]) -> &[u8] {
    let part = part.strip_suffix(b"\n").unwrap_or(part);
    part.strip_suffix(b"\r").unwrap_or(part)
}

struct Part {
    id: Option<String>,
    request: Request<Body>,
}

impl Part {
    fn read(part: &[u8], outer: &HeaderMap) -> Result<Self, String> {
        let mut storage = [httparse::EMPTY_HEADER; MOST_HEADERS];
        let (length, headers) = match httparse::parse_headers(part, &mut storage) {
            Ok(httparse::Status::Complete(parsed)) => parsed,
            Ok(httparse::Status::Partial) => return Err("its header does not end".to_owned()),
            Err(error) => return Err(format!("its header is wrong: {error}")),
        };
        let mut kind = None;
        let mut id = None;
        for header in headers {
            let value = std::str::from_utf8(header.value).map_err(|error| error.to_string())?;
            match header.name {
                name if name.eq_ignore_ascii_case("content-type") => kind = Some(value),
                name if name.eq_ignore_ascii_case("content-id") => id = Some(value.to_owned()),
                _ => {}
            }
        }
        let essence = kind.and_then(|kind| kind.split(';').next()).map(str::trim);
        if !essence.is_some_and(|kind| kind.eq_ignore_ascii_case("application/http")) {
            return Err("its content type must be application/http".to_owned());
        }
        let request = request(&part[length..], outer)?;
        Ok(Self { id, request })
    }
}

/// The request that a part holds. Who sent the batch sent it, unless it says otherwise.
fn request(text: &[u8], outer: &HeaderMap) -> Result<Request<Body>, String> {
    let mut storage = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut parsed = httparse::Request::new(&mut storage);
    let length = match parsed.parse(text) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Err("its request's header does not end".to_owned()),
        Err(error) => return Err(format!("its request is wrong: {error}")),
    };
    let path = parsed.path.unwrap_or_default();
    if !path.starts_with("/compute/v1/") {
        return Err(format!("its request must be for /compute/v1/, not {path}"));
    }
    let mut builder = Request::builder()
        .method(parsed.method.unwrap_or_default())
        .uri(path);
    for header in parsed.headers.iter() {
        let name = HeaderName::from_bytes(header.name.as_bytes()).map_err(|error| error.to_string())?;
        let value = HeaderValue::from_bytes(header.value).map_err(|error| error.to_string())?;
        if ![HOST, CONTENT_LENGTH, TRANSFER_ENCODING].contains(&name) {
            builder = builder.header(name, value);
        }
    }
    let own = builder
        .headers_ref()
        .is_some_and(|headers| headers.contains_key(AUTHORIZATION));
    if let (false, Some(value)) = (own, outer.get(AUTHORIZATION)) {
        builder = builder.header(AUTHORIZATION, value);
    }
    let body = Bytes::copy_from_slice(&text[length..]);
    builder.body(Body::from(body)).map_err(|error| error.to_string())
}

async fn answer(batch: &Batch, request: Request<Body>) -> ApiResult<Vec<u8>> {
    let service = TowerToHyperService::new(batch.methods.clone());
    match service.call(request).await {
        Ok(response) => written(response).await,
        Err(never) => match never {},
    }
}

async fn written(response: Response) -> ApiResult<Vec<u8>> {
    let (head, body) = response.into_parts();
    let body = body
        .collect()
        .await
        .map_err(|error| ApiError::bad_request(format!("The answer of a part can't be read: {error}")))?;
    let body = body.to_bytes();
    let reason = head.status.canonical_reason().unwrap_or("Unknown");
    let mut text = format!("HTTP/1.1 {} {reason}\r\n", head.status.as_u16()).into_bytes();
    for (name, value) in head.headers.iter().filter(|(name, _)| **name != CONTENT_LENGTH) {
        text.extend(name.as_str().as_bytes());
        text.extend(b": ");
        text.extend(value.as_bytes());
        text.extend(b"\r\n");
    }
    text.extend(format!("content-length: {}\r\n\r\n", body.len()).bytes());
    text.extend(body);
    Ok(text)
}

fn multipart(answers: &[(Option<String>, Vec<u8>)]) -> Response {
    let mut digest = Sha256::new();
    for (_, answer) in answers {
        digest.update(answer);
    }
    let mark: String = digest.finalize()[..12]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let boundary = format!("batch_{mark}");
    let mut body = Vec::new();
    for (id, answer) in answers {
        body.extend(format!("--{boundary}\r\nContent-Type: application/http\r\n").bytes());
        if let Some(id) = id {
            let id = match id.strip_prefix('<') {
                Some(rest) => format!("<response-{rest}"),
                None => format!("response-{id}"),
            };
            body.extend(format!("Content-ID: {id}\r\n").bytes());
        }
        body.extend(b"\r\n");
        body.extend(answer);
        body.extend(b"\r\n");
    }
    body.extend(format!("--{boundary}--\r\n").bytes());
    let kind = format!("multipart/mixed; boundary=\"{boundary}\"");
    (StatusCode::OK, [(CONTENT_TYPE, kind)], body).into_response()
}
