//! A laboratory in which everything runs: backends, the balancer, and a client to ask.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use crate::daemon::Daemon;
use crate::documents::Documents;
use crate::topology::{BACKENDS, Lab};
use crate::traffic::backend::Backend;
use crate::traffic::flow::UdpFlow;
use crate::traffic::tcp::{Broken, Connection};
use crate::traffic::{TCP_PORT, UDP_PORT};

const FLOW_INTERVAL: Duration = Duration::from_millis(20);

pub struct Balanced<'lab> {
    pub lab: &'lab Lab,
    pub daemon: Daemon<'lab>,
    pub backends: BTreeMap<String, Backend>,
}

impl<'lab> Balanced<'lab> {
    /// All backends of the laboratory serve, and those that the documents name are healthy and can be delivered to, on
    /// return.
    pub fn start(lab: &'lab Lab, documents: &Documents) -> Self {
        Self::around(lab, documents, Daemon::start)
    }

    /// The same with these settings (TOML).
    pub fn start_with_settings(lab: &'lab Lab, settings: &str, documents: &Documents) -> Self {
        Self::around(lab, documents, |lab, documents| {
            Daemon::start_with_settings(lab, settings, documents)
        })
    }

    /// The same with the program in the kernel's generic mode.
    pub fn start_generic(lab: &'lab Lab, documents: &Documents) -> Self {
        Self::around(lab, documents, Daemon::start_generic)
    }

    /// The same with another build of `lb-ctl`.
    pub fn start_as(lab: &'lab Lab, documents: &Documents, former: Option<&Path>) -> Self {
        Self::around(lab, documents, |lab, documents| {
            let mut daemon = Daemon::new(lab);
            daemon.become_former(former);
            daemon.start_again();
            daemon.apply(documents);
            daemon
        })
    }

    fn around(
        lab: &'lab Lab,
        documents: &Documents,
        start: impl FnOnce(&'lab Lab, &Documents) -> Daemon<'lab>,
    ) -> Self {
        let backends = Backend::all(lab, &BACKENDS);
        let backends = backends
            .into_iter()
            .map(|backend| (backend.name.clone(), backend))
            .collect();
        let daemon = start(lab, documents);
        let json = documents.json();
        for name in BACKENDS.iter().filter(|name| json.contains(*name)) {
            daemon.wait_for_health(name, true);
        }
        daemon.wait_for_delivery();
        Self {
            lab,
            daemon,
            backends,
        }
    }

    pub fn backend(&mut self, name: &str) -> &mut Backend {
        self.backends
            .get_mut(name)
            .unwrap_or_else(|| panic!("no backend is called {name}"))
    }

    /// The balancer knows it on return. The backend serves on.
    #[track_caller]
    pub fn set_health(&mut self, name: &str, healthy: bool) {
        self.backend(name).set_health(if healthy { 200 } else { 503 });
        self.daemon.wait_for_health(name, healthy);
    }

    pub fn connect(&self, vip: impl Into<IpAddr>) -> Result<Connection, Broken> {
        Connection::open(self.lab.client(), SocketAddr::new(vip.into(), TCP_PORT))
    }

    #[track_caller]
    pub fn connect_many(&self, vip: impl Into<IpAddr>, count: usize) -> Vec<Connection> {
        Connection::open_many(self.lab.client(), SocketAddr::new(vip.into(), TCP_PORT), count)
    }

    pub fn flow(&self, vip: impl Into<IpAddr>) -> UdpFlow {
        UdpFlow::start(
            self.lab.client(),
            SocketAddr::new(vip.into(), UDP_PORT),
            FLOW_INTERVAL,
        )
    }

    pub fn flows(&self, vip: impl Into<IpAddr>, count: usize) -> Vec<UdpFlow> {
        let vip = vip.into();
        (0..count).map(|_| self.flow(vip)).collect()
    }
}

/// Who accepted these connections.
pub fn backends_of(connections: &[Connection]) -> BTreeSet<&str> {
    connections
        .iter()
        .map(|connection| connection.backend.as_str())
        .collect()
}
