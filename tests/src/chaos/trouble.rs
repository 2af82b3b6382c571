//! What is done to the daemon and its host. Whoever starts it again when it has ended is played here.

use std::time::{Duration, Instant};

use crate::condition::{eventually, pause};
use crate::daemon::Daemon;
use crate::random::Random;
use crate::tmpfs::Tmpfs;
use crate::topology::Lab;

/// The longest that an interface is away or a disk is full.
const LONGEST_MS: u64 = 1500;
/// One for each so much of time, at least.
const FLOOD_INTERVAL: Duration = Duration::from_secs(8);
const DISK_INTERVAL: Duration = Duration::from_secs(6);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Kill,
    Unplug,
    PlugAgain,
    Flood,
    FillDisk,
    MakeRoom,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    pub kills: u32,
    pub interfaces: u32,
    pub floods: u32,
    pub full_disks: u32,
    /// Starts that ended by themselves, while the interface was away or the disk full.
    pub refused_starts: u32,
}

pub(super) struct Trouble<'a, 'lab> {
    lab: &'a Lab,
    pub(super) daemon: &'a mut Daemon<'lab>,
    disk: &'a Tmpfs,
    random: Random,
    is_plugged: bool,
    has_room: bool,
    /// Since when nothing is wrong with interface and disk.
    excused: Option<Instant>,
    pub(super) counts: Counts,
}

impl<'a, 'lab> Trouble<'a, 'lab> {
    pub(super) fn new(lab: &'a Lab, daemon: &'a mut Daemon<'lab>, disk: &'a Tmpfs, random: Random) -> Self {
        Self {
            lab,
            daemon,
            disk,
            random,
            is_plugged: true,
            has_room: true,
            excused: None,
            counts: Counts::default(),
        }
    }

    /// So many kills and interfaces, and floods and full disks now and then, at random moments of `length`.
    pub(super) fn pass(&mut self, kills: u32, interfaces: u32, length: Duration) {
        let mut events = Vec::new();
        let often = |interval: Duration| (length.as_millis() / interval.as_millis()).max(1) as u32;
        for (event, then, count) in [
            (Event::Kill, None, kills),
            (Event::Unplug, Some(Event::PlugAgain), interfaces),
            (Event::FillDisk, Some(Event::MakeRoom), often(DISK_INTERVAL)),
            (Event::Flood, None, often(FLOOD_INTERVAL)),
        ] {
            for _ in 0..count {
                let at = self.random.below(length.as_millis() as u64);
                events.push((at, event));
                let end = at + 1 + self.random.below(LONGEST_MS);
                events.extend(then.map(|then| (end, then)));
            }
        }
        events.sort();
        let start = Instant::now();
        for (at, event) in events {
            while start.elapsed() < Duration::from_millis(at) {
                self.keep_running();
                pause();
            }
            self.happen(event);
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Kill => {
                self.daemon.kill();
                self.counts.kills += 1;
                self.daemon.launch();
            }
            Event::Unplug => {
                self.plug();
                self.lab.unplug(0);
                (self.is_plugged, self.excused) = (false, None);
                self.counts.interfaces += 1;
            }
            Event::PlugAgain => self.plug(),
            Event::FillDisk => {
                self.make_room();
                self.disk.fill();
                (self.has_room, self.excused) = (false, None);
                self.counts.full_disks += 1;
            }
            Event::MakeRoom => self.make_room(),
            Event::Flood => self.flood(),
        }
    }

    fn plug(&mut self) {
        if !self.is_plugged {
            self.lab.plug_again(0);
            self.is_plugged = true;
        }
    }

    fn make_room(&mut self) {
        if !self.has_room {
            self.disk.make_room();
            self.has_room = true;
        }
    }

    /// Routes come and go while the daemon can't listen: the kernel drops what its socket has no room for.
    fn flood(&mut self) {
        self.daemon.overrun_netlink(&[]);
        self.counts.floods += 1;
    }

    /// As a service manager does. A start may end by itself only for a reason that was made here.
    fn keep_running(&mut self) {
        if self.is_plugged && self.has_room {
            self.excused.get_or_insert_with(Instant::now);
        }
        let Some(status) = self.daemon.ended() else {
            return;
        };
        // One that began before all was well again may have met what was wrong.
        let is_excused = self
            .excused
            .is_none_or(|since| since.elapsed() < Duration::from_secs(5));
        assert!(
            is_excused,
            "lb-ctl run ended with {status}:\n{}",
            self.daemon.log()
        );
        self.counts.refused_starts += 1;
        self.daemon.launch();
    }

    /// Nothing is wrong with the host any more; waits until all is well.
    pub(super) fn settle(&mut self, bound: Duration) {
        self.plug();
        self.make_room();
        eventually(bound, || {
            self.keep_running();
            let status = self.daemon.run_ctl(&["status"]);
            match status.status.success() {
                true => Ok(()),
                false => Err(String::from_utf8_lossy(&status.stdout).into_owned()),
            }
        });
    }
}
