//! A few threads that open connections one after the other.

use std::collections::BTreeMap;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::netns::Namespace;

/// As many as keep both ends busy on a small machine.
const THREADS: usize = 4;
/// A connection that takes longer is broken.
const PATIENCE: Duration = Duration::from_secs(5);

/// What became of connections.
pub(super) struct Answers {
    pub(super) time: Duration,
    /// By the number of the backend.
    pub(super) by: BTreeMap<u8, usize>,
}

/// So many connections to these addresses in turn. All must be answered.
pub(super) fn connect(client: &Namespace, to: &[SocketAddr], count: usize) -> Result<Answers> {
    client.run(|| {
        let start = Instant::now();
        let all: Vec<io::Result<Vec<u8>>> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS)
                .map(|first| {
                    scope.spawn(move || {
                        (first..count)
                            .step_by(THREADS)
                            .map(|number| ask(to, number))
                            .collect()
                    })
                })
                .collect();
            threads
                .into_iter()
                .map(|thread| {
                    thread
                        .join()
                        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
                })
                .collect()
        });
        let time = start.elapsed();
        let mut by = BTreeMap::new();
        for answers in all {
            for number in answers.context("a connection broke")? {
                *by.entry(number).or_default() += 1;
            }
        }
        Ok(Answers { time, by })
    })
}

/// Who answers the connection of this number.
fn ask(to: &[SocketAddr], number: usize) -> io::Result<u8> {
    // Threads take every so many numbers; without the division each would always ask the same backend.
    let to = to[(number / THREADS + number) % to.len()];
    let mut stream = TcpStream::connect_timeout(&to, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"who are you?\n")?;
    let mut answer = Vec::with_capacity(2);
    stream.read_to_end(&mut answer)?;
    match answer[..] {
        [number] => Ok(number),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}
