//! The health of one address under one health check: probe results in, health out.
//!
//! It has neither clock nor socket: whoever probes calls [`Machine::on`] once for each probe, in order. An address
//! starts unhealthy, and changes its health after as many consecutive results as the threshold says. The weight
//! follows every result at once, whatever the thresholds say.

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use crate::model::EndpointWeight;

/// What is known about one address under one health check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HealthState {
    pub healthy: bool,
    pub weight: Weight,
    /// Why the last probe failed, a sentence. Absent after a probe that succeeded.
    pub detail: Option<String>,
}

impl HealthState {
    /// The state before the first probe.
    pub fn initial() -> Self {
        Self {
            healthy: false,
            weight: Weight::default(),
            detail: Some("not probed yet".to_owned()),
        }
    }

    /// Whether a reader who decides by health and weight would decide alike: all but the detail.
    pub fn decides_like(&self, other: &Self) -> bool {
        self.healthy == other.healthy && self.weight == other.weight
    }
}

/// The weight in force for an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Weight {
    /// The last weight that was reported, or 1.
    pub value: EndpointWeight,
    /// Why the last probe brought no weight. Always absent for checks that can't carry one.
    pub error: Option<WeightError>,
}

impl Default for Weight {
    fn default() -> Self {
        Self {
            value: EndpointWeight::ONE,
            error: None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum WeightError {
    /// The reply had no weight header.
    MissingWeight,
    /// The reply's weight header was not an [`EndpointWeight`].
    InvalidWeight,
    /// There was no reply.
    UnavailableWeight,
}

impl WeightError {
    /// The value of `weightError` in the Compute API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MissingWeight => "MISSING_WEIGHT",
            Self::InvalidWeight => "INVALID_WEIGHT",
            Self::UnavailableWeight => "UNAVAILABLE_WEIGHT",
        }
    }
}

/// What one probe found out about the weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WeightReport {
    /// This kind of check carries no weight.
    NotCarried,
    Reported(EndpointWeight),
    Missing,
    Invalid,
    /// There was no reply to take it from.
    Unavailable,
}

/// What one probe found out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProbeResult {
    Success {
        weight: WeightReport,
    },
    /// No reply (then the weight is [`WeightReport::Unavailable`] or not carried), or a bad one.
    Failure {
        /// A sentence.
        reason: String,
        weight: WeightReport,
    },
    /// The probe could not be made for want of something on this host: that tells nothing about the endpoint.
    Inconclusive {
        /// A sentence.
        reason: String,
    },
}

/// How many consecutive results turn an address healthy or unhealthy, 1 or more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thresholds {
    pub healthy: u32,
    pub unhealthy: u32,
}

#[derive(Clone, Debug)]
pub struct Machine {
    thresholds: Thresholds,
    state: HealthState,
    /// Consecutive results that contradict `state.healthy`.
    contradictions: u32,
}

impl Machine {
    /// Starts from `state`: [`HealthState::initial`], or what an earlier run knew.
    pub fn new(thresholds: Thresholds, state: HealthState) -> Self {
        Self {
            thresholds,
            state,
            contradictions: 0,
        }
    }

    pub fn state(&self) -> &HealthState {
        &self.state
    }

    /// Takes the result of one probe. True when health or weight changed.
    pub fn on(&mut self, result: ProbeResult) -> bool {
        let before = (self.state.healthy, self.state.weight);
        match result {
            ProbeResult::Success { weight } => {
                self.state.detail = None;
                self.count(true);
                self.weigh(weight);
            }
            ProbeResult::Failure { reason, weight } => {
                self.state.detail = Some(reason);
                self.count(false);
                self.weigh(weight);
            }
            ProbeResult::Inconclusive { reason } => self.state.detail = Some(reason),
        }
        before != (self.state.healthy, self.state.weight)
    }

    /// Takes the thresholds of a changed check: health and weight stay, counting starts anew.
    pub fn reconfigure(&mut self, thresholds: Thresholds) {
        self.thresholds = thresholds;
        self.contradictions = 0;
    }

    fn count(&mut self, success: bool) {
        if success == self.state.healthy {
            self.contradictions = 0;
            return;
        }
        self.contradictions += 1;
        let threshold = if success {
            self.thresholds.healthy
        } else {
            self.thresholds.unhealthy
        };
        if self.contradictions >= threshold {
            self.state.healthy = success;
            self.contradictions = 0;
        }
    }

    fn weigh(&mut self, report: WeightReport) {
        let last = self.state.weight.value;
        let error = |error| Weight {
            value: last,
            error: Some(error),
        };
        self.state.weight = match report {
            WeightReport::NotCarried => Weight::default(),
            WeightReport::Reported(value) => Weight { value, error: None },
            WeightReport::Missing => error(WeightError::MissingWeight),
            WeightReport::Invalid => error(WeightError::InvalidWeight),
            WeightReport::Unavailable => error(WeightError::UnavailableWeight),
        };
    }
}
