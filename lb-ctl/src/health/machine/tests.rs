use proptest::prelude::*;

use super::*;

fn machine(healthy: u32, unhealthy: u32) -> Machine {
    Machine::new(Thresholds { healthy, unhealthy }, HealthState::initial())
}

fn success() -> ProbeResult {
    ProbeResult::Success {
        weight: WeightReport::NotCarried,
    }
}

fn failure(reason: &str) -> ProbeResult {
    ProbeResult::Failure {
        reason: reason.to_owned(),
        weight: WeightReport::NotCarried,
    }
}

fn inconclusive() -> ProbeResult {
    ProbeResult::Inconclusive {
        reason: "too many open files".to_owned(),
    }
}

/// Every (health, count) that thresholds 2 and 3 can reach × every kind of result.
#[test]
fn an_endpoint_is_unhealthy_until_the_threshold() {
    for threshold in [1, 2, 10] {
        let mut machine = machine(threshold, 3);
        for _ in 1..threshold {
            machine.on(success());
            assert!(!machine.state.healthy, "{threshold}");
        }
        machine.on(success());
        assert!(machine.state.healthy, "{threshold}");
    }
    assert!(!machine(1, 1).state.healthy, "before any probe");
}

#[test]
fn the_whole_table_of_states_and_results() {
    // healthy, contradictions | result, healthy after, contradictions after, changed
    let table = [
        (false, 0, success(), false, 1, false),
        (false, 0, failure("x"), false, 0, false),
        (false, 0, inconclusive(), false, 0, false),
        (false, 1, success(), true, 0, true),
        (false, 1, failure("x"), false, 0, false),
        (false, 1, inconclusive(), false, 1, false),
        (true, 0, success(), true, 0, false),
        (true, 0, failure("x"), true, 1, false),
        (true, 0, inconclusive(), true, 0, false),
        (true, 1, success(), true, 0, false),
        (true, 1, failure("x"), true, 2, false),
        (true, 1, inconclusive(), true, 1, false),
        (true, 2, success(), true, 0, false),
        (true, 2, failure("x"), false, 0, true),
        (true, 2, inconclusive(), true, 2, false),
    ];
    for (healthy, contradictions, result, healthy_after, contradictions_after, changed) in table {
        let mut machine = machine(2, 3);
        machine.state.healthy = healthy;
        machine.contradictions = contradictions;
        let said = machine.on(result.clone());
        let after = (machine.state.healthy, machine.contradictions, said);
        let expected = (healthy_after, contradictions_after, changed);
        assert_eq!(after, expected, "{healthy} {contradictions} on {result:?}");
    }
}

/// Every weight in force × every report.
#[test]
fn the_whole_table_of_weights_and_reports() {
    use WeightError::*;
    let weights = [
        Weight {
            value: EndpointWeight::whole(1),
            error: None,
        },
        Weight {
            value: EndpointWeight::whole(7),
            error: None,
        },
        Weight {
            value: EndpointWeight::whole(7),
            error: Some(MissingWeight),
        },
        Weight {
            value: EndpointWeight::whole(7),
            error: Some(InvalidWeight),
        },
        Weight {
            value: EndpointWeight::whole(7),
            error: Some(UnavailableWeight),
        },
    ];
    for before in weights {
        let keep = |error| Weight {
            value: before.value,
            error: Some(error),
        };
        let rows = [
            (
                WeightReport::NotCarried,
                Weight {
                    value: EndpointWeight::whole(1),
                    error: None,
                },
            ),
            (
                WeightReport::Reported(EndpointWeight::whole(0)),
                Weight {
                    value: EndpointWeight::whole(0),
                    error: None,
                },
            ),
            (
                WeightReport::Reported(EndpointWeight::whole(1000)),
                Weight {
                    value: EndpointWeight::whole(1000),
                    error: None,
                },
            ),
            (WeightReport::Missing, keep(MissingWeight)),
            (WeightReport::Invalid, keep(InvalidWeight)),
            (WeightReport::Unavailable, keep(UnavailableWeight)),
        ];
        for (weight, after) in rows {
            for success in [true, false] {
                let mut machine = machine(10, 10);
                machine.state.weight = before;
                let reason = "x".to_owned();
                let changed = machine.on(match success {
                    true => ProbeResult::Success { weight },
                    false => ProbeResult::Failure { reason, weight },
                });
                assert_eq!(machine.state.weight, after, "{before:?} on {weight:?}");
                assert_eq!(changed, before != after, "{before:?} on {weight:?}");
            }
        }
    }
}

