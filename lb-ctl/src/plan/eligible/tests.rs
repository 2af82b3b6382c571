//! Semantics §6, row by row, and against a literal reading of it.

use lb_common::layout::Pool;
use proptest::prelude::*;

use super::{Eligible, Endpoint, eligible};
use crate::model::{EndpointWeight, FailoverPolicy, Ratio};

/// `P+` is a healthy primary, `F-3` an unhealthy failover endpoint of weight 3.
fn endpoints(text: &str) -> Vec<Endpoint> {
    text.split_whitespace().map(endpoint).collect()
}

fn endpoint(text: &str) -> Endpoint {
    Endpoint {
        pool: match &text[..1] {
            "P" => Pool::Primary,
            "F" => Pool::Failover,
            other => panic!("{other} is no pool"),
        },
        healthy: match &text[1..2] {
            "+" => true,
            "-" => false,
            other => panic!("{other} is no health"),
        },
        weight: (text.len() > 2).then(|| EndpointWeight::parse(&text[2..]).expect("a weight")),
    }
}

/// The decimal as it is written.
fn ratio(text: &str) -> Ratio {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let denominator = 10u64.pow(fraction.len() as u32);
    let whole: u64 = whole.parse().expect("digits");
    let fraction: u64 = format!("0{fraction}").parse().expect("digits");
    Ratio {
        numerator: whole * denominator + fraction,
        denominator,
    }
}

fn policy(text: &str, drop_traffic_if_unhealthy: bool) -> FailoverPolicy {
    FailoverPolicy {
        ratio: ratio(text),
        drop_traffic_if_unhealthy,
        disable_connection_drain_on_failover: false,
    }
}

fn positions(eligible: &Eligible) -> Vec<usize> {
    eligible.endpoints.iter().map(|(position, _)| *position).collect()
}

/// Endpoints and policy; which are eligible, and of which pool.
type Row = (
    &'static str,
    Option<FailoverPolicy>,
    &'static [usize],
    Option<Pool>,
);

#[test]
fn every_row_of_the_table() {
    use Pool::{Failover, Primary};
    let drop = |text| Some(policy(text, true));
    let keep = |text| Some(policy(text, false));
    let rows: &[Row] = &[
        // No policy and no failover endpoint.
        ("P+ P- P+", None, &[0, 2], Some(Primary)),
        ("P- P-", None, &[0, 1], Some(Primary)),
        ("P+", None, &[0], Some(Primary)),
        ("", None, &[], Some(Primary)),
        // Failover endpoints without a policy: r is 0, and nothing is dropped.
        ("P+ P- F+", None, &[0], Some(Primary)),
        ("P- P- F+ F-", None, &[2], Some(Failover)),
        ("P- F-", None, &[0], Some(Primary)),
        // Hp = 0.
        ("P- F+", keep("0"), &[1], Some(Failover)),
        ("P- F+", keep("1.0"), &[1], Some(Failover)),
        // Hf = 0, whatever the ratio.
        ("P+ P- F-", keep("1.0"), &[0], Some(Primary)),
        ("P+ P- P-", keep("1.0"), &[0], Some(Primary)),
        // r = 0.
        ("P+ P- P- F+", keep("0"), &[0], Some(Primary)),
        ("P+ P- P- F+", keep("0.0"), &[0], Some(Primary)),
        // The boundary: a third against decimals on either side of it.
        ("P+ P- P- F+", keep("0.333333"), &[0], Some(Primary)),
        ("P+ P- P- F+", keep("0.3333333333333333"), &[0], Some(Primary)),
        ("P+ P- P- F+", keep("0.3333333333333334"), &[3], Some(Failover)),
        ("P+ P- P- F+", keep("0.34"), &[3], Some(Failover)),
        ("P+ P+ P- F+", keep("0.6666666666666666"), &[0, 1], Some(Primary)),
        ("P+ P+ P- F+", keep("0.6666666666666667"), &[3], Some(Failover)),
        // Exactly met.
        ("P+ P- F+", keep("0.5"), &[0], Some(Primary)),
        ("P+ P- F+", keep("0.500"), &[0], Some(Primary)),
        (
            "P+ P- P- P- P- P- P- P- P- P- F+",
            keep("0.1"),
            &[0],
            Some(Primary),
        ),
        (
            "P+ P+ P+ P- P- P- P- P- P- P- F+",
            keep("0.3"),
            &[0, 1, 2],
            Some(Primary),
        ),
        // Only all of them will do.
        ("P+ P+ F+", keep("1.0"), &[0, 1], Some(Primary)),
        ("P+ P- F+", keep("1.0"), &[2], Some(Failover)),
        ("P+ P- F+ F-", keep("1"), &[2], Some(Failover)),
        // P is empty.
        ("F+ F-", keep("0.5"), &[0], Some(Failover)),
        ("F+", None, &[0], Some(Failover)),
        ("F-", None, &[], Some(Primary)),
        ("F-", drop("0"), &[], None),
        // Nothing healthy.
        ("P- P- F-", keep("0.5"), &[0, 1], Some(Primary)),
        ("P- P- F-", drop("0.5"), &[], None),
        ("P- P-", drop("0"), &[], None),
        ("P- P-", keep("0"), &[0, 1], Some(Primary)),
        // Dropping is only for nothing healthy in both.
        ("P- F+", drop("0"), &[1], Some(Failover)),
        ("P+ F-", drop("1.0"), &[0], Some(Primary)),
    ];
    for (text, policy, expected, pool) in rows {
        let endpoints = endpoints(text);
        let result = eligible(&endpoints, policy.as_ref());
        assert_eq!(positions(&result), *expected, "{text} {policy:?}");
        assert_eq!(result.pool, *pool, "{text} {policy:?}");
        assert_eq!(result.nothing_healthy, !text.contains('+'), "{text}");
        assert!(
            result
                .endpoints
                .iter()
                .all(|(_, share)| *share == EndpointWeight::ONE),
            "{text}"
        );
    }
}

