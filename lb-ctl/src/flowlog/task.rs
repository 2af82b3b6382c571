//! The task that looks at the flow table every tick while some service is logged.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::Context as _;
use lb_common::clock::TICK_SECONDS;
use lb_common::hash::HashKeys;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use super::event::{Counters, Limits};
use super::line::{self, Calendar};
use super::scan::Scanner;
use super::sink::Destination;
use super::snapshot::{Publisher, Snapshot};
use super::writer::{BATCH_BYTES, Batch, Writer};
use crate::dataplane::{self, FlowTable};

pub struct FlowLog {
    snapshots: watch::Receiver<Arc<Snapshot>>,
    reader: Reader,
    hangup: Signal,
}

impl FlowLog {
    /// Opens the destination. Nothing is read before the controller publishes a service that is logged.
    pub fn new(
        destination: Destination,
        table: Arc<FlowTable>,
        seed: u128,
    ) -> anyhow::Result<(Self, Publisher)> {
        let counters = Arc::<Counters>::default();
        let writer = Writer::start(destination.clone(), counters.clone())
            .with_context(|| format!("opening the connection log {destination}"))?;
        let (publish, snapshots) = watch::channel(Arc::default());
        let log = Self {
            snapshots,
            reader: Reader {
                table,
                scanner: Scanner::new(HashKeys::from_seed(seed), Limits::default(), counters.clone()),
                calendar: Calendar::default(),
                writer,
                counters: counters.clone(),
                dropped: 0,
                is_dropping: false,
            },
            hangup: signal(SignalKind::hangup()).context("waiting for SIGHUP")?,
        };
        let publisher = Publisher {
            snapshots: publish,
            counters,
            destination,
        };
        Ok((log, publisher))
    }

    /// Until `stop` says so: then once more, so that what the next daemon finds has been told.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        let Self {
            mut snapshots,
            mut reader,
            mut hangup,
        } = self;
        let mut ticks = interval(Duration::from_secs(TICK_SECONDS.into()));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut is_stopping = false;
        while !is_stopping {
            let is_logging = !snapshots.borrow().is_empty();
            tokio::select! {
                () = stopped(&mut stop) => is_stopping = true,
                changed = snapshots.changed() => match changed {
                    Ok(()) if !reader.has_to_scan(&snapshots.borrow()) => continue,
                    Ok(()) => {}
                    Err(_) => is_stopping = true,
                },
                _ = hangup.recv() => {
                    reader.writer.reopen();
                    continue;
                }
                _ = ticks.tick(), if is_logging => {}
            }
            let snapshot = snapshots.borrow_and_update().clone();
            if !snapshot.is_empty() {
                let scan = tokio::task::spawn_blocking(move || reader.scan(&snapshot));
                reader = scan.await.expect("a scan does not panic");
            }
        }
        reader.writer.finish().await;
    }
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// What scans, on a thread where it may take its time.
struct Reader {
    table: Arc<FlowTable>,
    scanner: Scanner,
    calendar: Calendar,
    writer: Writer,
    counters: Arc<Counters>,
    dropped: u64,
    is_dropping: bool,
}

impl Reader {
    /// Whether a new snapshot has services to learn at once; of others the next tick is soon enough.
    fn has_to_scan(&mut self, snapshot: &Snapshot) -> bool {
        if snapshot.is_empty() {
            self.scanner.forget();
        }
        self.scanner.has_to_learn(snapshot)
    }

    fn scan(mut self, snapshot: &Arc<Snapshot>) -> Self {
        self.calendar.adjust();
        let (calendar, writer) = (&self.calendar, &self.writer);
        let mut batch = Batch::default();
        let mut emit = |event: &super::Event<'_>| {
            line::append(&mut batch.text, event, calendar);
            batch.lines += 1;
            if batch.text.len() >= BATCH_BYTES {
                writer.send(std::mem::take(&mut batch));
            }
        };
        self.scanner
            .scan(&*self.table, snapshot, dataplane::now(), &mut emit);
        self.writer.send(batch);
        self.warn_of_drops();
        self
    }

    /// Once, until a scan drops nothing.
    fn warn_of_drops(&mut self) {
        let dropped = self.counters.dropped.load(Ordering::Relaxed);
        let is_dropping = dropped > self.dropped;
        if is_dropping && !self.is_dropping {
            tracing::warn!("the connection log drops lines: more connections than it can follow or write");
        }
        (self.dropped, self.is_dropping) = (dropped, is_dropping);
    }
}
