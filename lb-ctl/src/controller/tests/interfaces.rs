//! The program stays attached, whatever becomes of interfaces and attachments.

use std::sync::Arc;
use std::time::Duration;

use super::service;
use crate::controller::fake::{Stage, StillNetwork, locked, settings};
use crate::dataplane::PinnedLinkState;
use crate::net::{Link, NextHop};
use crate::resources::MemoryStore;

fn attached(stage: &Stage, index: u32) -> Option<PinnedLinkState> {
    locked(&stage.hooks.links).get(&index).copied()
}

#[tokio::test(start_paused = true)]
async fn it_is_attached_again_wherever_it_was_lost() {
    let stage = Stage::start().await;
    stage.until_well().await;
    let ours = Some(PinnedLinkState::Ours);
    assert_eq!(attached(&stage, 2), ours);
    for lost in [Some(PinnedLinkState::Dead), Some(PinnedLinkState::Other), None] {
        match lost {
            Some(state) => drop(locked(&stage.hooks.links).insert(2, state)),
            None => drop(locked(&stage.hooks.links).remove(&2)),
        }
        stage
            .until("it is attached", || attached(&stage, 2) == ours)
            .await;
    }
}

/// A start looks at the network once more when it has attached the program.
#[tokio::test(start_paused = true)]
async fn what_becomes_of_the_network_while_it_is_attached_counts() {
    let store = MemoryStore::default();
    let before = Stage::start_on(settings(), store.clone()).await;
    before.apply(service("a", 1, &[1, 2])).await.expect("it fits");
    drop(before);
    let lost = |network: &StillNetwork| {
        network.change(|state| {
            let reason = "no answer".to_owned();
            let hops = Arc::make_mut(&mut state.next_hops);
            hops.insert([10, 0, 0, 1].into(), NextHop::Unresolved { reason });
        });
    };
    let stage = Stage::start_while(settings(), store, lost).await;
    let reached = || {
        let contents = stage.maps.contents();
        let members = contents
            .services
            .values()
            .flat_map(|service| service.members.values());
        members.filter(|member| member.backend() != 0).count()
    };
    stage.until("one is reached no more", || reached() == 1).await;
}

#[tokio::test(start_paused = true)]
async fn an_interface_that_goes_is_told_of_and_attached_when_it_is_back() {
    let stage = Stage::start().await;
    stage.until_well().await;
    let mut gone: Option<Link> = None;
    stage
        .network
        .change(|state| gone = Arc::make_mut(&mut state.links).remove(&2));
    locked(&stage.hooks.links).insert(2, PinnedLinkState::Dead);
    stage
        .until("what is dead is removed", || {
            locked(&stage.hooks.links).is_empty()
        })
        .await;
    let troubles = stage.troubles().await;
    assert!(troubles[0].contains("there is no interface eth0"), "{troubles:?}");
    let back = Link {
        index: 7,
        ..gone.expect("it was there")
    };
    stage
        .network
        .change(|state| drop(Arc::make_mut(&mut state.links).insert(7, back)));
    stage.until_well().await;
    assert_eq!(attached(&stage, 7), Some(PinnedLinkState::Ours));
}

#[tokio::test(start_paused = true)]
async fn one_that_nobody_names_any_more_is_left() {
    let stage = Stage::start().await;
    locked(&stage.hooks.links).insert(9, PinnedLinkState::Other);
    stage.network.change(|state| {
        let other = Link {
            index: 9,
            name: "eth9".to_owned(),
            ..state.links[&2].clone()
        };
        Arc::make_mut(&mut state.links).insert(9, other);
    });
    stage.until("it is left", || attached(&stage, 9).is_none()).await;
    assert_eq!(attached(&stage, 2), Some(PinnedLinkState::Ours));
}

#[tokio::test(start_paused = true)]
async fn after_detach_nothing_is_attached_any_more() {
    use crate::control::Control as _;
    let stage = Stage::start().await;
    stage.until_well().await;
    stage.handle.detach().await.expect("it was attached");
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert!(locked(&stage.hooks.links).is_empty());
    assert!(stage.troubles().await[0].contains("no packet is forwarded"));
    stage.handle.detach().await.expect_err("there is nothing left");
}
