//! Tables as gcloud prints them: a header in capitals, columns padded, two spaces between.

use std::io::{self, Write};

use tabwriter::TabWriter;

/// Nothing at all for no rows, as gcloud: an empty table is empty for a program too.
pub fn table(
    out: &mut dyn Write,
    header: &[&str],
    rows: impl IntoIterator<Item = Vec<String>>,
) -> io::Result<()> {
    columns(out, Some(header), rows)
}

/// A table, also without its header.
pub(super) fn columns(
    out: &mut dyn Write,
    header: Option<&[&str]>,
    rows: impl IntoIterator<Item = Vec<String>>,
) -> io::Result<()> {
    let mut rows = rows.into_iter().peekable();
    if rows.peek().is_none() {
        return Ok(());
    }
    let mut text = TabWriter::new(Vec::new()).padding(2);
    if let Some(header) = header {
        writeln!(text, "{}", header.join("\t"))?;
    }
    for row in rows {
        writeln!(
            text,
            "{}",
            row.iter().map(|cell| clean(cell)).collect::<Vec<_>>().join("\t")
        )?;
    }
    let text = text
        .into_inner()
        .map_err(|error| io::Error::other(error.to_string()))?;
    for line in String::from_utf8_lossy(&text).lines() {
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

/// A cell is one line without control characters, whatever the value was.
fn clean(cell: &str) -> String {
    cell.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

/// `key: value` lines with the values aligned.
pub(super) fn pairs(out: &mut dyn Write, pairs: &[(&str, String)]) -> io::Result<()> {
    let width = pairs.iter().map(|(key, _)| key.len() + 1).max().unwrap_or(0);
    for (key, value) in pairs {
        writeln!(out, "{:width$} {}", format!("{key}:"), clean(value))?;
    }
    Ok(())
}

pub(super) fn yes_no(yes: bool) -> String {
    if yes { "yes" } else { "no" }.to_owned()
}

/// What stands where there is no value.
pub(super) fn or_dash(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}
