//! What fields mean together: within a resource, between resources, and between forwarding rules.

mod backend_service;
mod forwarding_rule;
mod group;
mod ha_policy;
mod health_check;
mod log_config;
mod overlap;

pub(super) use forwarding_rule::{ports, source_ranges, vip};
pub(super) use log_config::{SAMPLE_RATE, chosen as chosen_log_fields};
pub(super) use overlap::steers_from;

use super::draft::{Drafts, Report};
use super::kind::Kind;

/// Reports everything that is wrong with references resolved. Conclusions are drawn only from fields that are right.
pub(super) fn check(drafts: &Drafts, report: &mut Report) {
    for draft in drafts.values() {
        match draft.kind {
            Kind::BackendService => backend_service::check(draft, drafts, report),
            Kind::ForwardingRule => forwarding_rule::check(draft, drafts, report),
            Kind::HealthCheck => health_check::check(draft, report),
            Kind::NetworkEndpointGroup => group::check_endpoints(draft, drafts, report),
            Kind::InstanceGroup => group::check_instances(draft, drafts, report),
            Kind::Instance => group::check_instance(draft, report),
        }
    }
    overlap::check(drafts, report);
}
