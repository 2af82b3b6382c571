//! YAML as gcloud writes it: keys in order, texts that could be taken for something else quoted.

use serde_json::Value;

/// Why a text is not YAML, or has no equivalent in JSON.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct YamlError(String);

pub fn to_yaml(value: &Value) -> Result<String, YamlError> {
    let mut options = serde_saphyr::SerializerOptions::default();
    options.prefer_block_scalars = false;
    let sorted = sorted(value);
    serde_saphyr::to_string_with_options(&sorted, options).map_err(|error| YamlError(error.to_string()))
}

/// JSON is YAML too.
pub fn from_yaml(text: &str) -> Result<Value, YamlError> {
    serde_saphyr::from_str(text).map_err(|error| YamlError(error.to_string()))
}

fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let mut fields: Vec<(&String, &Value)> = fields.iter().collect();
            fields.sort_by_key(|(name, _)| *name);
            let fields = fields
                .into_iter()
                .map(|(name, value)| (name.clone(), sorted(value)));
            Value::Object(fields.collect())
        }
        Value::Array(items) => items.iter().map(sorted).collect(),
        other => other.clone(),
    }
}
