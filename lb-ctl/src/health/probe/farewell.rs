//! What is left to do for a probe when its verdict is known: ending the connection as its endpoint likes it.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::time::{Instant, timeout_at};

use super::endings::Endings;
use super::line::Line;
use crate::health::machine::ProbeResult;

/// What a probe found out, at once, and what is left of it.
#[derive(Debug)]
pub struct Probed {
    pub result: ProbeResult,
    pub farewell: Farewell,
}

impl From<ProbeResult> for Probed {
    /// There is no connection to end.
    fn from(result: ProbeResult) -> Self {
        let farewell = Farewell(None);
        Self { result, farewell }
    }
}

/// A connection that is to be ended. Dropped, it is ended without waiting for the endpoint.
#[must_use]
#[derive(Debug)]
pub struct Farewell(Option<Ending>);

struct Ending {
    endings: Arc<Endings>,
    line: Line,
    /// What the protocol has left to say.
    last_words: Option<LastWords>,
    deadline: Instant,
}

pub(super) type LastWords = BoxFuture<'static, ()>;

impl std::fmt::Debug for Ending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ending")
            .field("line", &self.line)
            .finish_non_exhaustive()
    }
}

impl Farewell {
    pub(super) fn new(
        endings: Arc<Endings>,
        line: Option<Line>,
        last_words: Option<LastWords>,
        deadline: Instant,
    ) -> Self {
        Self(line.map(|line| Ending {
            endings,
            line,
            last_words,
            deadline,
        }))
    }

    /// Ends the connection in order: what the protocol has left to say, our FIN, the endpoint's. It takes no longer than
    /// the probe may take, and no time at all while too many others are waiting.
    pub async fn say(self) {
        let Some(ending) = self.0 else { return };
        let Some(_place) = ending.endings.place() else {
            return;
        };
        let Ending { line, last_words, .. } = ending;
        let parting = async {
            if let Some(last_words) = last_words {
                last_words.await;
            }
            line.end();
            line.hear_end().await;
        };
        // An endpoint that does not end its side in time is left to the kernel.
        let _ = timeout_at(ending.deadline, parting).await;
    }
}
