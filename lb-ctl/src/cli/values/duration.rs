//! `30`, `30s`, `5m`, `1h30m`, `PT30S`: whole seconds.

use jiff::{Span, SpanRelativeTo};

pub(in crate::cli) fn seconds(text: &str) -> Result<u64, String> {
    if let Ok(seconds) = text.parse() {
        return Ok(seconds);
    }
    let expected = || "expected a duration such as 30s, 5m or 1h30m, or a number of seconds".to_owned();
    let span: Span = text.parse().map_err(|_| expected())?;
    let duration = span
        .to_duration(SpanRelativeTo::days_are_24_hours())
        .map_err(|_| expected())?;
    if duration.subsec_nanos() != 0 {
        return Err("expected whole seconds".to_owned());
    }
    u64::try_from(duration.as_secs()).map_err(|_| expected())
}
