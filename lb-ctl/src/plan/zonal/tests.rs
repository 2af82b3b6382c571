//! Semantics §6 "Zonal affinity", row by row.

use lb_common::layout::Pool;

use super::refine;
use crate::model::{EndpointWeight, FailoverPolicy, Ratio, ZonalAffinity};
use crate::plan::eligible::{Endpoint, eligible};

/// `a+` is a healthy endpoint in zone a, `b-` an unhealthy one in zone b; `!` makes it a failover endpoint, a number
/// is its weight.
fn endpoint(text: &str) -> (char, Endpoint) {
    let zone = text.chars().next().expect("a zone");
    let weight = text[2..].trim_end_matches('!');
    let endpoint = Endpoint {
        pool: if text.ends_with('!') {
            Pool::Failover
        } else {
            Pool::Primary
        },
        healthy: match &text[1..2] {
            "+" => true,
            "-" => false,
            other => panic!("{other} is no health"),
        },
        weight: (!weight.is_empty()).then(|| EndpointWeight::parse(weight).expect("a weight")),
    };
    (zone, endpoint)
}

fn percent(percent: u64) -> Ratio {
    Ratio {
        numerator: percent,
        denominator: 100,
    }
}

fn spill(ratio: u64) -> ZonalAffinity {
    ZonalAffinity::SpillCrossZone(percent(ratio))
}

const STAY: ZonalAffinity = ZonalAffinity::StayWithinZone;

/// What clients of zone a see: the endpoints by their place in `text`, or nothing for the service's own set.
fn seen(text: &str, affinity: ZonalAffinity, policy: Option<FailoverPolicy>) -> Option<Vec<usize>> {
    let (zones, endpoints): (Vec<char>, Vec<Endpoint>) = text.split_whitespace().map(endpoint).unzip();
    let eligible = eligible(&endpoints, policy.as_ref());
    let refined = refine(&endpoints, |position| zones[position] == 'a', &eligible, affinity)?;
    Some(refined.into_iter().map(|(position, _)| position).collect())
}

#[test]
fn every_row_without_failover() {
    let rows: &[(&str, ZonalAffinity, Option<&[usize]>)] = &[
        // Something eligible in the zone.
        ("a+ b+", STAY, Some(&[0])),
        ("a+ a- a+ b+", STAY, Some(&[0, 2])),
        // Nothing eligible in the zone: all unhealthy in it.
        ("a- b+", STAY, Some(&[0])),
        ("a- b+ a-", STAY, Some(&[0, 2])),
        // The last resort: all, so all in the zone.
        ("a- b- a-", STAY, Some(&[0, 2])),
        // No configured backend in the zone.
        ("b+ c-", STAY, None),
        ("b- c-", STAY, None),
        // The same set needs no table of its own.
        ("a+ a+", STAY, None),
        ("a+ b-", STAY, None),
        // Spill with ratio 0: whatever is eligible in the zone.
        ("a+ a- a- a- b+", spill(0), Some(&[0])),
        ("a- b+", spill(0), None),
        ("b+ c+", spill(0), None),
        // Exactly the ratio is enough, less is not.
        ("a+ a- b+", spill(50), Some(&[0])),
        ("a+ a- a- b+", spill(50), None),
        ("a+ a+ a- b+", spill(66), Some(&[0, 1])),
        ("a+ a+ a- b+", spill(67), None),
        ("a+ a+ b+", spill(100), Some(&[0, 1])),
        ("a+ a- b+", spill(100), None),
        ("a- b+", spill(1), None),
        // The last resort is not refined.
        ("a- b-", spill(0), None),
        ("a- b- b-", spill(50), None),
    ];
    for (text, affinity, expected) in rows {
        let expected = expected.map(<[usize]>::to_vec);
        assert_eq!(seen(text, *affinity, None), expected, "{text} {affinity:?}");
    }
}

#[test]
fn only_the_active_pool_counts() {
    let policy = |ratio, drop_traffic_if_unhealthy| {
        Some(FailoverPolicy {
            ratio: percent(ratio),
            drop_traffic_if_unhealthy,
            disable_connection_drain_on_failover: false,
        })
    };
    type Row = (
        &'static str,
        ZonalAffinity,
        Option<FailoverPolicy>,
        Option<&'static [usize]>,
    );
    let rows: &[Row] = &[
        // Primary is active.
        ("a+ b+ a+!", STAY, policy(0, false), Some(&[0])),
        ("b+ b+ a+!", STAY, policy(0, false), None),
        ("a- b+ a+!", STAY, policy(0, false), Some(&[0])),
        ("a+ b+ a-! a-!", spill(100), policy(0, false), Some(&[0])),
        // Failover is active.
        ("a- b- a+! b+!", STAY, policy(0, false), Some(&[2])),
        ("a+ b- a+! b+!", STAY, policy(60, false), Some(&[2])),
        ("a- b- a+! b+!", spill(100), policy(0, false), Some(&[2])),
        ("a- b- b+! c+!", STAY, policy(0, false), None),
        // Nothing is healthy: all of the primary pool, or dropped.
        ("a- b- a-!", STAY, policy(0, false), Some(&[0])),
        ("b- b- a-!", STAY, policy(0, false), None),
        ("a- b- a-!", STAY, policy(0, true), None),
        // Others are healthy: nothing is dropped.
        ("a- b+", STAY, policy(0, true), Some(&[0])),
    ];
    for (text, affinity, policy, expected) in rows {
        let expected = expected.map(<[usize]>::to_vec);
        assert_eq!(
            seen(text, *affinity, *policy),
            expected,
            "{text} {affinity:?} {policy:?}"
        );
    }
}

#[test]
fn weights_refine_health() {
    let rows: &[(&str, ZonalAffinity, Option<&[usize]>)] = &[
        ("a+5 b+1", STAY, Some(&[0])),
        // In the zone the four sets are tried in their order.
        ("a+0 a-3 b+1", STAY, Some(&[1])),
        ("a+0 a-0 b+1", STAY, Some(&[0])),
        ("a+0 b+1", spill(0), None),
        // Healthy is healthy, whatever the weight.
        ("a+0 a+5 b+1", spill(100), Some(&[1])),
        // Unhealthy endpoints with weight: a last resort.
        ("a-5 a+0 b-5", spill(0), None),
        ("a-5 a+0 b-5", STAY, Some(&[0])),
    ];
    for (text, affinity, expected) in rows {
        let expected = expected.map(<[usize]>::to_vec);
        assert_eq!(seen(text, *affinity, None), expected, "{text} {affinity:?}");
    }
}

#[test]
fn shares_are_the_weights() {
    let (zones, endpoints): (Vec<char>, Vec<Endpoint>) =
        ["a+3", "a+7", "b+1"].iter().map(|text| endpoint(text)).unzip();
    let eligible = eligible(&endpoints, None);
    let refined = refine(&endpoints, |position| zones[position] == 'a', &eligible, STAY);
    let shares = [(0, EndpointWeight::whole(3)), (1, EndpointWeight::whole(7))];
    assert_eq!(refined, Some(shares.to_vec()));
}
