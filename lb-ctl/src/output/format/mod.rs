//! gcloud's `--format` language: a form, its attributes in brackets, its columns in parentheses, as in
//! `csv[no-heading](name, region.basename(), backends[].group:label=GROUP)`.

mod parse;
mod print;
#[cfg(test)]
mod tests;
mod yaml;

use serde_json::Value;

pub(super) use self::print::order;
pub(crate) use self::print::text;
pub use self::yaml::{YamlError, from_yaml, to_yaml};
use super::expression::Key;

/// How data is printed.
#[derive(Clone, Debug, PartialEq)]
pub struct Format {
    form: Form,
    columns: Vec<Column>,
    attributes: Attributes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Table,
    Json,
    Yaml,
    Value,
    Csv,
    /// Nothing at all.
    None,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Attributes {
    no_heading: bool,
    /// Between columns.
    separator: Option<String>,
    /// Between the items of a list.
    delimiter: Option<String>,
}

#[derive(Clone, Debug, PartialEq)]
struct Column {
    key: Key,
    label: String,
    /// The first to sort by has the lowest.
    sort: Option<u32>,
    reverse: bool,
}

/// What is printed.
#[derive(Clone, Copy, Debug)]
pub enum Data<'a> {
    /// A list of resources: an array in JSON, rows in a table.
    Many(&'a [Value]),
    /// A single resource: an object in JSON.
    One(&'a Value),
}

impl<'a> Data<'a> {
    /// An array's items, or the one value.
    pub fn of(value: &'a Value) -> Self {
        match value {
            Value::Array(items) => Self::Many(items),
            other => Self::One(other),
        }
    }

    fn rows(self) -> &'a [Value] {
        match self {
            Self::Many(rows) => rows,
            Self::One(row) => std::slice::from_ref(row),
        }
    }
}

impl Format {
    /// Prints nothing.
    pub fn none() -> Self {
        Self::plain(Form::None)
    }

    pub fn yaml() -> Self {
        Self::plain(Form::Yaml)
    }

    pub fn table() -> Self {
        Self::plain(Form::Table)
    }

    fn plain(form: Form) -> Self {
        Self {
            form,
            columns: Vec::new(),
            attributes: Attributes::default(),
        }
    }

    pub fn is_table(&self) -> bool {
        self.form == Form::Table
    }

    /// A table whose columns are not said: the verb has its own.
    pub fn is_default_table(&self) -> bool {
        self.form == Form::Table && self.columns.is_empty()
    }

    /// With the columns of `default` for a table that has none.
    pub fn or_columns_of(mut self, default: &Self) -> Self {
        if self.is_default_table() {
            self.columns = default.columns.clone();
        }
        self
    }
}
