//! The weight that an endpoint reports in the head of its reply.

use http::HeaderMap;

use crate::health::machine::WeightReport;
use crate::model::EndpointWeight;

/// The response header by which an endpoint reports its weight.
pub const WEIGHT_HEADER: &str = "x-load-balancing-endpoint-weight";

/// A weight, once.
pub(super) fn weight_of(headers: &HeaderMap) -> WeightReport {
    let mut values = headers.get_all(WEIGHT_HEADER).iter();
    let Some(value) = values.next() else {
        return WeightReport::Missing;
    };
    let weight = value
        .to_str()
        .ok()
        .and_then(|text| EndpointWeight::parse(text.trim_matches([' ', '\t'])));
    match (weight, values.next()) {
        (Some(weight), None) => WeightReport::Reported(weight),
        _ => WeightReport::Invalid,
    }
}
