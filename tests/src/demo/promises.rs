//! What was promised, and whether the client saw it.

use std::io::{self, Write};

#[derive(Default)]
pub(super) struct Promises {
    made: Vec<Promise>,
}

struct Promise {
    text: String,
    kept: bool,
    evidence: String,
}

impl Promises {
    pub(super) fn judge(&mut self, text: &str, outcome: Result<String, String>) {
        let (kept, evidence) = match outcome {
            Ok(evidence) => (true, evidence),
            Err(evidence) => (false, evidence),
        };
        self.made.push(Promise {
            text: text.to_owned(),
            kept,
            evidence,
        });
    }

    /// The promise that was judged last, as a line.
    pub(super) fn latest(&self) -> Option<String> {
        self.made.last().map(Promise::line)
    }

    pub(super) fn all_kept(&self) -> bool {
        !self.made.is_empty() && self.made.iter().all(|promise| promise.kept)
    }

    pub(super) fn render_summary(&self, out: &mut impl Write) -> io::Result<()> {
        let kept = self.made.iter().filter(|promise| promise.kept).count();
        for line in self.made.iter().map(Promise::line) {
            writeln!(out, "{line}")?;
        }
        writeln!(out, "{kept} of {} promises kept", self.made.len())
    }
}

impl Promise {
    fn line(&self) -> String {
        let mark = if self.kept { "kept  " } else { "BROKEN" };
        format!("  {mark}  {}: {}", self.text, self.evidence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_broken_promise_is_enough_to_fail() {
        let mut promises = Promises::default();
        assert!(!promises.all_kept(), "nothing was shown");
        promises.judge("a", Ok("seen".into()));
        assert!(promises.all_kept());
        promises.judge("b", Err("not seen".into()));
        assert!(!promises.all_kept());
        let mut text = Vec::new();
        promises.render_summary(&mut text).unwrap();
        assert_eq!(
            String::from_utf8(text).unwrap(),
            "  kept    a: seen\n  BROKEN  b: not seen\n1 of 2 promises kept\n"
        );
    }
}
