//! Endpoints by the thousand on one host of the laboratory: two prefixes that are that host's as a whole, and one server
//! for all addresses of them, which is told whose health check fails.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsRawFd as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use crate::resources::{endpoint, group, group_path, rule, service};
use crate::topology::Lab;
use crate::traffic::HEALTH_PORT;

const HEALTHY: &str = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nlab";
const SICK: &str = "HTTP/1.1 500 Sick\r\nContent-Length: 3\r\nConnection: close\r\n\r\nlab";

/// Serves until dropped. The balancer's routes to the prefixes lead by the host's own address, so that no neighbour
/// entry is needed for each endpoint: kernels have no more than a thousand.
pub struct Multitude {
    /// Another one for each, so that several hosts can have some.
    number: u8,
    sick: Sick,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Multitude {
    /// All of them are healthy.
    pub fn start(lab: &Lab, host: &str, number: u8) -> Self {
        let home = lab.host(host);
        let (prefix4, prefix6) = (format!("10.{number}.0.0/16"), format!("fd00:{number}::/64"));
        home.namespace.ip(&[
            format!("route add local {prefix4} dev lo"),
            format!("route add local {prefix6} dev lo"),
        ]);
        lab.lb().ip(&[
            format!("route add {prefix4} via {}", home.ipv4),
            format!("route add {prefix6} via {}", home.ipv6),
        ]);
        let sick = Sick::default();
        let (stop, stopped) = oneshot::channel();
        let (ready, is_ready) = std::sync::mpsc::channel();
        let known = sick.clone();
        let thread = home.namespace.spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async {
                let listener = listen().unwrap_or_else(|error| panic!("serving health checks: {error}"));
                ready.send(()).expect("someone waits");
                tokio::select! {
                    () = serve(listener, known) => {}
                    _ = stopped => {}
                }
            });
        });
        is_ready.recv().expect("the server starts");
        Self {
            number,
            sick,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    pub fn ipv4(&self, index: u16) -> Ipv4Addr {
        let [high, low] = (index + 1).to_be_bytes();
        Ipv4Addr::new(10, self.number, high, low)
    }

    pub fn ipv6(&self, index: u16) -> Ipv6Addr {
        // The number is read as hexadecimal where the prefix is made.
        let prefix = format!("fd00:{}::", self.number);
        let prefix: Ipv6Addr = prefix.parse().expect("an address");
        Ipv6Addr::from(u128::from(prefix) | u128::from(index + 1))
    }

    /// EXTERNAL services with so many endpoints each, one after another, at [`small_vip`]s.
    pub fn small_services(&self, zone: &str, services: u16, each: u16, check: &str) -> Vec<Value> {
        let small = |number: u16| {
            let name = format!("s{number}");
            let few = (number * each..(number + 1) * each).map(|index| endpoint(&[self.ipv4(index).into()]));
            let groups = [group_path(zone, &name)];
            [
                group(zone, &name, few),
                service(&name, "EXTERNAL", &groups, Some(check), json!({})),
                rule(&name, "EXTERNAL", small_vip(number), &name),
            ]
        };
        (0..services).flat_map(small).collect()
    }

    /// From now on exactly these fail their health checks.
    pub fn fail(&self, sick: impl IntoIterator<Item = IpAddr>) {
        self.sick.set(sick.into_iter().collect());
    }

    /// For a thread that decides who fails.
    pub fn sick(&self) -> Sick {
        self.sick.clone()
    }
}

impl Drop for Multitude {
    fn drop(&mut self) {
        drop(self.stop.take());
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// The VIP of one of many services.
pub fn small_vip(number: u16) -> IpAddr {
    Ipv4Addr::from(u32::from(Ipv4Addr::new(198, 18, 0, 1)) + u32::from(number)).into()
}

/// Whose health checks fail.
#[derive(Clone, Default)]
pub struct Sick(Arc<Mutex<Ward>>);

#[derive(Default)]
struct Ward {
    sick: BTreeSet<IpAddr>,
    /// Whose change no health check has heard of yet.
    untold: BTreeSet<IpAddr>,
    last_result: Option<Instant>,
}

impl Sick {
    pub fn set(&self, sick: BTreeSet<IpAddr>) {
        let mut ward = self.locked();
        ward.untold = ward.sick.symmetric_difference(&sick).copied().collect();
        ward.sick = sick;
    }

    /// When a health check heard of a change last.
    pub fn last_result(&self) -> Instant {
        self.locked().last_result.expect("somebody's health has changed")
    }

    fn is_sick(&self, endpoint: IpAddr) -> bool {
        let mut ward = self.locked();
        if ward.untold.remove(&endpoint) {
            ward.last_result = Some(Instant::now());
        }
        ward.sick.contains(&endpoint)
    }

    fn locked(&self) -> MutexGuard<'_, Ward> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// With a queue that no burst of probes fills.
fn listen() -> io::Result<TcpListener> {
    std::fs::write("/proc/sys/net/core/somaxconn", "65535")?;
    let listener = std::net::TcpListener::bind((Ipv6Addr::UNSPECIFIED, HEALTH_PORT))?;
    listener.set_nonblocking(true)?;
    // SAFETY: `listen` on a descriptor that `listener` keeps open only changes the length of its queue.
    match unsafe { libc::listen(listener.as_raw_fd(), 65_535) } {
        0 => TcpListener::from_std(listener),
        _ => Err(io::Error::last_os_error()),
    }
}

async fn serve(listener: TcpListener, sick: Sick) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        let Ok(to) = stream.local_addr() else { continue };
        let is_sick = sick.is_sick(to.ip().to_canonical());
        tokio::spawn(answer(stream, if is_sick { SICK } else { HEALTHY }));
    }
}

async fn answer(stream: TcpStream, text: &str) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    // What checks by TCP sends nothing and closes.
    while stream.read_line(&mut line).await? > 0 && line.trim_end() != "" {
        line.clear();
    }
    stream.write_all(text.as_bytes()).await?;
    stream.shutdown().await
}
