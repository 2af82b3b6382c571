//! Text to `Filter`.

use std::cmp::Ordering;
use std::str::FromStr;

use regex::Regex;

use super::{Expression, Filter, Pattern, Test};
use crate::output::expression::{Cursor, Key, SyntaxError};

impl FromStr for Filter {
    type Err = SyntaxError;

    fn from_str(text: &str) -> Result<Self, SyntaxError> {
        let mut cursor = Cursor::new(text.trim());
        let expression = sequence(&mut cursor)?;
        if !cursor.at_end() {
            return Err(cursor.error("expected nothing more"));
        }
        Ok(Self(expression))
    }
}

/// Chains side by side: all must hold.
fn sequence(cursor: &mut Cursor<'_>) -> Result<Expression, SyntaxError> {
    let mut chains = vec![chain(cursor)?];
    while !cursor.at_end() && cursor.peek() != Some(')') {
        chains.push(chain(cursor)?);
    }
    Ok(match chains.len() {
        1 => chains.remove(0),
        _ => Expression::All(chains),
    })
}

/// Parts with `AND` between them, or with `OR`.
fn chain(cursor: &mut Cursor<'_>) -> Result<Expression, SyntaxError> {
    let mut parts = vec![part(cursor)?];
    let mut between: Option<&str> = None;
    loop {
        cursor.skip_space();
        let before = cursor.clone();
        let Some(word) = ["AND", "OR"].into_iter().find(|word| keyword(cursor, word)) else {
            break;
        };
        if between.is_some_and(|earlier| earlier != word) {
            return Err(before.error("AND and OR side by side: parentheses must say which goes first"));
        }
        between = Some(word);
        parts.push(part(cursor)?);
    }
    Ok(match between {
        None => parts.remove(0),
        Some("OR") => Expression::Any(parts),
        Some(_) => Expression::All(parts),
    })
}

fn part(cursor: &mut Cursor<'_>) -> Result<Expression, SyntaxError> {
    cursor.skip_space();
    if keyword(cursor, "NOT") || cursor.eat("-") {
        return Ok(Expression::Not(Box::new(part(cursor)?)));
    }
    if cursor.eat("(") {
        let inner = sequence(cursor)?;
        cursor.expect(")")?;
        return Ok(inner);
    }
    term(cursor)
}

/// Takes the word if it stands alone.
fn keyword(cursor: &mut Cursor<'_>, word: &str) -> bool {
    let after = cursor.rest().strip_prefix(word);
    let alone = after.is_some_and(|after| after.starts_with(|c: char| c.is_whitespace() || c == '('));
    alone && cursor.eat(word)
}

fn term(cursor: &mut Cursor<'_>) -> Result<Expression, SyntaxError> {
    let key = Key::parse(cursor)?;
    cursor.skip_space();
    let operators = ["!=", "!~", "<=", ">=", ":", "=", "<", ">", "~"];
    let Some(operator) = operators.into_iter().find(|operator| cursor.eat(operator)) else {
        return Err(cursor.error(format!("expected an operator: {}", operators.join(" "))));
    };
    cursor.skip_space();
    let before = cursor.clone();
    let several = matches!(operator, ":" | "=" | "!=");
    let operands = operands(cursor, several)?;
    let first = operands[0].clone();
    let test = match operator {
        ":" => Test::Has(
            operands
                .iter()
                .map(|text| pattern(text, &before))
                .collect::<Result<_, _>>()?,
        ),
        "=" | "!=" => Test::Equals(operands),
        "<" => Test::Compares(&[Ordering::Less], first),
        "<=" => Test::Compares(&[Ordering::Less, Ordering::Equal], first),
        ">" => Test::Compares(&[Ordering::Greater], first),
        ">=" => Test::Compares(&[Ordering::Greater, Ordering::Equal], first),
        _ => Test::Matches(
            Regex::new(&first).map_err(|_| before.error("not a regular expression (RE2 syntax)"))?,
        ),
    };
    let term = Expression::Term(key, test);
    Ok(if operator.starts_with('!') {
        Expression::Not(Box::new(term))
    } else {
        term
    })
}

/// Never empty.
fn operands(cursor: &mut Cursor<'_>, several: bool) -> Result<Vec<String>, SyntaxError> {
    if !several || !cursor.eat("(") {
        return Ok(vec![operand(cursor)?]);
    }
    let mut operands = Vec::new();
    loop {
        cursor.skip_space();
        let _comma_or_space = cursor.eat(",");
        cursor.skip_space();
        if cursor.eat(")") {
            return match operands.is_empty() {
                true => Err(cursor.error("expected a value")),
                false => Ok(operands),
            };
        }
        if !keyword(cursor, "OR") {
            operands.push(operand(cursor)?);
        }
    }
}

fn operand(cursor: &mut Cursor<'_>) -> Result<String, SyntaxError> {
    if let Some(text) = cursor.quoted()? {
        return Ok(text);
    }
    let mut open = 0_usize;
    let mut end = 0;
    for (at, c) in cursor.rest().char_indices() {
        match c {
            '(' => open += 1,
            ')' if open == 0 => break,
            ')' => open -= 1,
            ',' if open == 0 => break,
            c if c.is_whitespace() => break,
            _ => {}
        }
        end = at + c.len_utf8();
    }
    if end == 0 {
        return Err(cursor.error("expected a value"));
    }
    if open > 0 {
        return Err(cursor.error("a parenthesis of the value is not closed; quotes make it plain"));
    }
    let text = cursor.rest()[..end].to_owned();
    cursor.eat(&text);
    Ok(text)
}

fn pattern(text: &str, place: &Cursor<'_>) -> Result<Pattern, SyntaxError> {
    let text = text.to_lowercase();
    match text.split('*').collect::<Vec<_>>().as_slice() {
        ["", ""] => Ok(Pattern::Present),
        [whole] => Ok(Pattern::Contains((*whole).to_owned())),
        [start, ""] => Ok(Pattern::StartsWith((*start).to_owned())),
        ["", end] => Ok(Pattern::EndsWith((*end).to_owned())),
        [start, end] => Ok(Pattern::Between((*start).to_owned(), (*end).to_owned())),
        _ => Err(place.error("a pattern has one * at most")),
    }
}
