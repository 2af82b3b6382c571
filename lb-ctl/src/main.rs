use std::process::ExitCode;

fn main() -> ExitCode {
    lb_ctl::cli::init_logging();
    let mut out = lb_ctl::output::stdout();
    let mut err = std::io::stderr();
    lb_ctl::cli::run_cli(std::env::args_os(), &mut out, &mut err).into()
}
