//! Numbers for people: three significant digits and a unit. Programs ask for JSON, which is exact.

use std::time::Duration;

/// `9999`, `12.3k`, `4.56M`, `789G`.
pub fn human_count(n: u64) -> String {
    if n < 10_000 {
        n.to_string()
    } else {
        scaled(n, 1000, &["", "k", "M", "G", "T", "P", "E"])
    }
}

/// `1023 B`, `1.50 KiB`, `97.7 MiB`.
pub fn human_bytes(n: u64) -> String {
    scaled(n, 1024, &[" B", " KiB", " MiB", " GiB", " TiB", " PiB", " EiB"])
}

/// `59s`, `3m 20s`, `5h 0m`, `12d 3h`.
pub fn human_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m {}s", seconds % 60),
        (0, _, _) => format!("{hours}h {}m", minutes % 60),
        _ => format!("{days}d {}h", hours % 24),
    }
}

/// In integers and rounding down, so that 999,999 is not a million.
fn scaled(n: u64, base: u64, units: &[&str]) -> String {
    let (mut unit, mut size) = (0, 1);
    while n / size >= base && unit + 1 < units.len() {
        size *= base;
        unit += 1;
    }
    let whole = n / size;
    let thousandths = (u128::from(n % size) * 1000 / u128::from(size)) as u64;
    let suffix = units[unit];
    match whole {
        _ if unit == 0 => format!("{n}{suffix}"),
        0..10 => format!("{whole}.{:02}{suffix}", thousandths / 10),
        10..100 => format!("{whole}.{}{suffix}", thousandths / 100),
        _ => format!("{whole}{suffix}"),
    }
}
