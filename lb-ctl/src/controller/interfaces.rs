//! The interfaces that packets are balanced on: the program stays attached to each for as long as the daemon runs,
//! whatever becomes of the interface or of the attachment.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Controller;
use super::handle::Reply;
use super::troubles::Subject;
use crate::control::ControlError;
use crate::dataplane::{AttachError, Attached, PinnedLinkState, XdpMode};
use crate::net::{Link, NetworkState, XdpMode as HeldMode};
use crate::views;

/// How soon what could not be attached is tried again, unless the interface changes before.
const TRY_AGAIN: Duration = Duration::from_secs(2);

/// How long a start waits to see its own attachments.
const LONGEST_LOOK: Duration = Duration::from_secs(2);

/// Why a veth is not balanced natively.
const DEAF: &str = "it is a veth whose peer runs no XDP program, so what is sent natively would be lost; with one at the \
    peer, which may pass everything, a restart after `lb-ctl detach` is native";

#[derive(Debug, Default)]
pub(super) struct Interfaces {
    /// By name: when attaching failed last, and on which index.
    failed: BTreeMap<String, (u32, Instant)>,
    /// Where this run has attached the program, and so in the mode that it was told: what netlink says of that comes later.
    attached: BTreeSet<u32>,
    /// By name: why it is attached in generic mode although native was to be tried.
    reduced: BTreeMap<String, String>,
    /// `detach` was asked for: nothing is attached any more.
    pub(super) detached: bool,
}

impl Controller {
    /// For the start, which fails where the program can't be attached.
    pub async fn attach(&mut self) -> anyhow::Result<()> {
        self.follow_interfaces();
        self.wait_until_seen().await;
        let names = self.settings.interfaces.iter();
        let troubles = names.filter_map(|name| self.troubles.text_of(&Subject::Interface(name.clone())));
        let troubles: Vec<String> = troubles.collect();
        match troubles.is_empty() {
            true => Ok(()),
            false => anyhow::bail!("{}", troubles.join("; ")),
        }
    }

    /// What `status` says of attachments is what the kernel says, which has to be asked for it.
    async fn wait_until_seen(&mut self) {
        let names = self.settings.interfaces.clone();
        let mut state = self.network.state();
        let is_seen = |state: &Arc<NetworkState>| {
            let is_attached = |name: &String| {
                let link = state.links.values().find(|link| link.name == *name);
                link.is_some_and(|link| !link.xdp.is_empty())
            };
            names.iter().all(is_attached)
        };
        let seen = tokio::time::timeout(LONGEST_LOOK, state.wait_for(is_seen)).await;
        let seen = seen.ok().and_then(Result::ok).map(|state| state.clone());
        if let Some(state) = seen {
            // Links are not all that it may tell anew.
            self.on_network(state);
        }
    }

    /// Attaches where the program should be and is not, and ends what nobody asked for.
    pub(super) fn follow_interfaces(&mut self) {
        if self.interfaces.detached || self.frozen.is_some() {
            return;
        }
        let held = match self.attachments.links() {
            Ok(held) => held,
            Err(error) => {
                let text = format!("the attachments can't be looked at: {error:#}");
                return self
                    .troubles
                    .set(Subject::Interface("the program".to_owned()), text);
            }
        };
        let links = self.network_state.links.clone();
        let mut wrong = BTreeMap::new();
        for name in self.settings.interfaces.clone() {
            let link = links.values().find(|link| link.name == name);
            if let Err(text) = self.follow_interface(&name, link, &held) {
                wrong.insert(Subject::Interface(name), text);
            }
        }
        self.troubles
            .replace(|subject| matches!(subject, Subject::Interface(_)), wrong);
        self.release_others(&held);
    }

    fn follow_interface(
        &mut self,
        name: &str,
        link: Option<&Link>,
        held: &BTreeMap<u32, PinnedLinkState>,
    ) -> Result<(), String> {
        let Some(link) = link else {
            return Err(format!(
                "there is no interface {name} now: no packet is balanced on it until it is back"
            ));
        };
        if let Some(reason) = link.unbalanceable() {
            return Err(reason);
        }
        let state = held.get(&link.index);
        if state == Some(&PinnedLinkState::Ours) && !self.has_other_mode(link) {
            self.interfaces.failed.remove(name);
            if self.interfaces.attached.insert(link.index) {
                tell_attached(name, &Attached::Adopted, state, true);
            }
            return Ok(());
        }
        if let Some((index, when)) = self.interfaces.failed.get(name)
            && *index == link.index
            && when.elapsed() < TRY_AGAIN
        {
            return self.told_before(name);
        }
        if state.is_some() && self.has_other_mode(link) {
            tracing::warn!(
                "{name} is attached anew, because --xdp-mode changed; packets pass to the host meanwhile"
            );
            self.attachments
                .release(link.index)
                .map_err(|error| format!("{name}: {error:#}"))?;
        }
        match self.attach_as_wished(name, link) {
            Ok(attached) => {
                self.interfaces.failed.remove(name);
                self.network.look_again();
                let is_new = self.interfaces.attached.insert(link.index);
                tell_attached(name, &attached, state, is_new);
                match attached {
                    Attached::Reduced(reason) => {
                        drop(self.interfaces.reduced.insert(name.to_owned(), reason))
                    }
                    _ => drop(self.interfaces.reduced.remove(name)),
                }
                Ok(())
            }
            Err(error) => {
                self.interfaces
                    .failed
                    .insert(name.to_owned(), (link.index, Instant::now()));
                Err(format!("no packet is balanced on {name}: {error}"))
            }
        }
    }

