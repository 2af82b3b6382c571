//! What is right by the reference and not done by this release: one list, to be emptied.

use serde_json::Value;

use super::draft::{Draft, Drafts, Report};
use super::fault::{Fault, FaultKind};
use super::kind::Kind;

struct NotYet {
    kind: Kind,
    field: &'static str,
    when: When,
    what: &'static str,
}

enum When {
    True,
    Is(&'static [&'static str]),
}

const NOT_YET: &[NotYet] = &[
    NotYet {
        kind: Kind::BackendService,
        field: "logConfig.enable",
        when: When::True,
        what: "connection logs",
    },
    NotYet {
        kind: Kind::HealthCheck,
        field: "type",
        when: When::Is(&["SSL", "HTTPS", "HTTP2", "GRPC", "GRPC_WITH_TLS"]),
        what: "probes other than TCP and HTTP",
    },
];

pub(super) fn find(drafts: &Drafts) -> Vec<Fault> {
    let mut report = Report::default();
    for draft in drafts.values() {
        for entry in NOT_YET
            .iter()
            .filter(|entry| entry.kind == draft.kind && entry.applies(draft))
        {
            let reason = format!("not supported yet: {}", entry.what);
            report.fault(draft, entry.field, FaultKind::NotSupportedYet, reason);
        }
    }
    report.faults
}

impl NotYet {
    fn applies(&self, draft: &Draft) -> bool {
        let Some(value) = draft.get(self.field).get() else {
            return false;
        };
        match self.when {
            When::True => *value == Value::Bool(true),
            When::Is(values) => value.as_str().is_some_and(|value| values.contains(&value)),
        }
    }
}
