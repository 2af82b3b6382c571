//! `logConfig.enable`: a line for each change between healthy and unhealthy.

use std::io;

use super::*;

/// What was logged on this thread.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    fn take(&self) -> String {
        String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap()
    }
}

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn changes_are_logged_when_the_check_asks_for_it() {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let _logging = tracing::subscriber::set_default(subscriber);
    let fake = Fake::default();
    let (mut checker, mut events) = HealthChecker::with_prober(fake.clone(), BTreeMap::new());
    let logged = Arc::new(HealthCheck {
        log: true,
        ..(*check(1)).clone()
    });
    // B's check has another name, and asks for nothing.
    let quiet = TargetId {
        check: ResourcePath::from_canonical("projects/p/regions/r/healthChecks/quiet"),
        address: B,
        via: None,
    };
    checker.set_targets(BTreeMap::from([(target(A), logged), (quiet, check(1))]));
    fake.set(A, true);
    fake.set(B, true);
    for _ in 0..2 {
        next_health(&mut events, true).await;
    }
    let text = lines.take();
    for part in [
        "INFO",
        "health state changed",
        "health_check=projects/p/regions/r/healthChecks/h ",
        "address=192.0.2.1 ",
        "previous_health_state=\"UNHEALTHY\"",
        " health_state=\"HEALTHY\"",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!(text.lines().count(), 1, "{text}");

    // A weight is no change of health.
    fake.0.weight.store(9, Ordering::Relaxed);
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(lines.take(), "");

    fake.set(A, false);
    next_health(&mut events, false).await;
    let text = lines.take();
    assert!(
        text.contains(" health_state=\"UNHEALTHY\" detail=\"connection refused\""),
        "{text}"
    );
    assert_eq!(text.lines().count(), 1, "{text}");
}
