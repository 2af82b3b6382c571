//! The daemon: checks that it can run at all, then puts store, data plane, controller and server together.

mod back;
mod claim;
mod interfaces;
mod ownership;
mod preflight;

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use tokio::runtime::{Handle, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, watch};

pub use self::back::{GivenBack, give_back, give_back_until};
use self::claim::ProbeClaim;
use self::ownership::Ownership;
use crate::cli::{RunArgs, XdpMode as AskedMode};
use crate::config_files::{ConfigFiles, FileWatcher, judge};
use crate::control::ControlError;
use crate::controller::{
    Controller, History, HistoryPlace, KernelAttachments, KernelClock, KernelMaps, KernelNetwork, Parts,
    Settings, Threads, kept_seed,
};
use crate::dataplane::migrate::{self, Step};
use crate::dataplane::{self, LoadOptions, PinDirectory, Pinned, Program, Sizes, XdpMode};
use crate::flowlog::FlowLog;
use crate::health::{EndpointProber, HealthChecker};
use crate::net::ProbeDevice;
use crate::plan::{Limits, Plan, ProbeDestination};
use crate::resources::{DatabaseStore, Fault, ResourceStore as _, Scope, TableRoom};
use crate::server::{Server, ServerConfig, TokenFile};
use crate::settings::FileSettings;

/// A millisecond or two of the loop's time: nobody notices, and most changes need no more.
const INLINE_WORK: u64 = 1_500_000;

/// Runs until SIGTERM or SIGINT, and leaves the data plane forwarding.
pub fn run(args: RunArgs, file: FileSettings) -> anyhow::Result<()> {
    preflight::check(args.trace_packets)?;
    preflight::raise_limits();
    let (runtime, probes) = (threads("lb-control")?, threads("lb-probes")?);
    let served = runtime.block_on(serve(args, file, probes.handle()));
    // Probes that are under way tell nobody anything any more.
    probes.shutdown_background();
    served
}

fn threads(name: &str) -> anyhow::Result<Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(2).thread_name(name).enable_all();
    builder.build().context("starting the runtime")
}

/// However it ends, nothing stays of the way that probes leave by.
async fn serve(args: RunArgs, file: FileSettings, probes: &Handle) -> anyhow::Result<()> {
    let mut probe_device = None;
    let served = serve_with(args, file, probes, &mut probe_device).await;
    if let Some(device) = probe_device {
        let removed = device.device.remove().await;
        removed.unwrap_or_else(|error| tracing::warn!("removing the way that probes leave by: {error}"));
    }
    served
}

