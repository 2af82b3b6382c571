//! Asking before something that can't be undone.

use std::io::{self, BufRead, IsTerminal};

use super::{Failure, Streams};

/// Asks on a terminal; without one, a program runs us and has decided already.
pub(super) fn confirm(question: &str, streams: &mut Streams<'_>) -> Result<(), Failure> {
    if io::stdin().is_terminal() {
        ask(question, &mut io::stdin().lock(), streams)
    } else {
        Ok(())
    }
}

pub(super) fn ask(
    question: &str,
    answers: &mut impl BufRead,
    streams: &mut Streams<'_>,
) -> Result<(), Failure> {
    write!(streams.err, "{question}\nDo you want to continue (y/N)? ")?;
    streams.err.flush()?;
    let mut answer = String::new();
    answers.read_line(&mut answer)?;
    match answer.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(Failure::failed("not confirmed, nothing was changed")),
    }
}
