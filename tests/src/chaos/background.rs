//! What goes on all the time: health flips, and somebody changes resources.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use lb_ctl::client::Client;
use lb_ctl::control::wire::{ApplyRequest, WireDocument};
use lb_ctl::control::{ApplyOptions, ApplyReport};
use serde_json::json;

use super::ZONE;
use crate::condition::pause;
use crate::daemon::Daemon;
use crate::multitude::{Multitude, Sick};
use crate::random::Random;
use crate::resources::group;

const CHANGED: &str = "changed";

/// Until its end.
pub(super) struct Background {
    told: Arc<Told>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Told {
    stop: AtomicBool,
    flips: AtomicU64,
    tried: AtomicU64,
    acknowledged: AtomicU64,
    changes: AtomicU64,
}

#[derive(Debug)]
pub struct Done {
    pub flips: u64,
    /// Changes that were acknowledged.
    pub changes: u64,
    /// The last version that was sent, and the last that was acknowledged.
    tried: u64,
    acknowledged: u64,
}

impl Background {
    pub(super) fn start(client: Client, endpoints: &Multitude, count: u16, flips_a_minute: u32) -> Self {
        let told = Arc::<Told>::default();
        let all: Vec<IpAddr> = (0..count).map(|index| endpoints.ipv4(index).into()).collect();
        let (sick, flipped) = (endpoints.sick(), told.clone());
        let interval = Duration::from_secs(60) / flips_a_minute;
        let changed = told.clone();
        let threads = vec![
            std::thread::spawn(move || flip(&sick, &all, interval, &flipped)),
            std::thread::spawn(move || change(&client, &changed)),
        ];
        Self { told, threads }
    }

    /// All endpoints are healthy from then on.
    pub(super) fn end(mut self) -> Done {
        self.told.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            thread.join().expect("what goes on in the background");
        }
        let count = |number: &AtomicU64| number.load(Ordering::Relaxed);
        Done {
            flips: count(&self.told.flips),
            changes: count(&self.told.changes),
            tried: count(&self.told.tried),
            acknowledged: count(&self.told.acknowledged),
        }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.told.stop.store(true, Ordering::Relaxed);
    }
}

impl Done {
    /// The store holds the last change that was acknowledged, or one that was sent later and never answered.
    #[track_caller]
    pub(super) fn assert_kept(&self, daemon: &Daemon<'_>) {
        let path = format!("lab/zones/{ZONE}/networkEndpointGroups/{CHANGED}");
        let stored = daemon.api("GET", &path, &serde_json::Value::Null);
        let version: u64 = stored["description"]
            .as_str()
            .and_then(|text| text.parse().ok())
            .expect("a version");
        assert!(
            (self.acknowledged..=self.tried).contains(&version),
            "version {version} is stored: {self:?}"
        );
    }
}

fn flip(sick: &Sick, all: &[IpAddr], interval: Duration, told: &Told) {
    let mut random = Random::new(all.len() as u64);
    let mut now = BTreeSet::new();
    let mut due = Instant::now();
    while !told.stop.load(Ordering::Relaxed) {
        if Instant::now() < due {
            pause();
            continue;
        }
        due += interval;
        let endpoint = all[random.below(all.len() as u64) as usize];
        if !now.remove(&endpoint) {
            now.insert(endpoint);
        }
        sick.set(now.clone());
        told.flips.fetch_add(1, Ordering::Relaxed);
    }
    sick.set(BTreeSet::new());
}

/// One version after another of a group that no service has.
fn change(client: &Client, told: &Told) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let mut version = 0;
    while !told.stop.load(Ordering::Relaxed) {
        version += 1;
        told.tried.store(version, Ordering::Relaxed);
        let mut value = group(ZONE, CHANGED, []);
        value["description"] = version.to_string().into();
        let document = WireDocument {
            source: "chaos".to_owned(),
            json_path: "$".to_owned(),
            value: json!(value),
        };
        let request = ApplyRequest {
            documents: vec![document],
            options: ApplyOptions::default(),
        };
        // Nobody answers while the daemon is away, and it refuses while the disk is full.
        let answer = runtime.block_on(client.post::<ApplyReport>("/lb/v1/apply", &request));
        if answer.is_ok() {
            told.acknowledged.store(version, Ordering::Relaxed);
            told.changes.fetch_add(1, Ordering::Relaxed);
        }
        (0..10).for_each(|_| pause());
    }
}
