//! Text to `Format`.

use std::str::FromStr;

use super::{Attributes, Column, Form, Format};
use crate::output::expression::{Cursor, Key, SyntaxError};

const FORMS: [(&str, Form); 6] = [
    ("table", Form::Table),
    ("json", Form::Json),
    ("yaml", Form::Yaml),
    ("value", Form::Value),
    ("csv", Form::Csv),
    ("none", Form::None),
];

impl FromStr for Format {
    type Err = SyntaxError;

    fn from_str(text: &str) -> Result<Self, SyntaxError> {
        let mut cursor = Cursor::new(text.trim());
        let form = form(&mut cursor)?;
        let attributes = if cursor.eat("[") {
            attributes(&mut cursor, form)?
        } else {
            Attributes::default()
        };
        cursor.skip_space();
        let columns = if cursor.eat("(") {
            columns(&mut cursor)?
        } else {
            Vec::new()
        };
        cursor.skip_space();
        if !cursor.at_end() {
            return Err(cursor.error("expected nothing more"));
        }
        if columns.is_empty() && matches!(form, Form::Value | Form::Csv) {
            return Err(cursor.error("expected columns, as in value(name,region)"));
        }
        Ok(Self {
            form,
            columns,
            attributes,
        })
    }
}

fn form(cursor: &mut Cursor<'_>) -> Result<Form, SyntaxError> {
    let before = cursor.clone();
    let name = cursor.take_while(|c| c.is_alphanumeric() || matches!(c, '-' | '_'));
    let known = FORMS.iter().find(|(known, _)| *known == name);
    known.map(|(_, form)| *form).ok_or_else(|| {
        let names: Vec<&str> = FORMS.iter().map(|(name, _)| *name).collect();
        before.error(format!("there is no format '{name}', only {}", names.join(", ")))
    })
}

fn attributes(cursor: &mut Cursor<'_>, form: Form) -> Result<Attributes, SyntaxError> {
    let mut attributes = Attributes::default();
    loop {
        cursor.skip_space();
        let before = cursor.clone();
        let name = cursor.take_while(|c| c.is_alphanumeric() || matches!(c, '-' | '_'));
        let value = match cursor.eat("=") {
            true => Some(value(cursor)?),
            false => None,
        };
        match (name, value) {
            ("no-heading", None) if matches!(form, Form::Table | Form::Csv) => attributes.no_heading = true,
            ("separator", Some(value)) if form == Form::Csv && (value.len() != 1 || !value.is_ascii()) => {
                return Err(before.error("the separator of csv is one ASCII character"));
            }
            ("separator", Some(value)) if matches!(form, Form::Value | Form::Csv) => {
                attributes.separator = Some(value);
            }
            ("delimiter", Some(value)) if matches!(form, Form::Value | Form::Csv) => {
                attributes.delimiter = Some(value);
            }
            _ => {
                return Err(before.error(
                    "expected no-heading (of table and csv), separator=… or delimiter=… (of value and csv)",
                ));
            }
        }
        cursor.skip_space();
        if cursor.eat("]") {
            return Ok(attributes);
        }
        cursor.expect(",")?;
    }
}

fn value(cursor: &mut Cursor<'_>) -> Result<String, SyntaxError> {
    match cursor.quoted()? {
        Some(text) => Ok(unescape(&text)),
        None => Ok(unescape(cursor.take_while(|c| !matches!(c, ',' | ']')))),
    }
}

/// A shell makes it hard to give a tab or a new line itself.
fn unescape(text: &str) -> String {
    match text {
        "\\t" | "t" => "\t".to_owned(),
        "\\n" | "n" => "\n".to_owned(),
        other => other.to_owned(),
    }
}

fn columns(cursor: &mut Cursor<'_>) -> Result<Vec<Column>, SyntaxError> {
    let mut columns = Vec::new();
    loop {
        cursor.skip_space();
        columns.push(column(cursor)?);
        cursor.skip_space();
        if cursor.eat(")") {
            return Ok(columns);
        }
        cursor.expect(",")?;
        cursor.skip_space();
        if cursor.eat(")") {
            return Ok(columns);
        }
    }
}

fn column(cursor: &mut Cursor<'_>) -> Result<Column, SyntaxError> {
    let key = Key::parse(cursor)?;
    let mut column = Column {
        label: key.label(),
        key,
        sort: None,
        reverse: false,
    };
    while cursor.eat(":") {
        let before = cursor.clone();
        match cursor.take_while(char::is_alphanumeric) {
            "label" => {
                cursor.expect("=")?;
                column.label = label(cursor)?;
            }
            "sort" => {
                cursor.expect("=")?;
                let number = cursor.take_while(|c| c.is_ascii_digit());
                let number = number.parse().map_err(|_| before.error("expected sort=NUMBER"))?;
                column.sort = Some(number);
            }
            "reverse" => column.reverse = true,
            _ => return Err(before.error("expected label=…, sort=… or reverse")),
        }
    }
    Ok(column)
}

fn label(cursor: &mut Cursor<'_>) -> Result<String, SyntaxError> {
    match cursor.quoted()? {
        Some(text) => Ok(text),
        None => Ok(cursor
            .take_while(|c| !matches!(c, ',' | ')' | ':') && !c.is_whitespace())
            .to_owned()),
    }
}
