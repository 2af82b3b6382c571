use ::http::HeaderMap;

use super::super::weight::weight_of;
use super::*;

#[test]
fn weights_are_decimal_and_in_range() {
    let table: &[(&[&str], WeightReport)] = &[
        (&[], WeightReport::Missing),
        (&["0"], reported("0")),
        (&["1000"], reported("1000")),
        (&["007"], reported("7")),
        (&["1001"], WeightReport::Invalid),
        (&["-1"], WeightReport::Invalid),
        (&["+1"], WeightReport::Invalid),
        (&["1.5"], reported("1.5")),
        (&["1e2"], reported("100")),
        (&["1000.5"], WeightReport::Invalid),
        (&["nan"], WeightReport::Invalid),
        (&["ten"], WeightReport::Invalid),
        (&[""], WeightReport::Invalid),
        (&["99999999999999999999"], WeightReport::Invalid),
        (&["1", "2"], WeightReport::Invalid),
    ];
    for (values, expected) in table {
        let mut headers = HeaderMap::new();
        for value in *values {
            headers.append(WEIGHT_HEADER, value.parse().unwrap());
        }
        assert_eq!(weight_of(&headers), *expected, "{values:?}");
    }
}
