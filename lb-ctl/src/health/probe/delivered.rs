//! Connections to a VIP on the path to one endpoint, whoever else owns the VIP.
//!
//! The socket's mark routes all its packets to the probe device, and its priority tells the program there which path
//! they take. Their hop limit of 1 lets nobody pass them on: an endpoint that forwards what it does not own would
//! send them back to the balancer, and another endpoint would answer in its place.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::time::Duration;

use nix::net::if_::if_indextoname;
use nix::sys::socket::{setsockopt, sockopt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, sleep, timeout_at};

use super::Progress;
use super::connect::new_socket;
use super::error::ProbeError;
use super::line::Line;
use crate::health::path::ProbePath;

/// How a probe for a VIP is delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// The endpoint's own address.
    pub endpoint: IpAddr,
    pub path: ProbePath,
    pub mark: u32,
    /// Of the whole probe.
    pub timeout: Duration,
}

/// What is left of the timeout to say why there was no answer.
const LAST_WORDS: Duration = Duration::from_millis(50);
/// How long an endpoint that refused at the VIP may take to answer on its own address.
const SECOND_LOOK: Duration = Duration::from_secs(1);

impl Delivered {
    /// Connects to `vip`. An error says what the endpoint did on its own address meanwhile.
    pub(super) async fn connect(&self, vip: SocketAddr, progress: &mut Progress) -> Result<Line, ProbeError> {
        let own = SocketAddr::new(self.endpoint, vip.port());
        let socket = self.socket(vip);
        let socket =
            socket.map_err(|error| ProbeError::Host(format!("can't make a socket for probes: {error}")))?;
        let deadline = Instant::now() + self.timeout.saturating_sub(LAST_WORDS);
        let mut connecting = pin!(timeout_at(deadline, socket.connect(vip)));
        let mut looking = pin!(async {
            sleep(self.timeout / 4 * 3).await;
            answers(own, deadline).await
        });
        let mut answered = None;
        let outcome = loop {
            tokio::select! {
                biased;
                answer = &mut looking, if answered.is_none() => answered = Some(answer),
                outcome = &mut connecting => break outcome,
            }
        };
        let failure = match outcome {
            Ok(Ok(stream)) => return Ok(progress.begin(stream, vip)),
            Ok(Err(error)) => match ProbeError::from_io("connect", &error) {
                ProbeError::Endpoint(reason) => format!("{reason} by"),
                host => return Err(host),
            },
            Err(_elapsed) => "no answer from".to_owned(),
        };
        let answered = match answered {
            Some(answered) => answered,
            None => answers(own, deadline.min(Instant::now() + SECOND_LOOK)).await,
        };
        let has_answered = answered.is_some();
        if let Some(stream) = answered {
            progress.begin(stream, own);
        }
        Err(ProbeError::Endpoint(self.explain(&failure, vip, has_answered)))
    }

    fn socket(&self, vip: SocketAddr) -> io::Result<TcpSocket> {
        let socket = new_socket(vip)?;
        setsockopt(&socket, sockopt::Mark, &self.mark)?;
        setsockopt(&socket, sockopt::Priority, &(self.path.number as libc::c_int))?;
        match vip {
            SocketAddr::V4(_) => setsockopt(&socket, sockopt::Ipv4Ttl, &1)?,
            SocketAddr::V6(_) => setsockopt(&socket, sockopt::Ipv6Ttl, &1)?,
        }
        let source = self
            .path
            .source
            .filter(|source| source.is_ipv4() == vip.is_ipv4());
        if let Some(source) = source {
            // The port is chosen by the whole tuple then: thousands of endpoints are probed at one VIP.
            setsockopt(&socket, sockopt::IpBindAddressNoPort, &true)?;
            socket.bind(SocketAddr::new(source, 0))?;
        }
        Ok(socket)
    }

    fn explain(&self, failure: &str, vip: SocketAddr, answered: bool) -> String {
        let Self { endpoint, path, .. } = self;
        let mode = path.mode;
        let hint = match (answered, self.strict_filter(vip)) {
            (false, _) => ", nor does it answer on its own address".to_owned(),
            (true, None) => OWNER.to_owned() + "?",
            (true, Some(name)) => {
                format!("{OWNER}, or does {name} drop its answers (rp_filter is 1, strict)?")
            }
        };
        format!("{failure} {endpoint} on {vip} delivered by {mode}{hint}")
    }

    /// The interface that answers come by, if it drops what would not leave by it. Only IPv4 has such a filter.
    fn strict_filter(&self, vip: SocketAddr) -> Option<String> {
        let name = if_indextoname(self.path.ifindex).ok()?.into_string().ok()?;
        let setting = |of: &str| -> Option<u8> {
            let text = std::fs::read_to_string(format!("/proc/sys/net/ipv4/conf/{of}/rp_filter"));
            text.ok()?.trim().parse().ok()
        };
        let is_strict = vip.is_ipv4() && setting("all")?.max(setting(&name)?) == STRICT;
        is_strict.then_some(name)
    }
}

const OWNER: &str = ", while it answers on its own address: does the endpoint own the VIP";
/// Of the values of rp_filter.
const STRICT: u8 = 1;

/// The connection, if anybody accepts it there until `deadline`.
async fn answers(address: SocketAddr, deadline: Instant) -> Option<TcpStream> {
    let connecting = async { new_socket(address)?.connect(address).await };
    timeout_at(deadline, connecting).await.ok()?.ok()
}
