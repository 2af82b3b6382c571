//! `field eq literal`, `field ne literal`: alone, or several in parentheses, which all have to hold. The literal, quoted
//! or not, is a regular expression for the whole value.

use super::literal::compile;
use super::parse::Cursor;
use super::{Condition, FilterFault, Shapes};

/// Whether the text is of this syntax: it begins with a field and `eq` or `ne`.
pub(super) fn is_regular(text: &str) -> bool {
    let mut cursor = Cursor::new(text.trim_start());
    cursor.take_while(|c| c == '(' || c.is_whitespace());
    cursor.path().is_ok() && cursor.skip_spaces() && (cursor.keyword("eq") || cursor.keyword("ne"))
}

pub(super) fn parse(text: &str, shapes: Shapes<'_>) -> Result<Condition, Vec<FilterFault>> {
    let mut cursor = Cursor::new(text);
    let mut faults = Vec::new();
    let mut all = Vec::new();
    let result = conditions(&mut cursor, shapes, &mut all, &mut faults);
    faults.extend(result.err());
    match faults.is_empty() {
        true => Ok(Condition::All(all)),
        false => Err(faults),
    }
}

fn conditions(
    cursor: &mut Cursor<'_>,
    shapes: Shapes<'_>,
    all: &mut Vec<Condition>,
    faults: &mut Vec<FilterFault>,
) -> Result<(), FilterFault> {
    cursor.skip_spaces();
    if !cursor.rest().starts_with('(') {
        all.extend(condition(cursor, shapes, false, faults)?);
        cursor.skip_spaces();
        return match cursor.rest().is_empty() {
            true => Ok(()),
            false => Err(cursor.fault("expected the end: several expressions stand in parentheses each")),
        };
    }
    while cursor.take("(") {
        cursor.skip_spaces();
        all.extend(condition(cursor, shapes, true, faults)?);
        cursor.skip_spaces();
        if !cursor.take(")") {
            return Err(cursor.fault("expected ')'"));
        }
        cursor.skip_spaces();
    }
    match cursor.rest().is_empty() {
        true => Ok(()),
        false => Err(cursor.fault("expected '(' or the end: eq and ne don't go with other operators")),
    }
}

/// Nothing when a fault was told.
fn condition(
    cursor: &mut Cursor<'_>,
    shapes: Shapes<'_>,
    in_parentheses: bool,
    faults: &mut Vec<FilterFault>,
) -> Result<Option<Condition>, FilterFault> {
    let start = cursor.at();
    let path = cursor.path()?;
    cursor.skip_spaces();
    let negated = match (cursor.keyword("eq"), cursor.keyword("ne")) {
        (true, _) => false,
        (_, true) => true,
        _ => return Err(cursor.fault("expected eq or ne")),
    };
    cursor.skip_spaces();
    let literal_start = cursor.at();
    let literal = match cursor.quoted(false)? {
        Some(quoted) => quoted,
        None => match unquoted(cursor, in_parentheses) {
            "" => return Err(cursor.fault("expected a regular expression")),
            literal => literal.to_owned(),
        },
    };
    if shapes(&path).is_none() {
        let why = format!("there is no field '{}'", path.join("."));
        faults.push(FilterFault { at: start, why });
        return Ok(None);
    }
    match compile(&literal, false) {
        Ok(regex) => Ok(Some(match negated {
            true => Condition::Not(Box::new(Condition::Matches(path, regex))),
            false => Condition::Matches(path, regex),
        })),
        Err(why) => {
            faults.push(FilterFault {
                at: literal_start,
                why,
            });
            Ok(None)
        }
    }
}

/// To the end, or to the parenthesis that closes the one around; those of the expression itself come in pairs.
fn unquoted<'a>(cursor: &mut Cursor<'a>, in_parentheses: bool) -> &'a str {
    let depth = std::cell::Cell::new(0_usize);
    let escaped = std::cell::Cell::new(false);
    let goes_on = |c: char| {
        let is_escaped = escaped.replace(c == '\\' && !escaped.get());
        match c {
            '(' if !is_escaped => depth.set(depth.get() + 1),
            ')' if !is_escaped && depth.get() > 0 => depth.set(depth.get() - 1),
            ')' if !is_escaped && in_parentheses => return false,
            _ => {}
        }
        true
    };
    cursor.take_while(goes_on).trim_end()
}
