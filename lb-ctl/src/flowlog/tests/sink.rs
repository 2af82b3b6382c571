//! Where the lines end up.

use std::fs;
use std::path::Path;

use super::super::sink::{Destination, Sink};
use super::super::writer::{Batch, Writer};
use super::*;

fn read(path: &Path) -> String {
    fs::read_to_string(path).expect("a file")
}

#[test]
fn a_file_that_was_renamed_is_made_anew() {
    let directory = tempfile::tempdir().expect("a directory");
    let (path, rotated) = (directory.path().join("log"), directory.path().join("log.1"));
    fs::write(&path, "before\n").expect("writing");
    let mut sink = Sink::new(Destination::File(path.clone())).expect("a sink");
    sink.write(b"one\n").expect("writing");
    fs::rename(&path, &rotated).expect("renaming");
    sink.write(b"two\n").expect("writing");
    fs::remove_file(&path).expect("removing");
    sink.write(b"three\n").expect("writing");
    fs::write(&path, "").expect("truncating");
    sink.write(b"four\n").expect("writing");
    assert_eq!(
        (read(&rotated).as_str(), read(&path).as_str()),
        ("before\none\n", "four\n")
    );
}

#[test]
fn a_destination_is_named() {
    assert_eq!("stderr".parse(), Ok(Destination::StandardError));
    assert_eq!("/a/b".parse(), Ok(Destination::File("/a/b".into())));
    for wrong in ["stdout", "", "/a/"] {
        assert!(wrong.parse::<Destination>().is_err(), "{wrong}");
    }
    assert!(Sink::new(Destination::File("/nowhere/at/all".into())).is_err());
}

#[tokio::test]
async fn lines_are_counted_as_written_or_dropped() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("log");
    let batch = || Batch {
        text: b"one\ntwo\n".to_vec(),
        lines: 2,
    };
    for (path, written, dropped) in [(path.as_path(), 4, 0), (Path::new("/dev/full"), 0, 4)] {
        let counters = Arc::<Counters>::default();
        let writer = Writer::start(Destination::File(path.into()), counters.clone()).expect("a writer");
        writer.send(batch());
        writer.reopen();
        writer.send(batch());
        writer.finish().await;
        let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        assert_eq!(
            (count(&counters.lines), count(&counters.dropped)),
            (written, dropped)
        );
    }
    assert_eq!(read(&path), "one\ntwo\none\ntwo\n");
}
