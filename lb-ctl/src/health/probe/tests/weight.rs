use ::http::HeaderMap;

use super::super::weight::weight_of;
use super::*;

#[test]
fn weights_are_decimal_and_in_range() {
    let table: &[(&[&str], WeightReport)] = &[
        (&[], WeightReport::Missing),
        (&["0"], WeightReport::Reported(0)),
        (&["1000"], WeightReport::Reported(1000)),
        (&["007"], WeightReport::Reported(7)),
        (&["1001"], WeightReport::Invalid),
        (&["-1"], WeightReport::Invalid),
        (&["+1"], WeightReport::Invalid),
        (&["1.5"], WeightReport::Invalid),
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
