//! The rules of one health check.

use http::uri::{Authority, PathAndQuery};
use serde_json::Value;

use super::super::draft::{Draft, Known, Report};
use super::super::set::probe_field;

const PROBES: [&str; 7] = ["TCP", "SSL", "HTTP", "HTTPS", "HTTP2", "GRPC", "GRPC_WITH_TLS"];

pub(super) fn check(check: &Draft, report: &mut Report) {
    let timing = (check.int("timeoutSec").or(5), check.int("checkIntervalSec").or(5));
    if let (Some(timeout), Some(interval)) = timing
        && timeout > interval
    {
        report.invalid(
            check,
            "timeoutSec",
            format!("must be at most checkIntervalSec, which is {interval}"),
        );
        if !check.is_present("timeoutSec") {
            report.hint("an absent timeoutSec is 5");
        }
    }
    let Known::Is(probe) = check.text("type") else {
        return;
    };
    for other in PROBES.into_iter().filter(|other| *other != probe) {
        if let Some(field) = probe_field(other).filter(|field| check.is_present(field)) {
            report.invalid(check, field, format!("has no effect: the type is {probe}"));
        }
    }
    let Some(settings) = probe_field(probe) else {
        return;
    };
    if probe.starts_with("GRPC") && !check.is_present(settings) {
        report.invalid(check, settings, "is required: gRPC has no default port");
    }
    http_texts(check, settings, report);
    ascii(check, settings, report);
}

/// They go into a request's head as they are.
fn http_texts(check: &Draft, settings: &str, report: &mut Report) {
    let path = format!("{settings}.requestPath");
    if let Some(text) = check.text(&path).get() {
        if !text.starts_with('/') {
            report.invalid(check, &path, "must start with a slash");
        } else if !is_plain(text) {
            report.invalid(check, &path, PLAIN);
        } else if !text
            .parse::<PathAndQuery>()
            .is_ok_and(|parsed| parsed.as_str() == text)
        {
            report.invalid(
                check,
                &path,
                "must be a path, with or without a query, as a request can carry it",
            );
        }
    }
    let host = format!("{settings}.host");
    if let Some(text) = check.text(&host).get().filter(|text| !text.is_empty()) {
        if !is_plain(text) {
            report.invalid(check, &host, PLAIN);
        } else if text.contains('@') || text.parse::<Authority>().is_err() {
            report.invalid(
                check,
                &host,
                "must be a host name or address, with or without a port",
            );
        }
    }
}

const PLAIN: &str = "must be printable ASCII without spaces";

fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn ascii(check: &Draft, settings: &str, report: &mut Report) {
    for name in ["request", "response", "grpcServiceName"] {
        let field = format!("{settings}.{name}");
        if check
            .get(&field)
            .get()
            .and_then(Value::as_str)
            .is_some_and(|text| !text.is_ascii())
        {
            report.invalid(check, &field, "must be ASCII");
        }
    }
}
