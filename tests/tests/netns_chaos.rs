//! A short time of everything at once; `cargo xtask chaos` is the long one.

use std::time::Duration;

use lb_tests::chaos::{Extent, run};
use lb_tests::random::seed;

#[test]
fn half_a_minute_of_everything_at_once_leaves_nothing_wrong() {
    let summary = run(Extent {
        kills: 10,
        interfaces: 4,
        flips_a_minute: 1000,
        length: Duration::from_secs(20),
        seed: seed("LB_CHAOS_SEED"),
    });
    eprintln!("{summary:?}");
    assert!(summary.trouble.kills == 10 && summary.trouble.interfaces == 4);
    assert!(summary.done.flips > 0 && summary.done.changes > 0 && summary.answered > 0);
}
