//! What health checks cost this host: many targets on loopback addresses, probed by the daemon's own checker.
//!
//! The checker has a thread of its own, whose processor time is measured. On loopback that includes the endpoints' half
//! of every connection as far as the kernel does it, so it is more than real endpoints would cost.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use lb_ctl::health::{HealthChecker, HealthEvent, TargetId};
use lb_ctl::model::{HealthCheck, Probe, ProxyHeader, ResourcePath};
use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage, setrlimit};
use nix::sys::time::TimeValLike;
use serde::Serialize;
use tokio::sync::mpsc::UnboundedReceiver;

/// What is probed, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// 1 to 1,000,000 TCP endpoints, each with an address of its own in 127.0.0.0/8.
    pub targets: u32,
    /// Seconds, 1 to 300.
    pub interval_sec: u32,
    /// Intervals that are measured, after one in which everything starts.
    pub intervals: u32,
}

#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Measured {
    pub targets: u32,
    pub interval_sec: u32,
    /// Of the measured time.
    pub probes: u64,
    pub measured_sec: f64,
    /// Processor time of the checker's thread, as a share of one core.
    pub cpu_percent: f64,
    /// Processor time of one probe.
    pub cpu_micros_per_probe: f64,
    /// The longest that a probe started after its moment.
    pub max_lateness_ms: f64,
    pub most_in_flight: usize,
    /// Targets that were healthy in the end.
    pub healthy: usize,
    /// Resident memory of the process at the end.
    pub resident_mib: f64,
}

/// Runs the load and measures it. Raises this process's limit of open files.
pub fn health_scale(load: Load) -> Measured {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("the limit of open files");
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).expect("raising the limit of open files");
    let endpoints = Endpoints::start();
    let port = endpoints.port;
    std::thread::spawn(move || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime")
            .block_on(measure(load, port))
    })
    .join()
    .expect("the checker's thread")
}

async fn measure(load: Load, port: u16) -> Measured {
    let (mut checker, mut events) = HealthChecker::new(BTreeMap::new());
    checker.set_targets(targets(load, port));
    let interval = Duration::from_secs(load.interval_sec.into());
    // The first probe and, at most one and a half intervals later, the one that turns an endpoint healthy.
    read(&mut events, interval * 3).await;
    checker.pace();
    let (start, cpu) = (Instant::now(), thread_time());
    read(&mut events, interval * load.intervals).await;
    let (elapsed, cpu) = (start.elapsed(), thread_time() - cpu);
    let pace = checker.pace();
    let healthy = checker.snapshot().values().filter(|state| state.healthy).count();
    Measured {
        targets: load.targets,
        interval_sec: load.interval_sec,
        probes: pace.probes,
        measured_sec: elapsed.as_secs_f64(),
        cpu_percent: cpu.as_secs_f64() / elapsed.as_secs_f64() * 100.0,
        cpu_micros_per_probe: cpu.as_secs_f64() * 1e6 / pace.probes as f64,
        max_lateness_ms: pace.max_lateness.as_secs_f64() * 1e3,
        most_in_flight: pace.most_in_flight,
        healthy,
        resident_mib: resident_mib(),
    }
}

/// Takes what is told for as long as `span`, as the controller would.
async fn read(events: &mut UnboundedReceiver<HealthEvent>, span: Duration) {
    let reading = async { while events.recv().await.is_some() {} };
    // The checker lives longer than the span: it is the span that ends this.
    let _ = tokio::time::timeout(span, reading).await;
}

fn targets(load: Load, port: u16) -> BTreeMap<TargetId, Arc<HealthCheck>> {
    let path = ResourcePath::from_canonical("projects/bench/regions/local/healthChecks/scale");
    let check = Arc::new(HealthCheck {
        path: path.clone(),
        check_interval_sec: load.interval_sec,
        timeout_sec: load.interval_sec,
        healthy_threshold: 2,
        unhealthy_threshold: 2,
        log: false,
        probe: Probe::Tcp {
            tls: false,
            port,
            proxy_header: ProxyHeader::None,
            request: Vec::new(),
            response: Vec::new(),
        },
    });
    let first = u32::from(Ipv4Addr::new(127, 1, 0, 0));
    (first..first + load.targets)
        .map(|address| TargetId {
            check: path.clone(),
            address: IpAddr::V4(address.into()),
            via: None,
        })
        .map(|target| (target, Arc::clone(&check)))
        .collect()
}

/// Processor time of this thread.
fn thread_time() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_THREAD).expect("this thread's usage");
    let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Duration::from_micros(micros.unsigned_abs())
}

fn resident_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("this process's status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<f64>().ok());
    kib.expect("VmRSS in kB") / 1024.0
}

/// A listener on every address of this host, on a thread of its own, which accepts and closes.
struct Endpoints {
    port: u16,
    stopping: Arc<AtomicBool>,
    accepting: Option<JoinHandle<()>>,
}

impl Endpoints {
    fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).expect("a port to listen on");
        // More than any burst of probes: what overflows would measure the kernel's retries.
        // SAFETY: `listen` on a descriptor that `listener` keeps open only changes the length of its queue.
        let listening = unsafe { libc::listen(std::os::fd::AsRawFd::as_raw_fd(&listener), 65_535) };
        assert_eq!(listening, 0, "{}", io::Error::last_os_error());
        let port = listener.local_addr().expect("the port").port();
        let stopping = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&stopping);
        let accepting = std::thread::spawn(move || {
            for connection in listener.incoming() {
                drop(connection);
                if stop.load(Ordering::Relaxed) {
                    return;
                }
            }
        });
        Self {
            port,
            stopping,
            accepting: Some(accepting),
        }
    }
}

impl Drop for Endpoints {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Relaxed);
        let wake = std::net::TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, self.port)));
        let ended = self.accepting.take().map(JoinHandle::join);
        assert!(
            std::thread::panicking() || (wake.is_ok() && ended.is_some_and(|ended| ended.is_ok())),
            "the endpoints did not end"
        );
    }
}
