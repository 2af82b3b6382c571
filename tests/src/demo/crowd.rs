//! The client's side of the demonstration: connections that are kept and used, newcomers all the time, UDP flows.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::netns::Namespace;
use crate::topology::{PRIMARIES, VIP4};
use crate::traffic::flow::UdpFlow;
use crate::traffic::tcp::{Broken, Connection};
use crate::traffic::{TCP_PORT, UDP_PORT};

const PATIENCE: Duration = Duration::from_secs(2);
/// Between two requests on one connection.
const ROUND: Duration = Duration::from_millis(100);
const BETWEEN_NEWCOMERS: Duration = Duration::from_millis(25);
const FLOW_INTERVAL: Duration = Duration::from_millis(20);
/// What every primary has at least, so that losing any of them shows.
const CONNECTIONS_EACH: usize = 4;
const FLOWS_EACH: usize = 2;
/// So many tries that a fair share can't be missed by chance.
const TRIES: usize = 200;

#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) backend: String,
    pub(super) broken: Option<Broken>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    pub(super) held: Vec<Held>,
    /// Rounds in which every kept connection was asked.
    pub(super) rounds: u64,
    /// Since the last mark.
    pub(super) newcomers: BTreeMap<String, u64>,
    pub(super) failures: Vec<Broken>,
    pub(super) newcomers_ever: u64,
    mark: u64,
}

impl Seen {
    pub(super) fn newcomer_count(&self) -> u64 {
        self.newcomers.values().sum::<u64>() + self.failures.len() as u64
    }

    pub(super) fn open_on(&self, backend: &str) -> usize {
        self.held
            .iter()
            .filter(|held| held.backend == backend && held.broken.is_none())
            .count()
    }

    pub(super) fn broken(&self) -> impl Iterator<Item = (&str, Broken)> {
        self.held
            .iter()
            .filter_map(|held| Some((held.backend.as_str(), held.broken?)))
    }
}

/// Everybody goes home when it is dropped.
pub(super) struct Crowd {
    seen: Arc<Mutex<Seen>>,
    to_keeper: Option<Sender<Connection>>,
    stop_newcomers: Option<Sender<()>>,
    threads: Vec<JoinHandle<()>>,
    pub(super) flows: Vec<UdpFlow>,
}

impl Crowd {
    /// With kept connections and flows on every primary.
    pub(super) fn gather(client: &Namespace) -> Self {
        let seen = Arc::<Mutex<Seen>>::default();
        let (to_keeper, arriving) = mpsc::channel();
        let (stop_newcomers, stopped) = mpsc::channel();
        let (keeping, coming) = (seen.clone(), seen.clone());
        let threads = vec![
            std::thread::spawn(move || keep(&keeping, &arriving)),
            client.spawn(move || newcomers(&coming, &stopped)),
        ];
        let mut crowd = Self {
            seen,
            to_keeper: Some(to_keeper),
            stop_newcomers: Some(stop_newcomers),
            threads,
            flows: Vec::new(),
        };
        for _ in 0..TRIES {
            if PRIMARIES
                .iter()
                .all(|name| crowd.seen().open_on(name) >= CONNECTIONS_EACH)
            {
                break;
            }
            crowd.keep_another(client);
        }
        for _ in 0..TRIES {
            if PRIMARIES.iter().all(|name| crowd.flows_on(name) >= FLOWS_EACH) {
                break;
            }
            crowd.start_flow(client);
        }
        crowd
    }

    pub(super) fn seen(&self) -> Seen {
        locked(&self.seen).clone()
    }

    /// Counts newcomers from now on: those that connect from here, not those on their way.
    pub(super) fn mark(&self) {
        let mut seen = locked(&self.seen);
        seen.mark += 1;
        seen.newcomers.clear();
        seen.failures.clear();
    }

    /// Opens a connection that stays.
    pub(super) fn keep_another(&self, client: &Namespace) {
        let connection = Connection::open_within(client, address(TCP_PORT), PATIENCE)
            .unwrap_or_else(|broken| panic!("connecting to {}: {broken}", address(TCP_PORT)));
        locked(&self.seen).held.push(Held {
            backend: connection.backend.clone(),
            broken: None,
        });
        let keeper = self.to_keeper.as_ref().expect("there until the end");
        keeper.send(connection).expect("the keeper stays until the end");
    }

    /// Flows that are answered by this backend now.
    pub(super) fn flows_on(&self, backend: &str) -> usize {
        self.flows
            .iter()
            .filter(|flow| flow.record().backend.as_deref() == Some(backend))
            .count()
    }

    /// How often each flow was answered.
    pub(super) fn answers(&self) -> Vec<u64> {
        self.flows.iter().map(|flow| flow.record().answered).collect()
    }

    pub(super) fn moves(&self) -> u64 {
        self.flows.iter().map(|flow| flow.record().moves).sum()
    }

    fn start_flow(&mut self, client: &Namespace) {
        let flow = UdpFlow::start(client, address(UDP_PORT), FLOW_INTERVAL);
        flow.answered_by();
        self.flows.push(flow);
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        // The threads end when nobody can tell them anything any more.
        self.to_keeper = None;
        self.stop_newcomers = None;
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn address(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::from(VIP4), port)
}

fn locked(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Asks every kept connection once a round.
fn keep(seen: &Mutex<Seen>, arriving: &Receiver<Connection>) {
    let mut connections: Vec<Option<Connection>> = Vec::new();
    loop {
        let due = Instant::now() + ROUND;
        for (index, slot) in connections.iter_mut().enumerate() {
            if let Some(broken) = slot.as_mut().and_then(|connection| ask(connection).err()) {
                locked(seen).held[index].broken = Some(broken);
                *slot = None;
            }
        }
        locked(seen).rounds += 1;
        loop {
            match arriving.recv_timeout(due.saturating_duration_since(Instant::now())) {
                Ok(connection) => connections.push(Some(connection)),
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }
}

/// A connection that somebody else answers is as broken as one that nobody does.
fn ask(connection: &mut Connection) -> Result<(), Broken> {
    let who = connection.ask()?;
    if who == connection.backend {
        Ok(())
    } else {
        Err(Broken::Reset)
    }
}

/// Opens a connection, uses it once, and lets it go; again and again.
fn newcomers(seen: &Mutex<Seen>, stopped: &Receiver<()>) {
    while stopped.recv_timeout(BETWEEN_NEWCOMERS) == Err(RecvTimeoutError::Timeout) {
        let mark = locked(seen).mark;
        let outcome =
            Connection::open_here(address(TCP_PORT), PATIENCE).and_then(|mut connection| connection.ask());
        let mut seen = locked(seen);
        seen.newcomers_ever += 1;
        if seen.mark != mark {
            continue;
        }
        match outcome {
            Ok(backend) => *seen.newcomers.entry(backend).or_default() += 1,
            Err(broken) => seen.failures.push(broken),
        }
    }
}
