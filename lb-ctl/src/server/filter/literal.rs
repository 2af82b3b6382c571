//! The right side of a comparison.

use std::cmp::Ordering;

use jiff::Timestamp;
use jiff::civil::Date;
use regex::{Regex, RegexBuilder};
use serde_json::Value;

use crate::resources::FieldShape;

/// Of a compiled expression, in bytes.
const LARGEST_PATTERN: usize = 1 << 20;
const DEEPEST_PATTERN: u32 = 50;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Has,
}

#[derive(Debug)]
pub(super) struct Literal {
    text: String,
    lower: String,
    boolean: Option<bool>,
    number: Option<Number>,
    time: Option<Timestamp>,
    /// Of a text with `*` in it, ignoring case for `:`.
    pattern: Option<Regex>,
}

#[derive(Clone, Copy, Debug)]
enum Number {
    Integer(i128),
    Float(f64),
}

impl Literal {
    /// Faults are sentences about the text.
    pub(super) fn new(text: &str, operator: Operator, shape: FieldShape) -> Result<Self, String> {
        let ordered = matches!(
            operator,
            Operator::Less | Operator::LessOrEqual | Operator::Greater | Operator::GreaterOrEqual
        );
        let pattern = match text.contains('*') && !ordered {
            true => Some(wildcards(text, operator == Operator::Has)?),
            false => None,
        };
        let literal = Self {
            lower: text.to_lowercase(),
            boolean: boolean(text),
            number: Number::read(text),
            time: time(text),
            pattern,
            text: text.to_owned(),
        };
        let presence = operator == Operator::Has && text == "*";
        match shape {
            FieldShape::Bool if ordered => Err("true and false have no order".to_owned()),
            FieldShape::Bool if literal.boolean.is_none() && !presence => {
                Err(format!("'{text}' is neither true nor false"))
            }
            FieldShape::Number if literal.number.is_none() && !presence => {
                Err(format!("'{text}' is not a number"))
            }
            FieldShape::Object if operator != Operator::Has => {
                Err("the field is an object: compare one of its fields, or use ':'".to_owned())
            }
            _ => Ok(literal),
        }
    }

    pub(super) fn fits(&self, operator: Operator, value: &Value) -> bool {
        if operator == Operator::Has && self.text == "*" {
            return is_present(value);
        }
        match value {
            Value::Bool(value) => self.boolean == Some(*value),
            Value::Number(number) => {
                let number = Number::read(&number.to_string());
                let order = number.zip(self.number).and_then(|(a, b)| a.compare(b));
                order.is_some_and(|order| allows(operator, order))
            }
            Value::String(text) => self.fits_text(operator, text),
            Value::Object(fields) => operator == Operator::Has && fields.contains_key(&self.text),
            Value::Array(_) | Value::Null => false,
        }
    }

    fn fits_text(&self, operator: Operator, text: &str) -> bool {
        if let Some(pattern) = &self.pattern {
            return pattern.is_match(text);
        }
        match operator {
            Operator::Has => text.to_lowercase().contains(&self.lower),
            Operator::Equal => *text == self.text || self.same_time(text),
            _ => allows(operator, self.order_of(text)),
        }
    }

    fn same_time(&self, text: &str) -> bool {
        self.time.is_some() && self.time == time(text)
    }

    fn order_of(&self, text: &str) -> Ordering {
        let by_time = || Some(time(text)?.cmp(&self.time?));
        let by_number = || Number::read(text)?.compare(self.number?);
        by_time()
            .or_else(by_number)
            .unwrap_or_else(|| text.cmp(self.text.as_str()))
    }
}

fn is_present(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
        Value::Bool(_) | Value::Number(_) => true,
    }
}

fn allows(operator: Operator, order: Ordering) -> bool {
    match operator {
        Operator::Equal | Operator::Has => order.is_eq(),
        Operator::NotEqual => order.is_ne(),
        Operator::Less => order.is_lt(),
        Operator::LessOrEqual => order.is_le(),
        Operator::Greater => order.is_gt(),
        Operator::GreaterOrEqual => order.is_ge(),
    }
}

impl Number {
    fn read(text: &str) -> Option<Self> {
        let is_numeric = |c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.' | 'e' | 'E');
        if !text.chars().all(is_numeric) {
            return None;
        }
        let integer = text.parse().ok().map(Self::Integer);
        integer.or_else(|| text.parse().ok().filter(|n: &f64| n.is_finite()).map(Self::Float))
    }

    fn compare(self, other: Self) -> Option<Ordering> {
        #[expect(
            clippy::cast_precision_loss,
            reason = "an integer against a fraction is compared as one"
        )]
        let float = |number| match number {
            Self::Integer(n) => n as f64,
            Self::Float(n) => n,
        };
        match (self, other) {
            (Self::Integer(a), Self::Integer(b)) => Some(a.cmp(&b)),
            (a, b) => float(a).partial_cmp(&float(b)),
        }
    }
}

fn boolean(text: &str) -> Option<bool> {
    match text {
        _ if text.eq_ignore_ascii_case("true") => Some(true),
        _ if text.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

fn time(text: &str) -> Option<Timestamp> {
    // Anything shorter is no date, and not worth the parser's time.
    if text.len() < 10 || !text.is_ascii() || text.as_bytes()[4] != b'-' {
        return None;
    }
    let midnight = |date: Date| date.in_tz("UTC").ok().map(|start| start.timestamp());
    match text.len() {
        10 => text.parse().ok().and_then(midnight),
        _ => text.parse().ok(),
    }
}

fn wildcards(text: &str, ignore_case: bool) -> Result<Regex, String> {
    let parts: Vec<String> = text.split('*').map(regex::escape).collect();
    compile(&format!("(?s:{})", parts.join(".*")), ignore_case)
}

/// An expression that has to match the whole of a text.
pub(super) fn compile(expression: &str, ignore_case: bool) -> Result<Regex, String> {
    let build = |expression: &str| {
        RegexBuilder::new(expression)
            .case_insensitive(ignore_case)
            .size_limit(LARGEST_PATTERN)
            .dfa_size_limit(LARGEST_PATTERN)
            .nest_limit(DEEPEST_PATTERN)
            .build()
            .map_err(|error| reason(&error))
    };
    // Alone first: what is wrong by itself must not become right by what is put around it.
    build(expression)?;
    build(&format!(r"\A(?:{expression})\z"))
}

fn reason(error: &regex::Error) -> String {
    let text = error.to_string();
    let last = text.lines().last().unwrap_or_default();
    format!(
        "the regular expression is wrong: {}",
        last.trim_start_matches("error: ")
    )
}
