//! Data in a `Format`.

use std::cmp::Ordering;
use std::io::{self, Write};

use serde_json::{Value, json};

use super::{Column, Data, Form, Format, to_yaml};
use crate::output::render_json;
use crate::output::table::columns;

impl Format {
    pub fn print(&self, out: &mut dyn Write, data: Data<'_>) -> io::Result<()> {
        match self.form {
            Form::None => Ok(()),
            Form::Json => match data {
                Data::Many(rows) => render_json(
                    out,
                    &rows.iter().map(|row| self.projected(row)).collect::<Vec<_>>(),
                ),
                Data::One(value) => render_json(out, &self.projected(value)),
            },
            Form::Yaml => self.documents(out, data),
            Form::Table => self.table_of(out, data),
            Form::Value => self.values(out, data),
            Form::Csv => self.csv(out, data),
        }
    }

    /// Several are documents of one stream.
    fn documents(&self, out: &mut dyn Write, data: Data<'_>) -> io::Result<()> {
        for row in data.rows() {
            if matches!(data, Data::Many(_)) {
                writeln!(out, "---")?;
            }
            let text = to_yaml(&self.projected(row)).map_err(io::Error::other)?;
            writeln!(out, "{}", text.trim_end())?;
        }
        Ok(())
    }

    fn table_of(&self, out: &mut dyn Write, data: Data<'_>) -> io::Result<()> {
        let rows = self.sorted(data).into_iter();
        let rows = rows.map(|row| {
            self.columns
                .iter()
                .map(|column| text(&column.key.get(row)))
                .collect()
        });
        let labels: Vec<&str> = self.columns.iter().map(|column| column.label.as_str()).collect();
        let header = (!self.attributes.no_heading).then_some(labels.as_slice());
        columns(out, header, rows)
    }

    fn values(&self, out: &mut dyn Write, data: Data<'_>) -> io::Result<()> {
        let separator = self.attributes.separator.as_deref().unwrap_or("\t");
        for row in self.sorted(data) {
            writeln!(out, "{}", self.cells(row).join(separator))?;
        }
        Ok(())
    }

    fn csv(&self, out: &mut dyn Write, data: Data<'_>) -> io::Result<()> {
        let separator = self.attributes.separator.as_deref().unwrap_or(",").as_bytes()[0];
        let mut csv = csv::WriterBuilder::new().delimiter(separator).from_writer(out);
        if !self.attributes.no_heading {
            csv.write_record(self.columns.iter().map(|column| column.label.to_lowercase()))?;
        }
        for row in self.sorted(data) {
            csv.write_record(self.cells(row))?;
        }
        csv.flush()
    }

    fn cells(&self, row: &Value) -> Vec<String> {
        let delimiter = self.attributes.delimiter.as_deref().unwrap_or(";");
        self.columns
            .iter()
            .map(|column| delimited(&column.key.get(row), delimiter))
            .collect()
    }

    /// By the columns that say so, else as it came.
    fn sorted<'a>(&self, data: Data<'a>) -> Vec<&'a Value> {
        let mut by: Vec<&Column> = self
            .columns
            .iter()
            .filter(|column| column.sort.is_some())
            .collect();
        by.sort_by_key(|column| column.sort);
        let mut rows: Vec<&Value> = data.rows().iter().collect();
        rows.sort_by(|a, b| {
            by.iter()
                .map(|column| {
                    let order = order(&column.key.get(a), &column.key.get(b));
                    if column.reverse { order.reverse() } else { order }
                })
                .find(|order| order.is_ne())
                .unwrap_or(Ordering::Equal)
        });
        rows
    }

    /// Only the fields that columns name, where they are; all of them without columns.
    fn projected(&self, value: &Value) -> Value {
        if self.columns.is_empty() {
            return value.clone();
        }
        let parts = self.columns.iter().map(|column| column.key.project(value));
        parts.fold(json!({}), merged)
    }
}

/// Both, item by item and field by field.
fn merged(a: Value, b: Value) -> Value {
    match (a, b) {
        (a, Value::Null) => a,
        (Value::Object(mut a), Value::Object(b)) => {
            for (name, value) in b {
                let before = a.get_mut(&name).map(Value::take).unwrap_or_default();
                a.insert(name, merged(before, value));
            }
            Value::Object(a)
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            a.into_iter().zip(b).map(|(a, b)| merged(a, b)).collect()
        }
        (_, b) => b,
    }
}

/// A total order: what is absent, then numbers, then all else as text.
pub(in crate::output) fn order(a: &Value, b: &Value) -> Ordering {
    let rank = |value: &Value| match value {
        Value::Null => 0,
        Value::Number(_) => 1,
        _ => 2,
    };
    rank(a)
        .cmp(&rank(b))
        .then_with(|| match (a.as_f64(), b.as_f64()) {
            (Some(a), Some(b)) => a.total_cmp(&b),
            _ => text(a).cmp(&text(b)),
        })
}

/// One line of text for any value: nothing for null, gcloud's spelling of truth, brackets around what has parts.
pub(crate) fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Array(items) => {
            format!("[{}]", items.iter().map(quoted).collect::<Vec<_>>().join(", "))
        }
        Value::Object(fields) => {
            let fields = fields
                .iter()
                .map(|(name, value)| format!("'{name}': {}", quoted(value)));
            format!("{{{}}}", fields.collect::<Vec<_>>().join(", "))
        }
    }
}

fn quoted(value: &Value) -> String {
    match value {
        Value::String(text) => format!("'{text}'"),
        Value::Null => "None".to_owned(),
        other => text(other),
    }
}

fn delimited(value: &Value, delimiter: &str) -> String {
    match value {
        Value::Array(items) => items.iter().map(text).collect::<Vec<_>>().join(delimiter),
        Value::Object(fields) => {
            let fields = fields
                .iter()
                .map(|(name, value)| format!("{name}={}", text(value)));
            fields.collect::<Vec<_>>().join(delimiter)
        }
        other => text(other),
    }
}
