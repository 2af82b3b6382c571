//! What is right by the reference and not done by this release: one list, to be emptied.

use super::draft::{Drafts, Report};
use super::fault::{Fault, FaultKind};
use super::kind::Kind;

struct NotYet {
    kind: Kind,
    /// It asks for something when it is true.
    field: &'static str,
    what: &'static str,
}

const NOT_YET: &[NotYet] = &[NotYet {
    kind: Kind::BackendService,
    field: "logConfig.enable",
    what: "connection logs",
}];

pub(super) fn find(drafts: &Drafts) -> Vec<Fault> {
    let mut report = Report::default();
    for draft in drafts.values() {
        for entry in NOT_YET
            .iter()
            .filter(|entry| entry.kind == draft.kind && draft.flag(entry.field))
        {
            let reason = format!("not supported yet: {}", entry.what);
            report.fault(draft, entry.field, FaultKind::NotSupportedYet, reason);
        }
    }
    report.faults
}
