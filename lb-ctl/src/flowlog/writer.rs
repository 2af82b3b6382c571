//! The thread that writes: a slow disk or pipe holds up nobody else.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use tokio::sync::oneshot;

use super::event::Counters;
use super::sink::{Destination, Sink};

/// Whole lines.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) text: Vec<u8>,
    pub(super) lines: u64,
}

/// How many bytes a batch has when it is sent.
pub(super) const BATCH_BYTES: usize = 64 << 10;
/// Batches that wait at most: 16 MiB.
const QUEUE: usize = 256;
/// How long the end of the daemon waits for what is queued.
const LAST_WORDS: Duration = Duration::from_secs(2);

pub(super) struct Writer {
    batches: SyncSender<Batch>,
    counters: Arc<Counters>,
    reopen: Arc<AtomicBool>,
    done: oneshot::Receiver<()>,
}

impl Writer {
    pub(super) fn start(destination: Destination, counters: Arc<Counters>) -> std::io::Result<Self> {
        let sink = Sink::new(destination)?;
        let (batches, queue) = sync_channel(QUEUE);
        let reopen = Arc::new(AtomicBool::new(false));
        let (end, done) = oneshot::channel();
        let (its_reopen, its_counters) = (reopen.clone(), counters.clone());
        std::thread::Builder::new()
            .name("connection-log".to_owned())
            .spawn(move || {
                write_all(sink, &queue, &its_reopen, &its_counters);
                let _ = end.send(());
            })?;
        Ok(Self {
            batches,
            counters,
            reopen,
            done,
        })
    }

    /// Never waits: without room the lines are dropped, and counted.
    pub(super) fn send(&self, batch: Batch) {
        let lines = batch.lines;
        if lines > 0 && self.batches.try_send(batch).is_err() {
            self.counters.dropped.fetch_add(lines, Ordering::Relaxed);
        }
    }

    /// The file is opened by its name again before the next write.
    pub(super) fn reopen(&self) {
        self.reopen.store(true, Ordering::Relaxed);
    }

    pub(super) async fn finish(self) {
        drop(self.batches);
        if tokio::time::timeout(LAST_WORDS, self.done).await.is_err() {
            tracing::warn!("the connection log can't be written; its last lines are lost");
        }
    }
}

fn write_all(mut sink: Sink, queue: &Receiver<Batch>, reopen: &AtomicBool, counters: &Counters) {
    let mut failed = false;
    while let Ok(batch) = queue.recv() {
        let asked = reopen.swap(false, Ordering::Relaxed);
        let opened = if asked { sink.reopen() } else { Ok(()) };
        match opened.and_then(|()| sink.write(&batch.text)) {
            Ok(()) => {
                counters.lines.fetch_add(batch.lines, Ordering::Relaxed);
                failed = false;
            }
            Err(error) => {
                counters.dropped.fetch_add(batch.lines, Ordering::Relaxed);
                if !failed {
                    tracing::error!("writing the connection log: {error}");
                }
                failed = true;
            }
        }
    }
}
