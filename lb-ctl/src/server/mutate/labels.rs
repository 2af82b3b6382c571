//! `setLabels`, which forwarding rules have.

use serde_json::json;

use super::change::{Absent, condition_not_met, is_current};
use super::write::Written;
use super::{Object, only_fields};
use crate::server::error::ApiResult;

const STALE: &str = "Labels fingerprint either invalid or resource labels have changed";

/// All labels are replaced; the fingerprint of those that the client has seen is needed.
pub(super) fn set_labels(stored: &Object, mut body: Object) -> ApiResult<Written> {
    let (current, sent) = (stored.get("labelFingerprint"), body.get("labelFingerprint"));
    if !is_current(current, sent, Absent::Fails) {
        return Err(condition_not_met(STALE));
    }
    let faults = only_fields(&body, &["labels", "labelFingerprint"]);
    let mut resource = stored.clone();
    resource.shift_remove("labels");
    let labels = body.shift_remove("labels");
    if let Some(labels) = labels.filter(|labels| !labels.is_null() && *labels != json!({})) {
        resource.insert("labels".to_owned(), labels);
    }
    Ok(Written::new(resource, faults))
}
