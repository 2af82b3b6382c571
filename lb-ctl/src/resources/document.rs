//! Reads documents: files, directories of `*.json`, or standard input.
//!
//! A source holds one resource, an array of them, or a list document. Two things that `serde_json` lets pass are
//! faults here: a repeated key (it would keep the last) and text after the value.

use std::cell::RefCell;
use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::fault::{Fault, FaultKind, quote};

/// One resource as it was written, and where it stood.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// A file name, `-`, or any name that the faults shall carry.
    pub source: String,
    /// `$`, `$[2]`, `$.items[1]`.
    pub json_path: String,
    pub value: Value,
}

/// Reads all paths; `-` is standard input. Reports every unreadable or malformed source.
pub fn read(paths: &[PathBuf]) -> Result<Vec<Document>, Vec<Fault>> {
    let mut documents = Vec::new();
    let mut faults = Vec::new();
    for path in paths {
        let texts = match read_texts(path) {
            Ok(texts) => texts,
            Err(fault) => {
                faults.push(*fault);
                continue;
            }
        };
        for text in texts {
            match text.and_then(|(source, text)| parse(&source, &text)) {
                Ok(found) => documents.extend(found),
                Err(found) => faults.extend(found),
            }
        }
    }
    if faults.is_empty() {
        Ok(documents)
    } else {
        Err(faults)
    }
}

type NamedText = Result<(String, String), Vec<Fault>>;

fn read_texts(path: &Path) -> Result<Vec<NamedText>, Box<Fault>> {
    if path == Path::new("-") {
        let mut text = String::new();
        let read = std::io::stdin().read_to_string(&mut text);
        read.map_err(|error| Box::new(unreadable("-", &error)))?;
        return Ok(vec![Ok(("-".into(), text))]);
    }
    let files = if path.is_dir() {
        json_files(path)?
    } else {
        vec![path.to_owned()]
    };
    Ok(files.iter().map(|file| read_file(file)).collect())
}

fn read_file(file: &Path) -> NamedText {
    let source = file.display().to_string();
    match std::fs::read_to_string(file) {
        Ok(text) => Ok((source, text)),
        Err(error) => Err(vec![unreadable(&source, &error)]),
    }
}

