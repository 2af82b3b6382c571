//! AIP-160:
//!
//! ```text
//! expression: sequence {"AND" sequence}      factor: term {"OR" term}
//! sequence:   factor {factor}                term:   ["NOT" | "-"] ("(" expression ")" | path operator value)
//! ```
//!
//! A value without a field is not taken, nor are functions: Compute has neither.

use super::literal::{Literal, Operator};
use super::{Condition, FilterFault, Shapes};

/// Of parentheses and negations in each other.
const DEEPEST: usize = 32;
const OPERATORS: [(&str, Operator); 7] = [
    ("<=", Operator::LessOrEqual),
    (">=", Operator::GreaterOrEqual),
    ("!=", Operator::NotEqual),
    ("=", Operator::Equal),
    ("<", Operator::Less),
    (">", Operator::Greater),
    (":", Operator::Has),
];

pub(super) fn parse(text: &str, shapes: Shapes<'_>) -> Result<Condition, Vec<FilterFault>> {
    let mut parser = Parser {
        cursor: Cursor::new(text),
        shapes,
        depth: 0,
        faults: Vec::new(),
    };
    let parsed = parser.expression().and_then(|condition| {
        parser.cursor.skip_spaces();
        match parser.cursor.rest().is_empty() {
            true => Ok(condition),
            false => Err(parser.cursor.fault("expected AND, OR, or the end")),
        }
    });
    match parsed {
        Ok(condition) if parser.faults.is_empty() => Ok(condition),
        Ok(_) => Err(parser.faults),
        Err(fault) => {
            parser.faults.push(fault);
            Err(parser.faults)
        }
    }
}

struct Parser<'a> {
    cursor: Cursor<'a>,
    shapes: Shapes<'a>,
    depth: usize,
    /// What does not keep the rest from being read.
    faults: Vec<FilterFault>,
}

type Parsed<T> = Result<T, FilterFault>;

impl Parser<'_> {
    fn expression(&mut self) -> Parsed<Condition> {
        let mut all = vec![self.factor()?];
        loop {
            self.cursor.skip_spaces();
            if self.cursor.keyword("AND") || self.begins_factor() {
                all.push(self.factor()?);
            } else {
                return Ok(single(all, Condition::All));
            }
        }
    }

    fn begins_factor(&self) -> bool {
        let rest = self.cursor.rest();
        !rest.is_empty() && !rest.starts_with(')')
    }

    fn factor(&mut self) -> Parsed<Condition> {
        let mut any = vec![self.term()?];
        loop {
            self.cursor.skip_spaces();
            if !self.cursor.keyword("OR") {
                return Ok(single(any, Condition::Any));
            }
            any.push(self.term()?);
        }
    }

    fn term(&mut self) -> Parsed<Condition> {
        self.cursor.skip_spaces();
        let negated = self.cursor.keyword("NOT") || self.cursor.take("-");
        self.cursor.skip_spaces();
        let condition = match self.cursor.take("(") {
            true => self.parenthesized()?,
            false => self.restriction()?,
        };
        Ok(match negated {
            true => Condition::Not(Box::new(condition)),
            false => condition,
        })
    }

    fn parenthesized(&mut self) -> Parsed<Condition> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(self
                .cursor
                .fault(&format!("more than {DEEPEST} levels of parentheses")));
        }
        let condition = self.expression()?;
        self.cursor.skip_spaces();
        self.depth -= 1;
        match self.cursor.take(")") {
            true => Ok(condition),
            false => Err(self.cursor.fault("expected ')'")),
        }
    }

    fn restriction(&mut self) -> Parsed<Condition> {
        let start = self.cursor.at();
        let path = self.cursor.path()?;
        self.cursor.skip_spaces();
        let known = OPERATORS.iter().find(|(sign, _)| self.cursor.take(sign));
        let Some((_, operator)) = known else {
            return Err(self
                .cursor
                .fault("expected one of the operators =, !=, <, <=, >, >= and :"));
        };
        self.cursor.skip_spaces();
        let value_start = self.cursor.at();
        let value = self.cursor.value()?;
        let Some(shape) = (self.shapes)(&path) else {
            return Ok(self.told(start, format!("there is no field '{}'", path.join("."))));
        };
        match Literal::new(&value, *operator, shape) {
            Ok(literal) => Ok(Condition::Compare(path, *operator, literal)),
            Err(why) => Ok(self.told(value_start, why)),
        }
    }

    /// Stands in for a condition that is at fault; the filter is refused at its end.
    fn told(&mut self, at: usize, why: String) -> Condition {
        self.faults.push(FilterFault { at, why });
        Condition::Any(Vec::new())
    }
}