#[test]
fn a_threshold_of_one_acts_at_once() {
    let mut machine = machine(1, 1);
    assert!(machine.on(success()));
    assert!(machine.state().healthy);
    assert!(machine.on(failure("connection refused")));
    assert!(!machine.state().healthy);
}

#[test]
fn the_detail_is_the_last_failure_and_no_change_by_itself() {
    let mut machine = machine(1, 3);
    assert_eq!(machine.state(), &HealthState::initial());
    machine.on(success());
    assert_eq!(machine.state().detail, None);
    assert!(!machine.on(failure("connection refused")));
    assert_eq!(machine.state().detail.as_deref(), Some("connection refused"));
    assert!(!machine.on(inconclusive()));
    assert_eq!(machine.state().detail.as_deref(), Some("too many open files"));
}

#[test]
fn a_changed_check_keeps_the_health_and_counts_anew() {
    let mut machine = machine(2, 3);
    machine.on(success());
    machine.reconfigure(Thresholds {
        healthy: 2,
        unhealthy: 1,
    });
    machine.on(success());
    assert!(
        !machine.state().healthy,
        "the success before the change does not count"
    );
    machine.on(success());
    assert!(machine.state().healthy);
    machine.reconfigure(Thresholds {
        healthy: 2,
        unhealthy: 1,
    });
    assert!(machine.state().healthy);
}

#[test]
fn weight_errors_have_the_names_of_the_api() {
    for error in [
        WeightError::MissingWeight,
        WeightError::InvalidWeight,
        WeightError::UnavailableWeight,
    ] {
        assert_eq!(serde_json::to_value(error).unwrap(), error.as_str());
    }
}

fn any_report() -> impl Strategy<Value = WeightReport> {
    prop_oneof![
        (0..=1000u32).prop_map(|weight| WeightReport::Reported(EndpointWeight::whole(weight))),
        Just(WeightReport::Missing),
        Just(WeightReport::Invalid),
        Just(WeightReport::Unavailable),
    ]
}

fn any_result() -> impl Strategy<Value = ProbeResult> {
    prop_oneof![
        4 => any_report().prop_map(|weight| ProbeResult::Success { weight }),
        4 => any_report().prop_map(|weight| ProbeResult::Failure { reason: "x".to_owned(), weight }),
        1 => Just(inconclusive()),
    ]
}

/// The definition, applied to the whole history: the health is that of the latest run of equal results that reached
/// its threshold, and the weight is the latest that was reported.
fn reference(thresholds: Thresholds, history: &[ProbeResult]) -> (bool, Weight) {
    let conclusive: Vec<_> = history
        .iter()
        .filter(|r| !matches!(r, ProbeResult::Inconclusive { .. }))
        .collect();
    let healthy = conclusive
        .chunk_by(|a, b| std::mem::discriminant(*a) == std::mem::discriminant(*b))
        .rev()
        .find_map(|run| {
            let success = matches!(run[0], ProbeResult::Success { .. });
            let threshold = if success {
                thresholds.healthy
            } else {
                thresholds.unhealthy
            };
            (run.len() >= threshold as usize).then_some(success)
        })
        .unwrap_or(false);
    let reports: Vec<_> = conclusive
        .iter()
        .map(|result| match result {
            ProbeResult::Success { weight } | ProbeResult::Failure { weight, .. } => *weight,
            ProbeResult::Inconclusive { .. } => unreachable!("filtered"),
        })
        .collect();
    let value = reports
        .iter()
        .rev()
        .find_map(|report| {
            if let WeightReport::Reported(value) = report {
                Some(*value)
            } else {
                None
            }
        })
        .unwrap_or(EndpointWeight::ONE);
    let error = match reports.last() {
        Some(WeightReport::Missing) => Some(WeightError::MissingWeight),
        Some(WeightReport::Invalid) => Some(WeightError::InvalidWeight),
        Some(WeightReport::Unavailable) => Some(WeightError::UnavailableWeight),
        _ => None,
    };
    (healthy, Weight { value, error })
}

proptest! {
    #[test]
    fn agrees_with_the_definition_after_every_result(
        healthy in 1u32..=4,
        unhealthy in 1u32..=4,
        history in proptest::collection::vec(any_result(), 0..60),
    ) {
        let thresholds = Thresholds { healthy, unhealthy };
        let mut machine = Machine::new(thresholds, HealthState::initial());
        for (index, result) in history.iter().enumerate() {
            let before = machine.state().clone();
            let changed = machine.on(result.clone());
            let after = machine.state();
            prop_assert_eq!((after.healthy, after.weight), reference(thresholds, &history[..=index]));
            prop_assert_eq!(changed, !before.decides_like(after));
        }
    }
}
