//! The control plane's benchmark by itself: `cargo run --release -p lb-tests --example bench_control [-- --quick]`.

use lb_tests::bench_control::{render, run};

fn main() {
    let quick = std::env::args().any(|argument| argument == "--quick");
    eprintln!("{}", render(&run(quick)));
}
