//! The way out for health probes: rules that lead marked packets to a routing table of our own, whose default routes lead
//! to a device of our own. At its egress a program delivers them, so nothing ever arrives at its other end.
//!
//! Contract: [`ProbeDevice::create`] first removes what a killed run has left; what others remove or change of it is
//! mended, and told ([`ProbeDevice::way`]); [`ProbeDevice::remove`] leaves nothing behind.

#[cfg(test)]
mod tests;
mod way;

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::LinkAttribute;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::{MissedTickBehavior, interval};

use self::way::Way;
use super::netlink::{Event, Events};
use super::{Mark, NetError};

/// How often the way is looked at, whatever the kernel tells of it.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// Whether probes can leave by the device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeWay {
    /// Counts the breaks: a probe that saw two numbers may have taken another way.
    pub breaks: u64,
    pub state: WayState,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WayState {
    /// A clause.
    Broken(String),
    /// The device is there, and waits for the program that delivers what leaves by it.
    Made {
        ifindex: u32,
    },
    Open {
        ifindex: u32,
    },
}

impl ProbeWay {
    /// Why no probe can leave, if so; a clause.
    pub fn trouble(&self) -> Option<String> {
        match &self.state {
            WayState::Broken(reason) => Some(reason.clone()),
            WayState::Made { .. } => Some(format!("{} has no program yet", ProbeDevice::NAME)),
            WayState::Open { .. } => None,
        }
    }

    /// The device that waits for its program.
    pub fn waiting(&self) -> Option<u32> {
        match self.state {
            WayState::Made { ifindex } => Some(ifindex),
            WayState::Broken(_) | WayState::Open { .. } => None,
        }
    }

    fn broken(&mut self, reason: String) {
        self.breaks += u64::from(!matches!(self.state, WayState::Broken(_)));
        self.state = WayState::Broken(reason);
    }

    /// A device that had its program has it still.
    fn made(&mut self, index: u32, opened: Option<u32>) {
        self.state = match opened == Some(index) {
            true => WayState::Open { ifindex: index },
            false => WayState::Made { ifindex: index },
        };
    }
}

/// The device with its routes and rules. They stay when it is dropped.
#[derive(Debug)]
pub struct ProbeDevice {
    way: watch::Sender<ProbeWay>,
    opened: watch::Sender<Option<u32>>,
    keeper: Mutex<Option<AbortHandle>>,
}

impl ProbeDevice {
    pub const NAME: &str = "lb-probe";

    /// Makes it, for packets with this mark. Needs a tokio runtime.
    pub async fn create(mark: Mark) -> Result<Self, NetError> {
        let way = Way::open(mark)?;
        way.clear().await?;
        let made = async {
            way.make().await?;
            way.look().await
        };
        let found = match made.await {
            Ok(found) => found,
            Err(error) => {
                // What is there of it is of no use; the first error is the one to tell.
                let _ = way.clear().await;
                return Err(error);
            }
        };
        let state = match found {
            Ok(ifindex) => WayState::Made { ifindex },
            Err(reason) => WayState::Broken(reason),
        };
        let told = watch::Sender::new(ProbeWay { breaks: 0, state });
        let opened = watch::Sender::new(None);
        let keeper = Keeper {
            way,
            mark,
            events: None,
            told: told.clone(),
            opened: opened.subscribe(),
        };
        Ok(Self {
            way: told,
            opened,
            keeper: Mutex::new(Some(tokio::spawn(keeper.run()).abort_handle())),
        })
    }

    /// Whether probes can leave. Whoever has the program attaches it to a device that [waits](ProbeWay::waiting) for it,
    /// and [says so](Self::opened).
    pub fn way(&self) -> watch::Receiver<ProbeWay> {
        self.way.subscribe()
    }

    /// The program is attached to the device with this index.
    pub fn opened(&self, ifindex: u32) {
        self.opened.send_replace(Some(ifindex));
        self.way.send_if_modified(|way| {
            let waits = way.waiting() == Some(ifindex);
            if waits {
                way.state = WayState::Open { ifindex };
            }
            waits
        });
    }

    pub async fn remove(&self) -> Result<(), NetError> {
        self.stop_keeping();
        self.way
            .send_modify(|way| way.broken("probing has ended".to_owned()));
        Self::remove_leftovers().await
    }

    /// Removes what a run has left that is no more.
    pub async fn remove_leftovers() -> Result<(), NetError> {
        Way::open(Mark::DEFAULT)?.clear().await
    }

    fn stop_keeping(&self) {
        let keeper = self.keeper.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = keeper {
            task.abort();
        }
    }
}

impl Drop for ProbeDevice {
    fn drop(&mut self) {
        self.stop_keeping();
    }
}

/// Rules are fair game for network managers, and devices for whoever cleans up; what was there once is made again.
struct Keeper {
    way: Way,
    mark: Mark,
    events: Option<Events>,
    told: watch::Sender<ProbeWay>,
    opened: watch::Receiver<Option<u32>>,
}

impl Keeper {
    async fn run(mut self) {
        let mut ticks = interval(LOOK_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {
                    if self.events.is_none() {
                        self.events = Events::of_links_and_rules().ok();
                    }
                }
                () = until_touched(&mut self.events) => {}
            }
            if let Err(error) = self.keep().await {
                self.tell_broken(error.to_string());
                // Its own socket may be what is wrong.
                if let Ok(way) = Way::open(self.mark) {
                    self.way = way;
                }
            }
        }
    }

    async fn keep(&mut self) -> Result<(), NetError> {
        if let Err(reason) = self.way.look().await? {
            self.tell_broken(reason);
            self.way.mend().await?;
        }
        match self.way.look().await? {
            Ok(index) => self.tell_made(index),
            Err(reason) => self.tell_broken(reason),
        }
        Ok(())
    }

    fn tell_broken(&self, reason: String) {
        self.told.send_if_modified(|way| {
            let is_new = !matches!(&way.state, WayState::Broken(known) if *known == reason);
            if is_new {
                tracing::warn!(
                    "health probes to VIPs can't leave: {reason}; it is mended if that can be done"
                );
                way.broken(reason);
            }
            is_new
        });
    }

    fn tell_made(&self, index: u32) {
        let opened = *self.opened.borrow();
        self.told.send_if_modified(|way| {
            let before = way.clone();
            way.made(index, opened);
            let is_new = *way != before;
            if is_new {
                tracing::info!(
                    "the way of health probes to VIPs by {} is there again",
                    ProbeDevice::NAME
                );
            }
            is_new
        });
    }
}

/// Until something happened to the device or to a rule, or that can't be heard.
async fn until_touched(events: &mut Option<Events>) {
    loop {
        let Some(heard) = events else {
            return std::future::pending().await;
        };
        match heard.next().await {
            Some(Event::Message(message)) if !concerns(&message) => {}
            Some(_) => return,
            None => {
                *events = None;
                return;
            }
        }
    }
}

fn concerns(message: &RouteNetlinkMessage) -> bool {
    use RouteNetlinkMessage::{DelLink, DelRule, NewLink, NewRule};
    let is_ours = |attribute: &LinkAttribute| match attribute {
        LinkAttribute::IfName(name) => name == ProbeDevice::NAME || name == way::PEER,
        _ => false,
    };
    match message {
        NewLink(link) | DelLink(link) => link.attributes.iter().any(is_ours),
        NewRule(_) | DelRule(_) => true,
        _ => false,
    }
}
