//! Many UDP flows, which one thread serves: each at a low rate, all together at a high one.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::flow::Record;
use crate::condition::eventually;
use crate::netns::Namespace;

/// As many flows as are served in one go, and how often.
const BATCH: usize = 50;
const PACE: Duration = Duration::from_millis(40);
/// Longer than any datagram is on its way.
const LAST_ANSWERS: Duration = Duration::from_secs(20);

pub struct UdpCrowd {
    records: Arc<Mutex<Vec<Record>>>,
    sending: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// What became of the datagrams of a crowd.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Toll {
    pub flows: usize,
    pub sent: u64,
    pub lost: u64,
    /// Flows that have changed their backend.
    pub moved: usize,
}

impl UdpCrowd {
    /// Every flow has an answer on return.
    #[track_caller]
    pub fn start(client: &Namespace, to: SocketAddr, count: usize) -> Self {
        let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let open = || {
            let socket = UdpSocket::bind(any)?;
            socket.connect(to)?;
            socket.set_nonblocking(true)?;
            io::Result::Ok(socket)
        };
        let sockets: io::Result<Vec<UdpSocket>> = client.run(|| (0..count).map(|_| open()).collect());
        let sockets = sockets.unwrap_or_else(|error| panic!("UDP sockets to {to}: {error}"));
        let records = Arc::new(Mutex::new(vec![Record::default(); count]));
        let (sending, stop) = (Arc::new(AtomicBool::new(true)), Arc::<AtomicBool>::default());
        let server = Server {
            sockets,
            records: records.clone(),
            sending: sending.clone(),
            stop: stop.clone(),
        };
        let crowd = Self {
            records,
            sending,
            stop,
            thread: Some(std::thread::spawn(move || server.run())),
        };
        eventually(LAST_ANSWERS, || {
            let silent = crowd
                .records()
                .iter()
                .filter(|record| record.answered == 0)
                .count();
            match silent {
                0 => Ok(()),
                _ => Err(format!("{silent} of {count} flows have no answer")),
            }
        });
        crowd
    }

    pub fn backends(&self) -> Vec<String> {
        let records = self.records();
        records
            .iter()
            .filter_map(|record| record.backend.clone())
            .collect()
    }

    /// Nothing is sent any more, and what was sent has had time to come back.
    pub fn end(self) -> Toll {
        self.sending.store(false, Ordering::Relaxed);
        let count = |records: &[Record]| {
            let sent: u64 = records.iter().map(|record| record.sent).sum();
            let answered: u64 = records.iter().map(|record| record.answered).sum();
            (sent, sent.saturating_sub(answered))
        };
        let start = Instant::now();
        while count(&self.records()).1 > 0 && start.elapsed() < LAST_ANSWERS {
            std::thread::yield_now();
        }
        let records = self.records();
        let (sent, lost) = count(&records);
        Toll {
            flows: records.len(),
            sent,
            lost,
            moved: records.iter().filter(|record| record.moves > 0).count(),
        }
    }

    fn records(&self) -> MutexGuard<'_, Vec<Record>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for UdpCrowd {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

struct Server {
    sockets: Vec<UdpSocket>,
    records: Arc<Mutex<Vec<Record>>>,
    sending: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
}

impl Server {
    fn run(self) {
        let mut due = Instant::now();
        for batch in (0..self.sockets.len())
            .step_by(BATCH)
            .collect::<Vec<_>>()
            .into_iter()
            .cycle()
        {
            if self.stop.load(Ordering::Relaxed) {
                return;
            }
            let end = (batch + BATCH).min(self.sockets.len());
            (batch..end).for_each(|index| self.serve(index));
            due += PACE;
            while Instant::now() < due {
                std::thread::park_timeout(due.saturating_duration_since(Instant::now()));
            }
        }
    }

    fn serve(&self, index: usize) {
        let socket = &self.sockets[index];
        let mut buffer = [0; 128];
        let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        let record = &mut records[index];
        // A refusal here or below is an ICMP message about an earlier datagram: a lost answer, no more.
        while let Ok(length) = socket.recv(&mut buffer) {
            record.note(&String::from_utf8_lossy(&buffer[..length]));
        }
        if self.sending.load(Ordering::Relaxed) && socket.send(record.sent.to_string().as_bytes()).is_ok() {
            record.sent += 1;
        }
    }
}
