//! The weight that an endpoint reports in the head of its reply.

use http::HeaderMap;

use crate::health::machine::{MAX_WEIGHT, WeightReport};

/// The response header by which an endpoint reports its weight.
pub const WEIGHT_HEADER: &str = "x-load-balancing-endpoint-weight";

/// A decimal number in 0..=1000, once.
pub(super) fn weight_of(headers: &HeaderMap) -> WeightReport {
    let mut values = headers.get_all(WEIGHT_HEADER).iter();
    let Some(value) = values.next() else {
        return WeightReport::Missing;
    };
    let weight = value
        .to_str()
        .ok()
        .map(|text| text.trim_matches([' ', '\t']))
        .filter(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()))
        .and_then(|text| text.parse().ok())
        .filter(|weight| *weight <= MAX_WEIGHT);
    match (weight, values.next()) {
        (Some(weight), None) => WeightReport::Reported(weight),
        _ => WeightReport::Invalid,
    }
}
