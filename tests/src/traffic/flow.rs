//! A UDP client that sends from one port at a constant rate and remembers who answered.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::condition::eventually;
use crate::netns::Namespace;

#[derive(Clone, Debug, Default)]
pub struct Record {
    pub sent: u64,
    pub answered: u64,
    /// Who answers now.
    pub backend: Option<String>,
    /// How often the answering backend changed.
    pub moves: u64,
}

impl Record {
    /// One more answer.
    pub(super) fn note(&mut self, answer: &str) {
        let backend = answer.split(' ').next().unwrap_or_default().to_owned();
        self.answered += 1;
        if self.backend.as_ref().is_some_and(|before| *before != backend) {
            self.moves += 1;
        }
        self.backend = Some(backend);
    }
}

/// Sends until dropped.
pub struct UdpFlow {
    record: Arc<Mutex<Record>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    pub local_address: SocketAddr,
}

impl UdpFlow {
    pub fn start(client: &Namespace, to: SocketAddr, interval: Duration) -> Self {
        let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let socket = client.run(|| {
            let socket = UdpSocket::bind(any)?;
            socket.connect(to)?;
            io::Result::Ok(socket)
        });
        let socket = socket.unwrap_or_else(|error| panic!("a UDP socket to {to}: {error}"));
        let local_address = socket.local_addr().expect("a bound socket has an address");
        let (record, stop) = (Arc::<Mutex<Record>>::default(), Arc::<AtomicBool>::default());
        let sender = Sender {
            socket,
            interval,
            record: record.clone(),
            stop: stop.clone(),
        };
        Self {
            record,
            stop,
            thread: Some(std::thread::spawn(move || sender.run())),
            local_address,
        }
    }

    pub fn record(&self) -> Record {
        locked(&self.record).clone()
    }

    /// Waits for an answer to a datagram that is sent from now on, and says who gave it.
    #[track_caller]
    pub fn answered_by(&self) -> String {
        // What is on its way may still be answered by the one before.
        let seen = self.record();
        eventually(Duration::from_secs(5), || {
            let now = self.record();
            match now.backend {
                Some(backend) if now.answered >= seen.answered + 2 => Ok(backend),
                _ => Err(format!("{} datagrams, {} answers", now.sent, now.answered)),
            }
        })
    }
}

impl Drop for UdpFlow {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn locked(record: &Mutex<Record>) -> MutexGuard<'_, Record> {
    record.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Sender {
    socket: UdpSocket,
    interval: Duration,
    record: Arc<Mutex<Record>>,
    stop: Arc<AtomicBool>,
}

impl Sender {
    fn run(self) {
        let mut due = Instant::now();
        while !self.stop.load(Ordering::Relaxed) {
            let number = locked(&self.record).sent;
            // A refusal here or below is an ICMP message about an earlier datagram: a lost answer, no more.
            let _ = self.socket.send(number.to_string().as_bytes());
            locked(&self.record).sent += 1;
            due += self.interval;
            self.listen_until(due);
        }
    }

    /// Waiting for answers is what paces the flow.
    fn listen_until(&self, due: Instant) {
        let mut buffer = [0; 512];
        loop {
            let left = due.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            self.socket
                .set_read_timeout(Some(left))
                .expect("a timeout above zero");
            if let Ok(length) = self.socket.recv(&mut buffer) {
                self.note(&String::from_utf8_lossy(&buffer[..length]));
            }
        }
    }

    fn note(&self, answer: &str) {
        locked(&self.record).note(answer);
    }
}
