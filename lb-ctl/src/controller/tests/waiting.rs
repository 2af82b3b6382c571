//! Nothing waits for what takes long: a latch holds a table, a commit or the history, and the rest goes on.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::json;

use super::service;
use crate::control::Control as _;
use crate::controller::Settings;
use crate::controller::fake::{Stage, settings};
use crate::resources::MemoryStore;

const A_WHILE: Duration = Duration::from_millis(50);

/// `name`, with more endpoints than a table is built for at once.
fn large(name: &str, vip: u8) -> serde_json::Value {
    internal(name, vip, &(5..=40).collect::<Vec<u8>>())
}

fn internal(name: &str, vip: u8, hosts: &[u8]) -> serde_json::Value {
    let mut resources = service(name, vip, hosts);
    resources[2]["loadBalancingScheme"] = "INTERNAL".into();
    resources[3]["loadBalancingScheme"] = "INTERNAL".into();
    resources
}

/// Two services with two healthy endpoints each.
async fn two_services() -> Stage {
    let stage = Stage::start().await;
    stage.apply(service("a", 1, &[1, 2])).await.expect("it fits");
    stage.apply(service("b", 2, &[3, 4])).await.expect("it fits");
    for host in 1..=4 {
        stage.tell_health(&format!("10.0.0.{host}"), true);
    }
    stage.until_well().await;
    stage
}

/// Status is answered, and another service's health reaches the maps.
async fn the_rest_goes_on(stage: &Stage) {
    stage.handle.status().await.expect("a status");
    for healthy in [false, true] {
        let before = stage.maps.contents();
        stage.tell_health("10.0.0.4", healthy);
        stage
            .until("health reaches the maps", || stage.maps.contents() != before)
            .await;
    }
}

#[tokio::test(start_paused = true)]
async fn while_the_store_is_written() {
    let stage = two_services().await;
    let latch = stage.store.hold();
    let change = stage.apply(service("c", 3, &[5]));
    tokio::pin!(change);
    assert!(tokio::time::timeout(A_WHILE, &mut change).await.is_err());
    the_rest_goes_on(&stage).await;
    drop(latch);
    change.await.expect("it is stored at last");
    stage.until_well().await;
}

#[tokio::test(start_paused = true)]
async fn while_the_history_is_written() {
    let stage = two_services().await;
    stage.notes.gate.close();
    let change = stage.apply(service("c", 3, &[5]));
    tokio::pin!(change);
    assert!(tokio::time::timeout(A_WHILE, &mut change).await.is_err());
    let rules = || stage.maps.contents().rules.rules.len();
    assert_eq!(rules(), 2, "a number that the history does not know is not used");
    the_rest_goes_on(&stage).await;
    stage.notes.gate.open();
    change.await.expect("it is kept at last");
    stage.until_well().await;
    assert_eq!(rules(), 3);
}

#[tokio::test(start_paused = true)]
async fn while_a_table_is_built() {
    let stage = Stage::start().await;
    stage.apply(large("large", 1)).await.expect("it fits");
    stage.apply(service("b", 2, &[3, 4])).await.expect("it fits");
    for host in 1..=40 {
        stage.tell_health(&format!("10.0.0.{host}"), true);
    }
    stage.until_well().await;
    stage.builds.hold_next();
    let before = stage.maps.contents();
    // So many that it is not done at once.
    for host in 5..=22 {
        stage.tell_health(&format!("10.0.0.{host}"), false);
    }
    stage.until("a build is held", || stage.builds.holds()).await;
    the_rest_goes_on(&stage).await;
    let tables = |contents: &crate::plan::contents::Contents| contents.services[&1].table.clone();
    assert_eq!(tables(&stage.maps.contents()), tables(&before));
    stage.builds.let_go();
    stage
        .until("the table is there", || {
            tables(&stage.maps.contents()) != tables(&before)
        })
        .await;
    stage.until_well().await;
}

/// The tables of one service are done just when another, whose health changed since they were begun, may have a new table.
#[tokio::test(start_paused = true)]
async fn what_waited_for_room_follows_its_latest_health() {
    // Enough for a table of few endpoints.
    let settings = Settings {
        inline_work: 50_000,
        ..settings()
    };
    let stage = Stage::start_on(settings, MemoryStore::default()).await;
    stage.maps.hides_readers.store(true, Ordering::Relaxed);
    stage.apply(large("large", 1)).await.expect("it fits");
    stage
        .apply(internal("b", 2, &[1, 2, 3, 4]))
        .await
        .expect("it fits");
    (1..=40).for_each(|host| stage.tell_health(&format!("10.0.0.{host}"), true));
    stage.until_well().await;
    stage.tell_health("10.0.0.4", false);
    stage
        .until("three are left", || in_rotation(&stage, 2) == 3)
        .await;
    stage.builds.hold_next();
    (5..=22).for_each(|host| stage.tell_health(&format!("10.0.0.{host}"), false));
    stage.until("a build is held", || stage.builds.holds()).await;
    stage.tell_health("10.0.0.3", false);
    while stage.handle.status().await.expect("a status").tables.wanted == 0 {
        assert_eq!(in_rotation(&stage, 2), 3, "its former table may still be read");
    }
    stage.clock.pass(10);
    stage.builds.let_go();
    stage.until("two are left", || in_rotation(&stage, 2) == 2).await;
    stage.until_well().await;
}

/// How many endpoints the table of a service names.
fn in_rotation(stage: &Stage, number: u32) -> usize {
    let contents = stage.maps.contents();
    let table = contents.services[&number].table.as_ref();
    let members: BTreeSet<u32> = table
        .iter()
        .flat_map(|(_, slots)| slots.iter().copied())
        .collect();
    members.len()
}

#[tokio::test(start_paused = true)]
async fn a_drain_ends_meanwhile() {
    let stage = two_services().await;
    let mut draining = service("a", 1, &[1, 2]);
    draining[2]["connectionDraining"] = json!({"drainingTimeoutSec": 10});
    stage.apply(draining.clone()).await.expect("it fits");
    draining[1]["networkEndpoints"] = json!([{"ipAddress": "10.0.0.1"}]);
    stage.apply(draining.clone()).await.expect("it fits");
    stage.until_well().await;
    let latch = stage.store.hold();
    let change = stage.apply(service("c", 3, &[5]));
    tokio::pin!(change);
    assert!(tokio::time::timeout(A_WHILE, &mut change).await.is_err());
    let before = stage.maps.contents();
    stage.clock.pass(11);
    stage
        .until("the drain ends", || stage.maps.contents() != before)
        .await;
    drop(latch);
    change.await.expect("it is stored at last");
}
