//! The daemon: checks that it can run at all, then puts store, data plane, controller and server together.

mod preflight;

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::cli::{RunArgs, XdpMode as AskedMode};
use crate::control::ControlError;
use crate::controller::{Controller, History, Parts, Settings, kept_seed};
use crate::dataplane::{self, LoadOptions, PinDirectory, Program, Sizes, XdpMode};
use crate::flowlog::FlowLog;
use crate::net::{Link, Links};
use crate::plan::Limits;
use crate::resources::{Document, FileStore, Mode, ResourceStore as _, Resources, Scope};
use crate::server::{Server, ServerConfig};
use crate::settings::FileSettings;

/// Runs until SIGTERM or SIGINT, and leaves the data plane forwarding.
pub fn run(args: RunArgs, file: FileSettings) -> anyhow::Result<()> {
    preflight::check(args.trace_packets)?;
    preflight::raise_limits();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("starting the runtime")?;
    runtime.block_on(serve(args, file))
}

async fn serve(args: RunArgs, file: FileSettings) -> anyhow::Result<()> {
    let scope = args.place.scope(&Scope::default());
    let store = FileStore::open(&args.state_dir)?;
    let resources = store.load()?;
    let documents = documents(&args, &resources, &scope)?;
    let links = interfaces(&args.interfaces).await?;
    let pins = PinDirectory::new(&args.pin_dir);
    pins.prepare()?;
    let sizes = Sizes {
        flow_slots: u32::try_from(args.flow_slots).context("--flow-slots")?,
        ..Sizes::default()
    };
    let seed = match args.hash_seed {
        Some(seed) => u128::from_be_bytes(seed.0),
        None => kept_seed(&args.state_dir)?,
    };
    let options = LoadOptions {
        sizes,
        seed,
        answer_echo: file.answer_echo,
        trace_packets: args.trace_packets,
        test_now: 0,
    };
    let mut program = Program::load(&options, Some(&pins))?;
    program.forward_logs()?;
    let server = Server::bind(&args.listen)?;
    let settings = Settings {
        scope,
        seed,
        limits: Limits::from(&sizes),
        zones: file.zones,
        gue_port: file.gue_port,
        interfaces: links.iter().map(|link| (link.name.clone(), link.index)).collect(),
        announce: !args.no_announce,
        state_dir: args.state_dir.clone(),
        pin_dir: args.pin_dir.clone(),
    };
    let history = History::open(&args.state_dir);
    let (log, connections) = FlowLog::new(file.log_connections, program.maps.flows.clone(), seed)?;
    let (stop, stopping) = watch::channel(false);
    let logging = tokio::spawn(log.run(stopping.clone()));
    let parts = Parts {
        settings,
        store: Box::new(store),
        resources,
        documents,
        program,
        history,
        connections,
    };
    let (mut controller, handle, events) = Controller::start(parts).await?;
    attach(&mut controller, &links, args.xdp_mode, &pins)?;

    let control = Arc::new(handle);
    let serving = tokio::spawn(server.serve(control, ServerConfig::default(), stopping.clone()));
    let deciding = tokio::spawn(controller.run(events, stopping));
    ready();
    wait_for_signal().await?;
    stop.send_replace(true);
    let attached = deciding.await.context("the controller failed")?;
    serving.await.context("the server failed")?;
    logging.await.context("the connection log failed")?;
    if attached {
        tracing::info!("stopped; the data plane goes on forwarding (`lb-ctl detach` ends that)");
    } else {
        tracing::info!("stopped");
    }
    Ok(())
}

/// The documents of `--config`, judged with what is stored: everything that is wrong is told before anything is
/// touched.
fn documents(args: &RunArgs, resources: &Resources, scope: &Scope) -> anyhow::Result<Vec<Document>> {
    let documents = match args.config.is_empty() {
        true => Vec::new(),
        false => crate::resources::read(&args.config).map_err(ControlError::Faults)?,
    };
    resources
        .apply(&documents, scope, Mode::Additive, jiff::Timestamp::now())
        .map_err(ControlError::Faults)?;
    Ok(documents)
}

async fn interfaces(names: &[String]) -> anyhow::Result<Vec<Link>> {
    let links = Links::new()?;
    let mut found = Vec::new();
    for name in names {
        found.push(links.by_name(name).await?);
    }
    Ok(found)
}

/// Last of all: the maps are right before the first packet is judged by them.
fn attach(
    controller: &mut Controller,
    links: &[Link],
    asked: AskedMode,
    pins: &PinDirectory,
) -> anyhow::Result<()> {
    let mode = match asked {
        AskedMode::Auto => XdpMode::Auto,
        AskedMode::Native => XdpMode::Native,
        AskedMode::Generic => XdpMode::Generic,
    };
    for link in links {
        let foreign = link.xdp.first().filter(|_| !pins.link(link.index).exists());
        if let Some(xdp) = foreign {
            let name = dataplane::program_name(xdp.program_id).unwrap_or_else(|| "without a name".to_owned());
            bail!(
                "interface {} already carries an XDP program that is not ours ({name}, id {}); detach that one first",
                link.name,
                xdp.program_id
            );
        }
    }
    for link in links {
        let attached = controller.program().attach(&link.name, link.index, mode, pins)?;
        tracing::info!("{}: {attached}", link.name);
    }
    controller.set_attached();
    Ok(())
}

fn ready() {
    tracing::info!("ready");
    // Without a service manager there is nobody to notify.
    let _ = sd_notify::notify(false, &[sd_notify::NotifyState::Ready]);
}

async fn wait_for_signal() -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("waiting for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("waiting for SIGINT")?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

/// Detaches what a daemon that runs no more has left pinned.
pub fn detach_offline(pin_dir: &Path) -> anyhow::Result<()> {
    let interfaces = dataplane::detach_offline(pin_dir)?;
    if interfaces.is_empty() {
        bail!("nothing is attached: {} holds no pinned link", pin_dir.display());
    }
    Ok(())
}
