//! HAProxy on the balancer's host, in TCP mode, over the same backends.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::TcpStream;
use std::process::Stdio;
use std::time::Duration;

use crate::condition::eventually;
use crate::process::Process;
use crate::topology::{BACKENDS, Lab, VIP4};

const START: Duration = Duration::from_secs(10);

/// Takes connections to the VIP on return.
pub(super) fn start(lab: &Lab, port: u16) -> Process {
    let lb = lab.lb();
    lb.ip(&[format!("address add {VIP4}/32 dev lo")]);
    let mut command = lb.command("haproxy");
    command.args(["-db", "-f", "/dev/stdin"]).stdin(Stdio::piped());
    let mut process = Process::start("haproxy", &mut command);
    let mut input = process.stdin();
    input
        .write_all(configuration(lab, port).as_bytes())
        .expect("writing to haproxy");
    drop(input);
    eventually(START, || {
        if let Some(status) = process.exited() {
            panic!("haproxy ended with {status} before it was ready");
        }
        lb.run(|| TcpStream::connect((VIP4, port)))
            .map_err(|error| error.to_string())
    });
    process
}

fn configuration(lab: &Lab, port: u16) -> String {
    let mut text = format!(
        "global
    maxconn 4096
    nbthread 2
defaults
    mode tcp
    timeout connect 5s
    timeout client 5s
    timeout server 5s
listen vip
    bind {VIP4}:{port}
    balance roundrobin
"
    );
    for name in BACKENDS {
        writeln!(text, "    server {name} {}:{port}", lab.host(name).ipv4).expect("writing to memory");
    }
    text
}
