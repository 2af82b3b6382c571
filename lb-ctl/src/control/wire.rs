//! The shapes of our own endpoints that are not views: what `apply` is asked, and how faults travel.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::ApplyOptions;
use crate::resources::{Document, Fault};

/// The body of `POST /lb/v1/apply`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApplyRequest {
    pub documents: Vec<WireDocument>,
    #[serde(default)]
    pub options: ApplyOptions,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WireDocument {
    pub source: String,
    /// Where in the source; the whole of it by default.
    #[serde(default = "root")]
    pub json_path: String,
    pub value: Value,
}

fn root() -> String {
    "$".to_owned()
}

/// One thing wrong, as it is told to people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WireFault {
    /// The document's source.
    pub source: String,
    /// Where in the source, such as `$[1].backends[0].group`.
    pub path: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    pub reason: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl From<Document> for WireDocument {
    fn from(document: Document) -> Self {
        Self {
            source: document.source,
            json_path: document.json_path,
            value: document.value,
        }
    }
}

impl From<WireDocument> for Document {
    fn from(document: WireDocument) -> Self {
        Self {
            source: document.source,
            json_path: document.json_path,
            value: document.value,
        }
    }
}

impl From<&Fault> for WireFault {
    fn from(fault: &Fault) -> Self {
        Self {
            source: fault.source.clone(),
            path: fault.path.clone(),
            value: fault.value.clone(),
            reason: fault.reason.clone(),
            hint: fault.hint.clone(),
        }
    }
}
