//! What XDP could not send: counted by the kernel, told once, and held against the interface for a while.

use std::collections::BTreeMap;
use std::io;

use lb_common::layout::{XdpEvent, XdpFailure};

use super::Controller;
use crate::dataplane::XdpFailures;
use crate::net::Link;
use crate::views;

/// How long an interface that failed to send is left alone.
const LEFT_ALONE_SEC: u32 = 60;

#[derive(Debug, Default)]
pub(super) struct Failures {
    counted: XdpFailures,
    broken: BTreeMap<u32, Broken>,
    /// Why the counters could not be read, as it was told.
    unread: Option<String>,
}

#[derive(Debug)]
struct Broken {
    error: String,
    /// The second from which on it is tried again.
    until: u32,
}

impl Failures {
    /// Interfaces that shall not be used now, with the error.
    pub(super) fn broken(&self) -> BTreeMap<u32, String> {
        let broken = self.broken.iter();
        broken
            .map(|(index, broken)| (*index, broken.error.clone()))
            .collect()
    }

    /// Whatever was wrong of an interface may be mended when it changes.
    pub(super) fn forget_changed(&mut self, before: &BTreeMap<u32, Link>, after: &BTreeMap<u32, Link>) {
        self.broken
            .retain(|index, _| before.get(index) == after.get(index));
    }

    /// Takes what was counted up to now. Returns what happened for the first time.
    fn take(&mut self, counted: XdpFailures, now: u32) -> Vec<XdpFailure> {
        self.broken.retain(|_, broken| now < broken.until);
        let mut first = Vec::new();
        for (failure, frames) in &counted {
            let before = self.counted.get(failure).copied();
            if before.is_none() {
                first.push(*failure);
            }
            if before.unwrap_or(0) < *frames && lasts(failure) {
                let error = errno(failure).unwrap_or_default();
                let until = now + LEFT_ALONE_SEC;
                self.broken
                    .insert(failure.ifindex as u32, Broken { error, until });
            }
        }
        self.counted = counted;
        first
    }
}

/// Whether the next frame will fare no better. A queue that was full and a packet that was too long say nothing of others,
/// and some drivers tell no error.
fn lasts(failure: &XdpFailure) -> bool {
    const PASSING: [i32; 8] = [
        0,
        libc::ENOSPC,
        libc::ENOBUFS,
        libc::ENOMEM,
        libc::EAGAIN,
        libc::EBUSY,
        libc::EMSGSIZE,
        libc::E2BIG,
    ];
    !PASSING.contains(&(failure.errno as i32))
}

fn errno(failure: &XdpFailure) -> Option<String> {
    let number = failure.errno as i32;
    (number != 0).then(|| io::Error::from_raw_os_error(number).to_string())
}

fn event(failure: &XdpFailure) -> &'static str {
    match XdpEvent::of_word(failure.event) {
        Some(XdpEvent::Redirect) => "redirect",
        Some(XdpEvent::Exception) => "exception",
        Some(XdpEvent::Transmit) => "transmit",
        None => "unknown",
    }
}

impl Controller {
    /// Once a second: the first failure of each kind is told, and whoever is behind the interface is undeliverable until it
    /// changes or a minute has passed.
    pub(super) fn follow_failures(&mut self) {
        let counted = match self.attachments.failures() {
            Ok(counted) => counted,
            Err(error) => {
                let text = format!("what XDP could not send can't be read: {error:#}");
                if self.failures.unread.as_ref() != Some(&text) {
                    tracing::warn!("{text}");
                }
                self.failures.unread = Some(text);
                return;
            }
        };
        self.failures.unread = None;
        let counted = counted
            .into_iter()
            .filter(|(failure, _)| self.is_ours(failure.ifindex as u32));
        let counted = counted.collect();
        let before = self.failures.broken();
        let first = self.failures.take(counted, self.clock.now());
        for failure in &first {
            let error = errno(failure).map_or_else(String::new, |error| format!(": {error}"));
            tracing::warn!(
                "{}: XDP could not send ({}{error}); `lb-ctl stats` counts what is lost",
                self.name_of(failure.ifindex as u32),
                event(failure)
            );
        }
        if self.failures.broken() != before {
            self.follow_ways();
        }
    }

    /// Packets of ours come or leave by it; other programs on the host are others' business.
    fn is_ours(&self, ifindex: u32) -> bool {
        let link = self.network_state.links.get(&ifindex);
        let is_arm = link.is_some_and(|link| self.settings.interfaces.contains(&link.name));
        is_arm
            || self.plan.contents.devices.contains(&ifindex)
            || self.failures.broken.contains_key(&ifindex)
            || self
                .failures
                .counted
                .keys()
                .any(|failure| failure.ifindex == u64::from(ifindex))
    }

    fn name_of(&self, ifindex: u32) -> String {
        let link = self.network_state.links.get(&ifindex);
        link.map_or_else(|| format!("interface number {ifindex}"), |link| link.name.clone())
    }

    pub(super) fn failure_views(&self) -> Vec<views::XdpFailureStats> {
        let counted = self.failures.counted.iter();
        counted
            .map(|(failure, frames)| views::XdpFailureStats {
                interface: self.name_of(failure.ifindex as u32),
                event: event(failure).to_owned(),
                error: errno(failure),
                frames: *frames,
            })
            .collect()
    }

    pub(super) fn failure_warning(&self) -> Option<String> {
        let lost: u64 = self.failures.counted.values().sum();
        let lost = (lost > 0).then(|| {
            format!("XDP could not send {lost} frames since the start; `lb-ctl stats` has them by interface and error")
        });
        lost.or_else(|| self.failures.unread.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(ifindex: u64, errno: i32) -> XdpFailure {
        XdpFailure {
            ifindex,
            event: XdpEvent::Redirect as u64,
            errno: errno as u64,
        }
    }

    #[test]
    fn an_error_that_lasts_is_held_against_the_interface_for_a_minute() {
        let mut failures = Failures::default();
        let counted = XdpFailures::from([(failure(3, libc::ENXIO), 5)]);
        assert_eq!(failures.take(counted.clone(), 100), [failure(3, libc::ENXIO)]);
        assert!(failures.broken()[&3].contains("No such device"));
        assert_eq!(failures.take(counted.clone(), 159), [], "told once");
        assert!(failures.broken().contains_key(&3));
        failures.take(counted, 160);
        assert!(failures.broken().is_empty());
        // It fails again when it is tried.
        failures.take(XdpFailures::from([(failure(3, libc::ENXIO), 6)]), 161);
        assert!(failures.broken().contains_key(&3));
    }

    #[test]
    fn a_full_queue_and_a_long_packet_are_counted_only() {
        let mut failures = Failures::default();
        let passing = [0, libc::ENOSPC, libc::EMSGSIZE].map(|errno| (failure(3, errno), 1));
        assert_eq!(failures.take(XdpFailures::from(passing), 100).len(), 3);
        assert!(failures.broken().is_empty());
    }

    #[test]
    fn an_interface_that_changes_is_tried_again() {
        let mut failures = Failures::default();
        failures.take(XdpFailures::from([(failure(3, libc::ENETDOWN), 1)]), 100);
        let link = |mtu| {
            BTreeMap::from([(
                3,
                Link {
                    index: 3,
                    mtu,
                    ..Link::default()
                },
            )])
        };
        failures.forget_changed(&link(1500), &link(1500));
        assert!(!failures.broken().is_empty());
        failures.forget_changed(&link(1500), &link(1400));
        assert!(failures.broken().is_empty());
    }
}
