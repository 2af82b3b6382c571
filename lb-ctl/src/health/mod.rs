//! Health checks: a state machine without clock or socket, the probes that feed it, and the scheduler that runs both.
//!
//! Contract: targets in ([`HealthChecker::set_targets`]), changes of health out ([`HealthEvent`]). Nothing here knows
//! what a health change is used for.

pub mod endpoint;
mod inheritance;
pub mod machine;
pub mod path;
pub mod probe;
pub mod scheduler;

pub use endpoint::EndpointProber;
pub use inheritance::heirs;
pub use machine::{HealthState, Weight, WeightError};
pub use path::{ProbePath, ProbePaths, Via};
pub use scheduler::{HealthChecker, HealthEvent, InconclusiveReport, PaceReport, TargetId};
