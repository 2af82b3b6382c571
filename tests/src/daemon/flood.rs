//! More news of the network than a socket holds.

use nix::sys::signal::Signal;

use super::Daemon;

/// That come and go: more messages than the socket of a process that stands still can hold.
const ROUTES: u32 = 4000;

impl Daemon<'_> {
    /// The daemon stands still while so much happens that it loses some of it, and `last` (as `ip -batch` takes it) at the end.
    pub fn overrun_netlink(&self, last: &[String]) {
        self.signal(Signal::SIGSTOP);
        let route = |number: u32| {
            format!(
                "route replace blackhole 10.250.{}.{}/32",
                number / 250,
                number % 250
            )
        };
        let mut lines: Vec<String> = (0..ROUTES).map(route).collect();
        lines.push("route flush type blackhole".to_owned());
        lines.extend_from_slice(last);
        self.lab.lb().ip(&lines);
        self.signal(Signal::SIGCONT);
    }
}
