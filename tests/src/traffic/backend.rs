//! A backend as a process in its host's namespace: its health can be switched, and it can be killed.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::process::{ChildStdin, ChildStdout, Stdio};

use super::{HEALTH_PORT, TCP_PORT, UDP_PORT};
use crate::process::{Process, binary};
use crate::topology::{Host, Lab, VIP4, VIP6};

pub struct Backend {
    pub name: String,
    process: Process,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Backend {
    /// Serves the VIPs of both families, healthy, on return.
    pub fn start(lab: &Lab, name: &str) -> Self {
        Self::on(lab.host(name))
    }

    pub fn all(lab: &Lab, names: &[&str]) -> Vec<Self> {
        names.iter().map(|name| Self::start(lab, name)).collect()
    }

    fn on(host: &Host) -> Self {
        let mut command = host.namespace.command(binary("lb-lab-backend"));
        command.args(["--name", &host.name]);
        for vip in [IpAddr::from(VIP4), IpAddr::from(VIP6)] {
            command.args(["--tcp", &SocketAddr::new(vip, TCP_PORT).to_string()]);
            // An answer has to come from the VIP; a wildcard socket would choose the host's own address.
            command.args(["--udp", &SocketAddr::new(vip, UDP_PORT).to_string()]);
        }
        command.args([
            "--health",
            &SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), HEALTH_PORT).to_string(),
        ]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = Process::start(&host.name, &mut command);
        let (commands, answers) = (process.stdin(), BufReader::new(process.stdout()));
        let mut backend = Self {
            name: host.name.clone(),
            process,
            commands,
            answers,
        };
        backend.expect("ready");
        backend
    }

    /// The health endpoint answers with this status; the services go on.
    pub fn set_health(&mut self, status: u16) {
        self.command(&format!("health {status}"));
    }

    /// Nobody listens at the health endpoint; the services go on.
    pub fn refuse_health(&mut self) {
        self.command("health refuse");
    }

    /// The header `X-Load-Balancing-Endpoint-Weight`.
    pub fn set_weight(&mut self, weight: Option<&str>) {
        self.command(&format!("weight {}", weight.unwrap_or("none")));
    }

    /// SIGKILL: its connections and its health endpoint die with it.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    fn command(&mut self, line: &str) {
        writeln!(self.commands, "{line}").unwrap_or_else(|error| panic!("commanding {}: {error}", self.name));
        self.expect("ok");
    }

    fn expect(&mut self, word: &str) {
        let mut line = String::new();
        self.answers
            .read_line(&mut line)
            .unwrap_or_else(|error| panic!("hearing from {}: {error}", self.name));
        assert_eq!(line.trim_end(), word, "{} should say {word:?}", self.name);
    }
}
