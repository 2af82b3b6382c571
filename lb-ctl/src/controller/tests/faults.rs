//! What fails is tried again, and half of a change is never left.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::service;
use crate::control::{Control as _, ControlError};
use crate::controller::fake::{Stage, locked};
use crate::plan::diff::Operation;
use crate::resources::{Failure, ResourceStore as _};

fn is_rule(operation: &Operation) -> bool {
    matches!(operation, Operation::PutRule(..))
}

fn full() -> Option<Failure> {
    Some(Failure::Unavailable("no space left on the device".to_owned()))
}

#[tokio::test(start_paused = true)]
async fn what_the_kernel_refuses_changes_neither_store_nor_maps() {
    let stage = Stage::start().await;
    stage.apply(service("a", 1, &[1, 2])).await.expect("it fits");
    stage.until_well().await;
    let (stored, held) = (stage.store.load().expect("memory"), stage.maps.contents());
    stage.maps.fail(is_rule);
    let refused = stage.apply(service("b", 2, &[3])).await;
    let Err(ControlError::Internal(reason)) = refused else {
        panic!("{refused:?}");
    };
    let told = "the kernel refused the change, and nothing was changed";
    assert!(reason.starts_with(told), "{reason}");
    assert_eq!(stage.store.load().expect("memory"), stored);
    stage.maps.heal();
    stage.until_well().await;
    assert_eq!(stage.maps.contents().rules, held.rules);
    assert!(stage.handle.resources().keys().all(|path| path.name() != "b"));
    let again = stage.apply(service("b", 2, &[3])).await;
    again.expect("now it can be written");
}

#[tokio::test(start_paused = true)]
async fn what_can_be_neither_written_nor_undone_is_stored_and_tried_on() {
    let stage = Stage::start().await;
    let store = stage.store.clone();
    // The store fails from the moment that the kernel does.
    stage.maps.fail(move |operation| {
        let fails = is_rule(operation);
        if fails {
            store.fail(full());
        }
        fails
    });
    let refused = stage.apply(service("a", 1, &[1])).await;
    let Err(ControlError::Internal(reason)) = refused else {
        panic!("{refused:?}");
    };
    assert!(reason.contains("is stored"), "{reason}");
    assert!(!stage.troubles().await.is_empty());
    stage.maps.heal();
    stage.store.fail(None);
    stage.until_maps_are_right().await;
    assert_eq!(stage.maps.contents().rules.rules.len(), 1);
    assert!(stage.handle.resources().keys().any(|path| path.name() == "a"));
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_refuses_changes_and_stops_no_health() {
    let stage = Stage::start().await;
    stage.apply(service("a", 1, &[1, 2])).await.expect("it fits");
    stage.tell_health("10.0.0.1", true);
    stage.until_well().await;
    stage.store.fail(full());
    stage.notes.fails.store(1, Ordering::Relaxed);
    let refused = stage.apply(service("b", 2, &[3])).await;
    assert!(
        matches!(refused, Err(ControlError::Unavailable(_))),
        "{refused:?}"
    );
    let before = stage.maps.contents();
    stage.tell_health("10.0.0.2", true);
    stage
        .until("health reaches the maps", || stage.maps.contents() != before)
        .await;
    let troubles = stage.troubles().await;
    assert!(
        troubles.iter().any(|text| text.contains("no space left")),
        "{troubles:?}"
    );
    stage.store.fail(None);
    stage.notes.fails.store(0, Ordering::Relaxed);
    stage
        .apply(service("b", 2, &[3]))
        .await
        .expect("there is space again");
    stage.until_well().await;
}

#[tokio::test(start_paused = true)]
async fn what_somebody_else_changes_in_the_maps_is_mended() {
    let stage = Stage::start().await;
    stage.apply(service("a", 1, &[1, 2])).await.expect("it fits");
    stage.until_well().await;
    let held = stage.maps.contents();
    locked(&stage.maps.maps).tables.rules.clear();
    assert_ne!(stage.maps.contents(), held);
    stage
        .until("the rules are back", || stage.maps.contents().rules == held.rules)
        .await;
    let status = stage.handle.status().await.expect("a status");
    assert!(status.mended > 0);
    stage.until_well().await;
}

#[tokio::test(start_paused = true)]
async fn a_write_that_failed_is_tried_again_without_another_event() {
    let stage = Stage::start().await;
    stage.apply(service("a", 1, &[1, 2])).await.expect("it fits");
    stage.until_well().await;
    let before = stage.maps.contents();
    let mut left = 5;
    stage.maps.fail(move |_| {
        left -= i32::from(left > 0);
        left > 0
    });
    stage.tell_health("10.0.0.2", true);
    stage
        .until("it is written at last", || stage.maps.contents() != before)
        .await;
    stage.until_well().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(stage.troubles().await.is_empty());
}
