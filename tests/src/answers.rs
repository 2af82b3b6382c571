//! Somebody who asks for `status` again and again, and keeps the longest that an answer took.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::api;
use crate::condition::pause;

/// Asks until dropped.
pub struct Answers {
    told: Arc<Told>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Told {
    stop: AtomicBool,
    answers: AtomicU64,
    /// The longest, and since when an answer is awaited.
    waits: Mutex<(Duration, Option<Instant>)>,
}

impl Told {
    fn note(&self, since: Option<Instant>) {
        let mut waits = self.waits.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(before) = waits.1.take() {
            waits.0 = waits.0.max(before.elapsed());
        }
        waits.1 = since;
    }
}

impl Answers {
    /// Of the daemon at this socket.
    pub fn watch(socket: PathBuf) -> Self {
        let told = Arc::<Told>::default();
        let asked = told.clone();
        let thread = std::thread::spawn(move || {
            while !asked.stop.load(Ordering::Relaxed) {
                asked.note(Some(Instant::now()));
                let (status, answer) = api::exchange(&socket, "GET", "/lb/v1/status", &Value::Null);
                assert_eq!(status, 200, "{answer}");
                asked.note(None);
                asked.answers.fetch_add(1, Ordering::Relaxed);
                pause();
            }
        });
        Self {
            told,
            thread: Some(thread),
        }
    }

    pub fn count(&self) -> u64 {
        self.told.answers.load(Ordering::Relaxed)
    }

    /// The longest that an answer took, or is taking now.
    pub fn worst(&self) -> Duration {
        let waits = self.told.waits.lock().unwrap_or_else(PoisonError::into_inner);
        let (worst, since) = *waits;
        worst.max(since.map_or(Duration::ZERO, |since| since.elapsed()))
    }
}

impl Drop for Answers {
    fn drop(&mut self) {
        self.told.stop.store(true, Ordering::Relaxed);
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(
            std::thread::panicking() || ended.is_some_and(|ended| ended.is_ok()),
            "a question for the status had no good answer"
        );
    }
}