async fn serve_with(
    args: RunArgs,
    file: FileSettings,
    probes: &Handle,
    probe_device: &mut Option<ClaimedDevice>,
) -> anyhow::Result<()> {
    let scope = args.place.scope(&Scope::default());
    let store = DatabaseStore::open(&args.state_dir)?;
    let stored = store.load()?;
    let files = ConfigFiles::new(&args.config).context("--config")?;
    let files_changed = Arc::new(Notify::new());
    let _watcher = follow(&files, &files_changed);
    // Everything that is wrong is told before anything is touched.
    let documents = files.read().map_err(ControlError::Faults)?;
    let room = table_room(&args, &file);
    let judged = judge(
        &stored.resources,
        &stored.owners,
        &files,
        &documents,
        &scope,
        &room,
    );
    judged.map(drop).or_else(refuse_documents)?;
    let pins = PinDirectory::new(&args.pin_dir);
    let links = interfaces::named(&args.interfaces, &pins).await?;
    let mut taken = pins.take()?;
    let claim = claim_probe_device(&file)?;
    let tokens = args.token_file.as_deref().map(TokenFile::open).transpose()?;
    let server = Server::bind(&args.listen, tokens)?;
    pins.refuse_unknown_layouts()?;
    let place = HistoryPlace {
        runtime_dir: args.runtime_dir.clone(),
        state_dir: args.state_dir.clone(),
        store: store.id(),
    };
    let in_force = migrate::in_force(&pins)?;
    let pinned = in_force.pinned()?;
    let frozen = frozen(&args, &place, pinned.as_ref());
    let asked = Sizes {
        flow_slots: u32::try_from(args.flow_slots).context("--flow-slots")?,
        table_slots: args.table_slots,
        ..Sizes::default()
    };
    let sizes = match pinned.filter(|_| frozen.is_some()) {
        Some(pinned) => pinned.sizes,
        None => asked,
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
    let mut program = match &frozen {
        None => migrate::load(&options, &pins, store.id(), &mut |step| match step {
            // From here on packets may be judged by what is pinned.
            Step::Linked => taken.keep_so_far(),
            _ => Ok(()),
        })?,
        Some(_) => Program::load_beside(&options, &in_force)?,
    };
    program.forward_logs()?;
    let unwatched = program.watch_failures().err().map(|error| {
        let text = format!("what XDP can't send is not counted, because this kernel refuses it: {error:#}");
        tracing::warn!("{text}");
        text
    });
    *probe_device = make_probe_device(&file, claim).await?;
    let device = probe_device.as_ref().map(|made| made.device.clone());
    if let Some(device) = &device {
        program.attach_probe(ProbeDevice::NAME).context(NO_VIP_PROBES)?;
        let waiting = device.way().borrow().waiting();
        if let Some(index) = waiting {
            device.opened(index);
        }
    }
    let settings = Settings {
        scope,
        seed,
        limits: Limits {
            table_reserve: room.reserve,
            ..Limits::from(&sizes)
        },
        default_table_slots: room.default_slots,
        zones: file.zones,
        gue_port: file.gue_port,
        probe_destination: file.probe_destination,
        probe_mark: file.probe_mark,
        interfaces: links.iter().map(|link| link.name.clone()).collect(),
        virtual_macs: file.virtual_macs,
        xdp_mode: mode(args.xdp_mode),
        announce: !args.no_announce,
        announce_repeat: file.announce_repeat,
        state_dir: args.state_dir.clone(),
        pin_dir: args.pin_dir.clone(),
        inline_work: INLINE_WORK,
        compare_interval: file.compare_interval,
        unwatched,
    };
    let mut history = History::open(&place, program.maps.incarnation())?;
    let (log, connections) = FlowLog::new(file.log_connections, program.maps.flows.clone(), seed)?;
    let (stop, stopping) = watch::channel(false);
    let logging = tokio::spawn(log.run(stopping.clone()));
    let actual = program.maps.read().context("reading the maps back")?;
    let health = history.health();
    // What is not ours is not taken up.
    let plan = match &frozen {
        None => history.adopt(&actual),
        Some(_) => Plan::default(),
    };
    let (probe_paths, paths) = watch::channel(Some(Arc::default()));
    let prober = EndpointProber::new(settings.probe_mark.value, paths);
    let prober = match &device {
        Some(device) => prober.through(device.way()),
        None => prober,
    };
    let (checks, health_events) = HealthChecker::with_prober(prober, health.clone());
    let parts = Parts {
        settings,
        store: Box::new(store),
        stored,
        frozen: frozen.clone(),
        files,
        files_changed: files_changed.clone(),
        maps: Box::new(KernelMaps::new(&program.maps)?),
        attachments: Box::new(KernelAttachments::new(program, pins)),
        network: Box::new(KernelNetwork::new().context("watching links, routes and neighbours")?),
        checks: Box::new(checks.on(probes.clone())),
        health_events,
        probe_paths,
        clock: Arc::new(KernelClock),
        workshop: Arc::new(Threads::default()),
        probe_device: device,
        keeper: Box::new(history),
        actual,
        plan,
        health: health.into_iter().collect(),
        connections,
    };
    let (mut controller, handle, events) = Controller::start(parts).await;
    if frozen.is_none() {
        controller.attach().await?;
    }
    taken.keep();

    let control = Arc::new(handle);
    let serving = tokio::spawn(server.serve(control, ServerConfig::default(), stopping.clone()));
    let deciding = tokio::spawn(controller.run(events, stopping));
    reread_on_hangup(files_changed)?;
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

const NO_VIP_PROBES: &str = "endpoints can't be probed at VIPs (`probe-destination = \"own-address\"` in the settings \
    file has them probed at their own addresses, which proves less)";

/// Why nothing may be changed, if what is pinned is not ours.
fn frozen(args: &RunArgs, place: &HistoryPlace, pinned: Option<&Pinned>) -> Option<String> {
    let ownership = Ownership::of(pinned, place.store, |incarnation| {
        History::fits(place, incarnation)
    });
    let refusal = ownership.refusal(&args.pin_dir, &place.state_dir, place.store)?;
    if args.discard_pinned {
        tracing::warn!(
            "--discard-pinned: what was pinned for other resources is taken over; connections start anew"
        );
        return None;
    }
    tracing::error!("{refusal}");
    Some(refusal)
}

/// Nothing if endpoints are probed at their own addresses and another process has the device.
fn claim_probe_device(file: &FileSettings) -> anyhow::Result<Option<ProbeClaim>> {
    match file.probe_destination {
        ProbeDestination::Vip => ProbeClaim::take_or_say_whose().map(Some),
        ProbeDestination::OwnAddress => ProbeClaim::take(),
    }
}

/// The device with the claim to it.
struct ClaimedDevice {
    device: Arc<ProbeDevice>,
    _claim: Option<ProbeClaim>,
}

async fn make_probe_device(
    file: &FileSettings,
    claim: Option<ProbeClaim>,
) -> anyhow::Result<Option<ClaimedDevice>> {
    match file.probe_destination {
        ProbeDestination::Vip => {
            let made = ProbeDevice::create(file.probe_mark).await;
            Ok(Some(ClaimedDevice {
                device: Arc::new(made.context(NO_VIP_PROBES)?),
                _claim: claim,
            }))
        }
        ProbeDestination::OwnAddress => {
            if claim.is_some() {
                // An earlier run may have probed VIPs, and been killed.
                ProbeDevice::remove_leftovers().await?;
            }
            Ok(None)
        }
    }
}

fn table_room(args: &RunArgs, file: &FileSettings) -> TableRoom {
    let usual = Limits::usual_reserve(args.table_slots);
    TableRoom {
        slots: args.table_slots,
        reserve: file.table_reserve.unwrap_or(usual),
        default_slots: file.default_table_slots,
        zones: file.zones.keys().cloned().collect(),
        ..TableRoom::default()
    }
}

/// From before the files are read, so that no change is missed.
fn follow(files: &ConfigFiles, changed: &Arc<Notify>) -> Option<FileWatcher> {
    if files.is_empty() {
        return None;
    }
    match FileWatcher::new(files.clone(), changed.clone()) {
        Ok(watcher) => Some(watcher),
        Err(error) => {
            tracing::warn!("the files of --config are not followed: {error}; SIGHUP rereads them");
            None
        }
    }
}

fn reread_on_hangup(files: Arc<Notify>) -> anyhow::Result<()> {
    let mut hangup = signal(SignalKind::hangup()).context("waiting for SIGHUP")?;
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            files.notify_one();
        }
    });
    Ok(())
}

