//! Nothing waits for what takes long: a latch holds a table, a commit or the history, and the rest goes on.

use std::time::Duration;

use serde_json::json;

use super::service;
use crate::control::Control as _;
use crate::controller::fake::Stage;

const A_WHILE: Duration = Duration::from_millis(50);

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
    let hosts: Vec<u8> = (5..=40).collect();
    let mut large = service("large", 1, &hosts);
    large[2]["loadBalancingScheme"] = "INTERNAL".into();
    large[3]["loadBalancingScheme"] = "INTERNAL".into();
    stage.apply(large).await.expect("it fits");
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
