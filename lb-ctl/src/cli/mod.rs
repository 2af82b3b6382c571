//! The command line. Each verb is a file: its arguments, and a function that does it.
//!
//! Data goes to `out`, everything said about it to `err`; the result is an exit code (`exit`).

mod apply;
mod backend_services;
mod completion;
mod detach;
mod exit;
mod flows;
mod forwarding_rules;
mod health_checks;
mod instance_groups;
mod instances;
mod logging;
mod migrate;
mod network_endpoint_groups;
mod operations;
mod options;
mod prompt;
mod resource;
mod run;
mod scope;
mod stats;
mod status;
#[cfg(test)]
mod tests;
mod validate;
mod values;

use std::ffi::OsString;
use std::io::Write;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

pub use self::exit::ExitCode;
pub use self::logging::init as init_logging;
pub use self::options::DefaultPlace;
pub use self::run::{HashSeed, RunArgs, XdpMode};
pub(crate) use self::run::{flow_slots, table_slots};

use self::exit::Failure;
use crate::resources::Kind;

/// Google Cloud's passthrough Network Load Balancer on any Linux machine.
#[derive(Debug, Parser)]
#[command(name = "lb-ctl", version, disable_help_subcommand = true, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

const EXIT_CODES: &str = "Exit codes: 0 done, 1 failed, 2 wrong usage, 4 invalid configuration, \
                          5 daemon not reachable.";

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run the daemon: attach to interfaces, balance packets, probe endpoints, serve the API.
    Run(run::RunArgs),
    /// Check configuration files without a daemon; report every fault.
    Validate(validate::ValidateArgs),
    /// Bring the daemon's resources to what configuration files say.
    Apply(apply::ApplyArgs),
    /// The services: policy, groups, affinity, health.
    #[command(subcommand)]
    BackendServices(backend_services::BackendServices),
    /// The rules: VIP, protocol and ports to a service.
    #[command(subcommand)]
    ForwardingRules(forwarding_rules::ForwardingRules),
    /// How endpoints are probed.
    #[command(subcommand)]
    HealthChecks(health_checks::HealthChecks),
    /// Groups of endpoints by address.
    #[command(subcommand)]
    NetworkEndpointGroups(network_endpoint_groups::NetworkEndpointGroups),
    /// Groups of endpoints by instance.
    #[command(subcommand)]
    InstanceGroups(instance_groups::InstanceGroups),
    /// The hosts that instance groups are of.
    #[command(subcommand)]
    Instances(instances::Instances),
    /// What was done of late.
    #[command(subcommand)]
    Operations(operations::Operations),
    /// The flow table.
    #[command(subcommand)]
    Flows(flows::Flows),
    /// Count packets by verdict, service and backend.
    Stats(stats::StatsArgs),
    /// Show the daemon, its interfaces, and standing warnings.
    Status(status::StatusArgs),
    /// Stop forwarding: take the programs off the interfaces and remove the pinned state.
    Detach(detach::DetachArgs),
    /// Give what is pinned back to an older version, to be started in the place of this one.
    Migrate(migrate::MigrateArgs),
    /// Write a script that completes command lines.
    Completion(completion::CompletionArgs),
}

/// Where a verb writes.
struct Streams<'a> {
    out: &'a mut dyn Write,
    err: &'a mut dyn Write,
}

/// Does what the arguments (with the program's name first) ask for.
pub fn run_cli<I, T>(args: I, out: &mut dyn Write, err: &mut dyn Write) -> ExitCode
where
    I: IntoIterator<Item = T>,
    T: Into<OsString> + Clone,
{
    let cli = match parse(args) {
        Ok(cli) => cli,
        Err(error) => return usage(&error, out, err),
    };
    let mut streams = Streams { out, err };
    let result = dispatch(cli.verb, &mut streams).and_then(|()| Ok(streams.out.flush()?));
    match result {
        Ok(()) => ExitCode::Ok,
        Err(failure) => failure.report(streams.err),
    }
}

fn parse<I, T>(args: I) -> Result<Cli, clap::Error>
where
    I: IntoIterator<Item = T>,
    T: Into<OsString> + Clone,
{
    let matches = command_line().try_get_matches_from(args)?;
    let mut cli = Cli::from_arg_matches(&matches)?;
    if let (Verb::Run(args), Some((_, matches))) = (&mut cli.verb, matches.subcommand()) {
        args.note_given(matches);
    }
    Ok(cli)
}

fn command_line() -> clap::Command {
    Cli::command()
}

/// Help and the version are data; a wrong usage is not.
fn usage(error: &clap::Error, out: &mut dyn Write, err: &mut dyn Write) -> ExitCode {
    if error.use_stderr() {
        let _ = write!(err, "{}", error.render());
        ExitCode::Usage
    } else {
        let _ = write!(out, "{}", error.render()).and_then(|()| out.flush());
        ExitCode::Ok
    }
}

fn dispatch(verb: Verb, streams: &mut Streams<'_>) -> Result<(), Failure> {
    match verb {
        Verb::Run(args) => run::run(args),
        Verb::Migrate(args) => migrate::run(args, streams),
        Verb::Validate(args) => validate::run(&args, streams),
        Verb::Detach(args) => block_on(detach::run(&args, streams)),
        Verb::Apply(args) => block_on(apply::run(args, streams)),
        Verb::BackendServices(verb) => block_on(backend_services::run(&verb, streams)),
        Verb::ForwardingRules(verb) => block_on(forwarding_rules::run(&verb, streams)),
        Verb::HealthChecks(verb) => block_on(health_checks::run(&verb, streams)),
        Verb::NetworkEndpointGroups(verb) => block_on(network_endpoint_groups::run(&verb, streams)),
        Verb::InstanceGroups(verb) => block_on(instance_groups::run(&verb, streams)),
        Verb::Instances(verb) => block_on(instances::run(&verb, streams)),
        Verb::Operations(verb) => block_on(operations::run(&verb, streams)),
        Verb::Completion(args) => completion::run(&args, streams),
        Verb::Flows(verb) => block_on(flows::run(&verb, streams)),
        Verb::Stats(args) => block_on(stats::run(&args, streams)),
        Verb::Status(args) => block_on(status::run(&args, streams)),
    }
}

/// The verb of a kind of resources.
fn command(kind: Kind) -> &'static str {
    match kind {
        Kind::BackendService => "backend-services",
        Kind::ForwardingRule => "forwarding-rules",
        Kind::HealthCheck => "health-checks",
        Kind::NetworkEndpointGroup => "network-endpoint-groups",
        Kind::InstanceGroup => "instance-groups",
        Kind::Instance => "instances",
    }
}

fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(work)
}
