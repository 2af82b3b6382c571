//! What an apply did, and what is wrong with a configuration.

use std::io::{self, Write};

use super::table::table;
use crate::control::wire::WireFault;
use crate::control::{ApplyReport, ChangeAction};

pub fn render_apply_report(out: &mut dyn Write, report: &ApplyReport) -> io::Result<()> {
    let rows = report
        .changes
        .iter()
        .map(|c| vec![action_name(c.action).to_owned(), c.path.to_string()]);
    table(out, &["ACTION", "RESOURCE"], rows)
}

fn action_name(action: ChangeAction) -> &'static str {
    match action {
        ChangeAction::Created => "created",
        ChangeAction::Updated => "updated",
        ChangeAction::Deleted => "deleted",
        ChangeAction::Unchanged => "unchanged",
    }
}

/// A line each, `SOURCE: PATH: 'value': reason (hint)`, and their count.
pub fn render_faults(out: &mut dyn Write, faults: &[WireFault]) -> io::Result<()> {
    for fault in faults {
        let place = [fault.source.as_str(), fault.path.as_str()];
        for part in place.into_iter().filter(|part| !part.is_empty()) {
            write!(out, "{part}: ")?;
        }
        if let Some(value) = &fault.value {
            write!(out, "'{value}': ")?;
        }
        write!(out, "{}", fault.reason)?;
        match &fault.hint {
            Some(hint) => writeln!(out, " ({hint})")?,
            None => writeln!(out)?,
        }
    }
    match faults.len() {
        1 => writeln!(out, "1 fault"),
        n => writeln!(out, "{n} faults"),
    }
}
