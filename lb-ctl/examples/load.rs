use lb_ctl::dataplane::*;
fn main() {
    let mut p = match Program::load(
        &LoadOptions {
            sizes: Sizes::default(),
            seed: 1,
            trace_packets: false,
            test_tick: 0,
        },
        None,
    ) {
        Ok(p) => p,
        Err(e) => {
            eprintln!("{e:?}");
            std::process::exit(1)
        }
    };
    eprintln!(
        "verified {:?} jited {:?}",
        p.verified_instructions(),
        p.xdp().info().unwrap().size_jitted()
    );
}
