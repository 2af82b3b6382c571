//! How verbs end.

use super::super::*;

#[test]
fn an_invalid_configuration_of_the_daemon_is_4() {
    let fault = crate::resources::Fault::of_source("f", crate::resources::FaultKind::Malformed, "wrong");
    let error = anyhow::Error::from(crate::control::ControlError::Faults(vec![fault])).context("starting");
    let mut err = Vec::new();
    assert_eq!(Failure::from(error).report(&mut err), ExitCode::Invalid);
    assert_eq!(String::from_utf8_lossy(&err), "f: $: wrong\n1 fault\n");
    let mut err = Vec::new();
    let error = anyhow::anyhow!("no such interface").context("attaching");
    assert_eq!(Failure::from(error).report(&mut err), ExitCode::Failed);
    assert_eq!(
        String::from_utf8_lossy(&err),
        "error: attaching: no such interface\n"
    );
}