fn json_files(directory: &Path) -> Result<Vec<PathBuf>, Box<Fault>> {
    let source = directory.display().to_string();
    let entries = std::fs::read_dir(directory).and_then(|entries| entries.collect::<Result<Vec<_>, _>>());
    let entries = entries.map_err(|error| Box::new(unreadable(&source, &error)))?;
    let mut files: Vec<PathBuf> = entries.into_iter().map(|entry| entry.path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    if files.is_empty() {
        return Err(Box::new(Fault::of_source(
            &source,
            FaultKind::Unreadable,
            "the directory holds no *.json file",
        )));
    }
    Ok(files)
}

fn unreadable(source: &str, error: &std::io::Error) -> Fault {
    Fault::of_source(source, FaultKind::Unreadable, format!("can't be read: {error}"))
}

/// Reads the documents of one text.
pub fn parse(source: &str, text: &str) -> Result<Vec<Document>, Vec<Fault>> {
    let repeated = RefCell::new(Vec::new());
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let seed = Strict {
        path: "$".into(),
        repeated: &repeated,
    };
    let value = seed
        .deserialize(&mut deserializer)
        .and_then(|value| deserializer.end().map(|()| value));
    let value = value.map_err(|error| vec![malformed(source, &error)])?;
    let faults: Vec<Fault> = repeated
        .into_inner()
        .into_iter()
        .map(|path| repeated_key(source, path))
        .collect();
    if !faults.is_empty() {
        return Err(faults);
    }
    split(source, value)
}

fn malformed(source: &str, error: &serde_json::Error) -> Fault {
    let text = error.to_string();
    let at = format!(" at line {} column {}", error.line(), error.column());
    let why = text.strip_suffix(&at).unwrap_or(&text);
    let reason = format!(
        "line {}, column {}: malformed JSON: {why}",
        error.line(),
        error.column()
    );
    Fault::of_source(source, FaultKind::Malformed, reason)
}

fn repeated_key(source: &str, path: String) -> Fault {
    Fault {
        path,
        ..Fault::of_source(
            source,
            FaultKind::Malformed,
            "the same key stands twice in one object",
        )
    }
}

fn split(source: &str, value: Value) -> Result<Vec<Document>, Vec<Fault>> {
    let document = |json_path: String, value| Document {
        source: source.into(),
        json_path,
        value,
    };
    let kind = value.get("kind").and_then(Value::as_str).unwrap_or_default();
    match value {
        Value::Array(items) => Ok(items
            .into_iter()
            .enumerate()
            .map(|(i, value)| document(format!("$[{i}]"), value))
            .collect()),
        Value::Object(ref list)
            if kind.ends_with("List") || (kind.is_empty() && list.contains_key("items")) =>
        {
            let items = list_items(source, list)?;
            Ok(items
                .into_iter()
                .enumerate()
                .map(|(i, v)| document(format!("$.items[{i}]"), v))
                .collect())
        }
        Value::Object(_) => Ok(vec![document("$".into(), value)]),
        other => {
            let reason = "expected a resource, an array of resources or a list document";
            Err(vec![Fault {
                value: Some(quote(&other)),
                ..Fault::of_source(source, FaultKind::Malformed, reason)
            }])
        }
    }
}

/// The items of a list document, each with the kind that the list implies when it has none of its own.
fn list_items(source: &str, list: &Map<String, Value>) -> Result<Vec<Value>, Vec<Fault>> {
    let fault = |field: &str, kind, reason: &str| Fault {
        path: format!("$.{field}"),
        field: field.into(),
        value: list.get(field).map(quote),
        ..Fault::of_source(source, kind, reason)
    };
    let mut faults = Vec::new();
    for (field, value) in list {
        match field.as_str() {
            "kind" | "id" | "selfLink" | "items" | "warning" | "unreachables" | "etag" => {}
            "nextPageToken" if value.as_str().is_none_or(|token| !token.is_empty()) => faults.push(fault(
                field,
                FaultKind::Invalid,
                "this is one page of a longer list; give all of it",
            )),
            "nextPageToken" => {}
            _ => faults.push(fault(
                field,
                FaultKind::UnknownField,
                "a list document has no such field",
            )),
        }
    }
    let implied = list
        .get("kind")
        .and_then(Value::as_str)
        .and_then(|kind| kind.strip_suffix("List"));
    let mut items = match list.get("items") {
        None => Vec::new(),
        Some(Value::Array(items)) => items.clone(),
        Some(_) => {
            faults.push(fault(
                "items",
                FaultKind::Malformed,
                "expected an array of resources",
            ));
            Vec::new()
        }
    };
    if !faults.is_empty() {
        return Err(faults);
    }
    for item in items.iter_mut().filter_map(Value::as_object_mut) {
        if let (Some(kind), false) = (implied, item.contains_key("kind")) {
            item.insert("kind".into(), kind.into());
        }
    }
    Ok(items)
}

/// Builds a `Value` and notes the path of every repeated key.
struct Strict<'a> {
    path: String,
    repeated: &'a RefCell<Vec<String>>,
}

impl Strict<'_> {
    fn below(&self, path: String) -> Self {
        Strict {
            path,
            repeated: self.repeated,
        }
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value)
            .map(Value::Number)
            .ok_or_else(|| E::custom("number out of range"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.into()))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut array = Vec::new();
        while let Some(value) =
            items.next_element_seed(self.below(format!("{}[{}]", self.path, array.len())))?
        {
            array.push(value);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            let path = format!("{}.{name}", self.path);
            let value = members.next_value_seed(self.below(path.clone()))?;
            if object.insert(name, value).is_some() {
                self.repeated.borrow_mut().push(path);
            }
        }
        Ok(Value::Object(object))
    }
}
