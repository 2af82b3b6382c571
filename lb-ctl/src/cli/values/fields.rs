//! A JSON object made of flags: what was not given is not in it.

use serde_json::{Map, Value};

#[derive(Debug, Default, PartialEq)]
pub(in crate::cli) struct Fields(Map<String, Value>);

impl Fields {
    /// Sets the field if there is a value. Dots lead into objects: `failoverPolicy.failoverRatio`.
    pub(in crate::cli) fn set(&mut self, path: &str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            let (object, name) = self.parent(path);
            object.insert(name.to_owned(), value.into());
        }
    }

    /// In a merge patch: removes the field.
    pub(in crate::cli) fn clear(&mut self, path: &str) {
        self.set(path, Some(Value::Null));
    }

    /// Sets the field, and removes it by an empty text, as gcloud's updates do.
    pub(in crate::cli) fn set_or_clear(&mut self, path: &str, value: Option<&String>) {
        match value {
            Some(text) if text.is_empty() => self.clear(path),
            other => self.set(path, other.cloned()),
        }
    }

    pub(in crate::cli) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn parent<'a>(&mut self, path: &'a str) -> (&mut Map<String, Value>, &'a str) {
        let mut object = &mut self.0;
        let mut rest = path;
        while let Some((name, inner)) = rest.split_once('.') {
            let value = object.entry(name).or_insert_with(|| Map::new().into());
            if !value.is_object() {
                *value = Map::new().into();
            }
            object = value.as_object_mut().expect("it was just made one");
            rest = inner;
        }
        (object, rest)
    }
}

impl From<Fields> for Value {
    fn from(fields: Fields) -> Self {
        Self::Object(fields.0)
    }
}