    /// `auto` is native only where what a program sends can arrive.
    fn attach_as_wished(&mut self, name: &str, link: &Link) -> Result<Attached, AttachError> {
        let is_lost = self.settings.xdp_mode == XdpMode::Auto && link.is_deaf();
        let mode = if is_lost {
            XdpMode::Generic
        } else {
            self.settings.xdp_mode
        };
        let attached = self.attachments.attach(name, link.index, mode)?;
        Ok(match attached {
            Attached::Generic if is_lost => Attached::Reduced(DEAF.to_owned()),
            attached => attached,
        })
    }

    fn told_before(&self, name: &str) -> Result<(), String> {
        let subject = Subject::Interface(name.to_owned());
        self.troubles.text_of(&subject).map_or(Ok(()), Err)
    }

    /// The flags are what is true, whatever an earlier run was told.
    fn has_other_mode(&self, link: &Link) -> bool {
        if self.interfaces.attached.contains(&link.index) {
            return false;
        }
        let held = link.xdp.first().map(|xdp| xdp.mode);
        match self.settings.xdp_mode {
            XdpMode::Auto => false,
            XdpMode::Native => held == Some(HeldMode::Generic),
            XdpMode::Generic => held == Some(HeldMode::Native),
        }
    }

    /// Attachments to interfaces that nobody named this time, and to those that are gone.
    fn release_others(&mut self, held: &BTreeMap<u32, PinnedLinkState>) {
        let links = self.network_state.links.clone();
        for (index, state) in held {
            let link = links.get(index);
            if link.is_some_and(|link| self.settings.interfaces.contains(&link.name)) {
                continue;
            }
            if link.is_none() && *state != PinnedLinkState::Dead {
                // What is known of links may be a moment old.
                continue;
            }
            match self.attachments.release(*index) {
                Ok(()) => {
                    if let Some(link) = link {
                        tracing::warn!(
                            "{}: detached, because no --interface names it any more",
                            link.name
                        );
                    }
                }
                Err(error) => tracing::warn!("ending the attachment to interface number {index}: {error:#}"),
            }
        }
    }

    /// The device that probes leave by may have been made again: it needs its program then.
    pub(super) fn open_probe_way(&mut self) {
        let Some(device) = self.probe_device.clone() else {
            return;
        };
        if self.interfaces.detached {
            return self.troubles.clear(&Subject::Probes);
        }
        let way = device.way().borrow().clone();
        let trouble = match way.waiting() {
            None => way.trouble(),
            Some(index) => match self.attachments.attach_probe() {
                Ok(()) => {
                    device.opened(index);
                    None
                }
                Err(error) => Some(format!("{error:#}")),
            },
        };
        match trouble {
            None => self.troubles.clear(&Subject::Probes),
            Some(reason) => self.troubles.set(
                Subject::Probes,
                format!("health probes to VIPs can't leave, so health stays what it was: {reason}"),
            ),
        }
    }

    /// Stops forwarding. The daemon itself goes on.
    pub(super) fn detach(&mut self, reply: Reply<()>) {
        let detached = match self.interfaces.detached {
            true => Err(ControlError::NotAttached),
            false => self
                .attachments
                .detach()
                .map_err(|error| ControlError::Internal(format!("{error:#}"))),
        };
        if let Err(error) = detached {
            return drop(reply.send(Err(error)));
        }
        self.interfaces.detached = true;
        self.troubles.note(
            Subject::Detached,
            "not attached to any interface: no packet is forwarded".to_owned(),
        );
        self.troubles.replace(
            |subject| matches!(subject, Subject::Interface(_)),
            BTreeMap::new(),
        );
        self.announcements.place_anew();
        // Probes on paths that are gone are told from those that fail.
        self.probe_paths.send_replace(None);
        let device = self.probe_device.clone();
        tokio::spawn(async move {
            let removed = match device {
                Some(device) => device.remove().await,
                None => Ok(()),
            };
            tracing::info!("detached; no packet is forwarded any more");
            let removed = removed.map_err(|error| ControlError::Internal(error.to_string()));
            let _ = reply.send(removed);
        });
    }

    /// Where generic mode was not asked for.
    pub(super) fn mode_warnings(&self) -> impl Iterator<Item = String> {
        let reduced = self.interfaces.reduced.iter();
        reduced
            .filter(|_| !self.interfaces.detached)
            .map(|(name, reason)| format!("{name} is balanced in generic mode, which is slower: {reason}"))
    }

    pub(super) fn interface_views(&self) -> Vec<views::InterfaceStatus> {
        let links = &self.network_state.links;
        let view = |name: &String| {
            let link = links.values().find(|link| link.name == *name);
            let is_wrong = self.troubles.has(&Subject::Interface(name.clone()));
            let xdp = link
                .and_then(|link| link.xdp.first())
                .filter(|_| !self.interfaces.detached && !is_wrong);
            views::InterfaceStatus {
                name: name.clone(),
                index: link.map_or(0, |link| link.index),
                xdp_mode: xdp.map_or("none", |xdp| xdp.mode.as_str()).to_owned(),
                program_id: xdp.map_or(0, |xdp| xdp.program_id),
            }
        };
        self.settings.interfaces.iter().map(view).collect()
    }
}

fn tell_attached(name: &str, attached: &Attached, before: Option<&PinnedLinkState>, is_new: bool) {
    match before {
        Some(PinnedLinkState::Dead) => {
            tracing::warn!("{name}: {attached}; somebody had detached the program");
        }
        None if !is_new => {
            tracing::warn!("{name}: {attached}; somebody had removed the pin of its attachment");
        }
        _ if matches!(attached, Attached::Reduced(_)) => tracing::warn!("{name}: {attached}"),
        _ => tracing::info!("{name}: {attached}"),
    }
}
