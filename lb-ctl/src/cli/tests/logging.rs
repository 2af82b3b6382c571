//! What the journal gets.

use std::io;

use super::super::*;

#[derive(Clone, Default)]
struct Memory(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

impl io::Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no panic").write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn the_journal_gets_priorities_and_no_time() {
    let memory = Memory::default();
    let writer = memory.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_max_level(tracing::Level::TRACE)
        .event_format(logging::Journal::default())
        .with_writer(move || writer.clone())
        .finish();
    tracing::subscriber::with_default(subscriber, || {
        tracing::error!("broken");
        tracing::warn!(interface = "eth0", "slow");
        tracing::info!("up");
        tracing::debug!("detail");
    });
    let text = String::from_utf8(memory.0.lock().expect("no panic").clone()).expect("text");
    assert_eq!(text, "<3>broken\n<4>slow interface=\"eth0\"\n<6>up\n<7>detail\n");
}
