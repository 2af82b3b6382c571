//! Rules whose address the host itself knows to be wrong.

use std::net::IpAddr;

use super::apply::{new_drafts, sorted};
use super::document::Document;
use super::draft::Report;
use super::fault::Fault;
use super::kind::{Kind, Scope};
use super::rules;
use super::set::Resources;
use super::typed;

/// Why an address can't be a VIP, and what to do about it.
pub struct RefusedVip {
    pub reason: String,
    pub hint: String,
}

impl Resources {
    /// A fault for each rule of the documents whose address `judge` refuses. A rule that has its address already is
    /// right: whatever came after it is no fault of the document's.
    pub fn refused_vips(
        &self,
        documents: &[Document],
        scope: &Scope,
        judge: impl Fn(IpAddr) -> Option<RefusedVip>,
    ) -> Vec<Fault> {
        let mut report = Report::default();
        let drafts = new_drafts(documents, scope, &mut Report::default());
        let rules = drafts.values().filter(|draft| draft.kind == Kind::ForwardingRule);
        for rule in rules {
            let Some(vip) = rules::vip(rule) else { continue };
            let stored = self
                .get(&rule.path)
                .and_then(|stored| stored.value.get("IPAddress"));
            let stored = stored.and_then(|text| typed::vip(text.as_str()?).ok());
            if stored == Some(vip) {
                continue;
            }
            if let Some(refused) = judge(vip.address) {
                report.invalid(rule, "IPAddress", refused.reason);
                report.hint(refused.hint);
            }
        }
        sorted(report.faults)
    }
}