#[test]
fn weights_come_in_four_steps() {
    let rows: &[(&str, &[(usize, &str)])] = &[
        ("P+5 P+0 P-7 P+2", &[(0, "5"), (3, "2")]),
        ("P+0.5 P+0 P-7 P+1e2", &[(0, "0.5"), (3, "100")]),
        ("P+1e-6 P+0", &[(0, "0.000001")]),
        // Healthy ones of weight 0 come after unhealthy ones that have a weight.
        ("P+0 P-7 P+0 P-0 P-1", &[(1, "7"), (4, "1")]),
        // Then the healthy of weight 0, in equal shares.
        ("P+0 P-0 P+0", &[(0, "1"), (2, "1")]),
        ("P-0 P-0 F-9", &[(0, "1"), (1, "1")]),
        // Nothing healthy: all of P, by the same order.
        ("P-3 P-0 P-1000 F-9", &[(0, "3"), (2, "1000")]),
        // The pool is chosen by health alone, and weights never cross pools.
        ("P+0 F+9", &[(0, "1")]),
        ("P+0 P-4 F+9", &[(1, "4")]),
        ("P-4 F+0 F-3", &[(2, "3")]),
        ("P-4 F+0 F-0", &[(1, "1")]),
    ];
    for (text, expected) in rows {
        let shares = eligible(&endpoints(text), None).endpoints.into_iter();
        let shares: Vec<_> = shares
            .map(|(position, share)| (position, share.to_string()))
            .collect();
        let expected: Vec<_> = expected
            .iter()
            .map(|(position, share)| (*position, (*share).to_owned()))
            .collect();
        assert_eq!(shares, expected, "{text}");
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Fraction {
    numerator: u128,
    denominator: u128,
}

impl Fraction {
    /// In lowest terms.
    fn new(numerator: u128, denominator: u128) -> Self {
        let (mut a, mut b) = (numerator, denominator);
        while b != 0 {
            (a, b) = (b, a % b);
        }
        Self {
            numerator: numerator / a,
            denominator: denominator / a,
        }
    }

    /// By continued fractions: whole parts first, then the reciprocals of what is left.
    fn at_least(self, other: Self) -> bool {
        let (whole, theirs) = (
            self.numerator / self.denominator,
            other.numerator / other.denominator,
        );
        let (rest, their_rest) = (
            self.numerator % self.denominator,
            other.numerator % other.denominator,
        );
        match whole.cmp(&theirs) {
            std::cmp::Ordering::Greater => true,
            std::cmp::Ordering::Less => false,
            std::cmp::Ordering::Equal if their_rest == 0 => true,
            std::cmp::Ordering::Equal if rest == 0 => false,
            std::cmp::Ordering::Equal => {
                Self::new(other.denominator, their_rest).at_least(Self::new(self.denominator, rest))
            }
        }
    }
}

/// §6 as it is written: positions and shares, sorted.
fn literal(all: &[Endpoint], policy: Option<&FailoverPolicy>) -> Vec<(usize, EndpointWeight)> {
    let of = |pool| -> Vec<usize> { (0..all.len()).filter(|i| all[*i].pool == pool).collect() };
    let healthy = |set: &[usize]| -> Vec<usize> { set.iter().copied().filter(|i| all[*i].healthy).collect() };
    let (p, f) = (of(Pool::Primary), of(Pool::Failover));
    let (hp, hf) = (healthy(&p), healthy(&f));
    let pool = if policy.is_none() && f.is_empty() {
        p
    } else if !hp.is_empty() || !hf.is_empty() {
        let r = policy.map_or(Fraction::new(0, 1), |policy| {
            Fraction::new(policy.ratio.numerator.into(), policy.ratio.denominator.into())
        });
        if hp.is_empty() {
            f
        } else if hf.is_empty()
            || r.numerator == 0
            || Fraction::new(hp.len() as u128, p.len() as u128).at_least(r)
        {
            p
        } else {
            f
        }
    } else if policy.is_some_and(|policy| policy.drop_traffic_if_unhealthy) {
        return Vec::new();
    } else {
        p
    };
    for (healthy, positive) in [(true, true), (false, true), (true, false), (false, false)] {
        let (zero, one) = (EndpointWeight::ZERO, EndpointWeight::ONE);
        let weight = |i: usize| all[i].weight.unwrap_or(one);
        let set: Vec<_> = pool
            .iter()
            .copied()
            .filter(|i| all[*i].healthy == healthy && (weight(*i) != zero) == positive)
            .map(|i| (i, if positive { weight(i) } else { one }))
            .collect();
        if !set.is_empty() {
            return set;
        }
    }
    Vec::new()
}

fn any_endpoints() -> impl Strategy<Value = Vec<Endpoint>> {
    let weight = prop_oneof![
        Just("0"),
        Just("1e-6"),
        Just("1"),
        Just("1.5"),
        Just("3"),
        Just("1000")
    ];
    let endpoint = (any::<bool>(), any::<bool>(), weight).prop_map(|(failover, healthy, weight)| Endpoint {
        pool: if failover { Pool::Failover } else { Pool::Primary },
        healthy,
        weight: EndpointWeight::parse(weight),
    });
    (proptest::collection::vec(endpoint, 0..9), any::<bool>()).prop_map(|(mut endpoints, weighted)| {
        if !weighted {
            endpoints.iter_mut().for_each(|endpoint| endpoint.weight = None);
        }
        endpoints
    })
}

fn any_policy() -> impl Strategy<Value = Option<FailoverPolicy>> {
    let near = (0..=9u64, 1..=9u64, 0..=2u64).prop_map(|(part, whole, off)| {
        let denominator = 10u64.pow(16);
        let exact = (u128::from(part.min(whole)) * u128::from(denominator) / u128::from(whole)) as u64;
        Ratio {
            numerator: (exact + off).saturating_sub(1).min(denominator),
            denominator,
        }
    });
    proptest::option::of((near, any::<bool>()).prop_map(|(ratio, drops)| FailoverPolicy {
        ratio,
        drop_traffic_if_unhealthy: drops,
        disable_connection_drain_on_failover: false,
    }))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn agrees_with_the_literal_reading(endpoints in any_endpoints(), policy in any_policy()) {
        let result = eligible(&endpoints, policy.as_ref());
        prop_assert_eq!(&result.endpoints, &literal(&endpoints, policy.as_ref()));
        for (position, _) in &result.endpoints {
            prop_assert_eq!(Some(endpoints[*position].pool), result.pool);
        }
        let drops = policy.is_some_and(|policy| policy.drop_traffic_if_unhealthy);
        let nothing = endpoints.iter().all(|endpoint| !endpoint.healthy);
        prop_assert_eq!(result.nothing_healthy, nothing);
        prop_assert_eq!(result.pool.is_none(), nothing && drops);
    }
}