/// A start ends for what its files say, and never for what is stored.
fn refuse_documents(faults: Vec<Fault>) -> Result<(), ControlError> {
    let of_documents: Vec<Fault> = faults.into_iter().filter(|fault| !fault.is_stored()).collect();
    match of_documents.is_empty() {
        true => Ok(()),
        false => Err(of_documents.into()),
    }
}

fn mode(asked: AskedMode) -> XdpMode {
    match asked {
        AskedMode::Auto => XdpMode::Auto,
        AskedMode::Native => XdpMode::Native,
        AskedMode::Generic => XdpMode::Generic,
    }
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
pub async fn detach_offline(pin_dir: &Path) -> anyhow::Result<()> {
    let nothing = || anyhow::anyhow!("nothing is attached: {} holds no pinned link", pin_dir.display());
    if !pin_dir.exists() {
        return Err(nothing());
    }
    let mut taken = PinDirectory::new(pin_dir)
        .take()
        .context("detaching what is pinned")?;
    let interfaces = dataplane::detach_offline(pin_dir)?;
    taken.keep();
    // Another daemon's device stays.
    if let Some(_claim) = ProbeClaim::take()? {
        ProbeDevice::remove_leftovers().await?;
    }
    match interfaces.is_empty() {
        true => Err(nothing()),
        false => Ok(()),
    }
}
