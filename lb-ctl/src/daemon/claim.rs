//! Whose the probe device of this network namespace is: one process's at a time.
//!
//! The claim is a socket with an abstract name. Such names belong to a network namespace, as the device does, and the
//! kernel forgets them with the process.

use std::io::{self, ErrorKind};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};

use anyhow::Context as _;
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};

use crate::net::ProbeDevice;

const NAME: &[u8] = b"lb-ctl probe device";

#[derive(Debug)]
pub(super) struct ProbeClaim(#[expect(dead_code, reason = "held")] UnixListener);

impl ProbeClaim {
    /// Nothing if another process has it.
    pub(super) fn take() -> anyhow::Result<Option<Self>> {
        let listener = name().and_then(|name| UnixListener::bind_addr(&name));
        match listener {
            Ok(listener) => Ok(Some(Self(listener))),
            Err(error) if error.kind() == ErrorKind::AddrInUse => Ok(None),
            Err(error) => Err(error).with_context(|| format!("claiming the device {}", ProbeDevice::NAME)),
        }
    }

    /// For as long as it is held, the device is ours.
    pub(super) fn take_or_say_whose() -> anyhow::Result<Self> {
        Self::take()?.with_context(|| {
            format!(
                "health probes of {} leave by the device {} of this network namespace already; \
                 end it, or set `probe-destination = \"own-address\"` here",
                holder().unwrap_or_else(|_| "another lb-ctl run".to_owned()),
                ProbeDevice::NAME
            )
        })
    }
}

fn name() -> io::Result<SocketAddr> {
    SocketAddr::from_abstract_name(NAME)
}

fn holder() -> io::Result<String> {
    let stream = UnixStream::connect_addr(&name()?)?;
    let peer = getsockopt(&stream, PeerCredentials)?;
    let user = match peer.uid() {
        0 => String::new(),
        user => format!(", of user {user},"),
    };
    Ok(format!("another lb-ctl run (process {}{user})", peer.pid()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_process_has_the_device_and_others_learn_which() {
        // Whoever runs tests beside this one may have the name.
        std::thread::spawn(|| {
            if nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).is_err() {
                eprintln!("skipped: no root");
                return;
            }
            let claim = ProbeClaim::take_or_say_whose().expect("nobody has it");
            assert!(ProbeClaim::take().expect("an answer").is_none());
            let error = ProbeClaim::take_or_say_whose().expect_err("it is taken");
            let process = format!("(process {})", std::process::id());
            assert!(error.to_string().contains(&process), "{error}");
            drop(claim);
            ProbeClaim::take_or_say_whose().expect("it is free again");
        })
        .join()
        .expect("no failed assertion");
    }
}
