//! What the kernel should hold, derived from resources, health and network: pure, without IO.
//!
//! [`compile`] makes the next [`Plan`] from its inputs and the previous plan, because numbers, drain deadlines and the
//! active pool depend on history; [`diff::diff`] says what to change in the maps. A health change, a moved neighbour
//! and a new file all take this road.

pub mod announce;
mod arrivals;
mod backends;
mod compile;
pub mod contents;
mod delivery;
pub mod diff;
mod eligible;
mod leading;
mod limits;
mod members;
mod numbers;
mod pending;
mod probes;
mod recipe;
mod regions;
mod relocate;
mod removed;
mod retired;
mod room;
mod rules;
mod saved;
mod selection;
mod service;
#[cfg(test)]
pub(crate) mod tests;
mod unclaimed;
pub mod ways;
mod zonal;
mod zones;

pub use arrivals::{Arrivals, Arriving, arriving};
pub use compile::{HealthMap, Inputs, Plan, Scope, compile, compile_what_fits};
pub use limits::{LeftOut, Limits, PlanError};
pub use members::{EndpointId, MemberPlan, MemberStatus, Obstacle};
pub use pending::{BuiltTables, Pending};
pub use probes::{ProbeDestination, ProbedVips, Probing};
pub use recipe::{BuiltTable, TableBuild};
pub use retired::TableMark;
pub use room::TableSpace;
pub use rules::vip_key;
pub use saved::{SavedCommon, SavedMembers, SavedPlan, SavedService};
pub use service::{IpFamily, ServiceKey, ServicePlan, address_of, families_in_use};
pub use ways::{Undeliverable, Way, WayInputs, Ways, ways};
pub use zones::ZonePrefixes;