fn single(mut conditions: Vec<Condition>, several: fn(Vec<Condition>) -> Condition) -> Condition {
    match (conditions.pop(), conditions.is_empty()) {
        (Some(only), true) => only,
        (Some(last), false) => {
            conditions.push(last);
            several(conditions)
        }
        (None, _) => several(conditions),
    }
}

/// A text and how far it has been read.
pub(super) struct Cursor<'a> {
    text: &'a str,
    position: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, position: 0 }
    }

    pub(super) fn rest(&self) -> &'a str {
        &self.text[self.position..]
    }

    /// In characters.
    pub(super) fn at(&self) -> usize {
        self.text[..self.position].chars().count()
    }

    pub(super) fn fault(&self, why: &str) -> FilterFault {
        FilterFault {
            at: self.at(),
            why: why.to_owned(),
        }
    }

    pub(super) fn skip_spaces(&mut self) -> bool {
        let rest = self.rest();
        let spaces = rest.len() - rest.trim_start().len();
        self.position += spaces;
        spaces > 0
    }

    pub(super) fn take(&mut self, expected: &str) -> bool {
        let found = self.rest().starts_with(expected);
        if found {
            self.position += expected.len();
        }
        found
    }

    /// A word that no other letter follows.
    pub(super) fn keyword(&mut self, word: &str) -> bool {
        let ends = |rest: &str| rest.is_empty() || rest.starts_with(|c: char| c.is_whitespace() || c == '(');
        let found = self.rest().strip_prefix(word).is_some_and(ends);
        if found {
            self.position += word.len();
        }
        found
    }

    pub(super) fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let end = rest.find(|c| !wanted(c)).unwrap_or(rest.len());
        self.position += end;
        &rest[..end]
    }

    /// Names joined by dots; a quoted name may hold anything.
    pub(super) fn path(&mut self) -> Parsed<Vec<String>> {
        let mut path = vec![self.name()?];
        while self.take(".") {
            path.push(self.name()?);
        }
        Ok(path)
    }

    fn name(&mut self) -> Parsed<String> {
        if let Some(quoted) = self.quoted(true)? {
            return Ok(quoted);
        }
        let name = self.take_while(|c| c.is_alphanumeric() || c == '_' || c == '-');
        match name.is_empty() {
            true => Err(self.fault("expected the name of a field")),
            false => Ok(name.to_owned()),
        }
    }

    fn value(&mut self) -> Parsed<String> {
        if let Some(quoted) = self.quoted(true)? {
            return Ok(quoted);
        }
        let value = self.take_while(|c| !c.is_whitespace() && !matches!(c, '(' | ')' | '"' | '\''));
        match value.is_empty() {
            true => Err(self.fault("expected a value")),
            false => Ok(value.to_owned()),
        }
    }

    /// In single or double quotes; nothing when none begin here. With `escapes`, a backslash stands before any character;
    /// without, only before the quote.
    pub(super) fn quoted(&mut self, escapes: bool) -> Parsed<Option<String>> {
        let rest = self.rest();
        let Some(quote) = rest.chars().next().filter(|c| matches!(c, '"' | '\'')) else {
            return Ok(None);
        };
        let mut text = String::new();
        let mut chars = rest.char_indices().skip(1);
        while let Some((at, c)) = chars.next() {
            match c {
                c if c == quote => {
                    self.position += at + c.len_utf8();
                    return Ok(Some(text));
                }
                '\\' => match chars.next() {
                    Some((_, next)) if escapes || next == quote => text.push(next),
                    Some((_, next)) => text.extend(['\\', next]),
                    None => break,
                },
                c => text.push(c),
            }
        }
        Err(self.fault("the quotes are not closed"))
    }
}
