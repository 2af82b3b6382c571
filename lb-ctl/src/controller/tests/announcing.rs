//! VIPs are answered for where their prefix is, whenever that comes, and others who claim them are told of.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;

use super::service;
use crate::control::{Control as _, ControlError};
use crate::controller::fake::{Stage, locked};
use crate::net::{Address, Claim, Conflict, ConflictKey, NetworkState};

fn connect(state: &mut NetworkState, index: u32) {
    let address = Address {
        ifindex: index,
        own: "192.0.2.1".parse().expect("an address"),
        prefix: Some("192.0.2.0/24".parse().expect("a prefix")),
        broadcast: None,
    };
    state.addresses = Arc::new([address].into_iter().collect());
}

/// The indices of the interfaces that 192.0.2.50 is answered for on.
fn answered(stage: &Stage) -> Vec<u32> {
    let vip: IpAddr = "192.0.2.50".parse().expect("an address");
    let desired = locked(&stage.network.answered);
    let interfaces = desired.interfaces.iter();
    let with_vip = interfaces.filter(|(_, serving)| serving.ranges.iter().any(|range| range.contains(vip)));
    with_vip.map(|(index, _)| *index).collect()
}

async fn warnings(stage: &Stage) -> BTreeSet<String> {
    let status = stage.handle.status().await.expect("a status");
    status.warnings.into_iter().collect()
}

#[tokio::test(start_paused = true)]
async fn the_prefix_may_come_after_the_rule_move_and_go() {
    let stage = Stage::start().await;
    stage.apply(service("web", 50, &[1, 2])).await.expect("applied");
    stage.until_well().await;
    assert!(answered(&stage).is_empty());

    stage.network.change(|state| connect(state, 2));
    stage
        .until("it is answered for", || answered(&stage) == [2])
        .await;
    stage.network.change(|state| {
        let links = Arc::make_mut(&mut state.links);
        let mut link = links.remove(&2).expect("eth0");
        link.index = 9;
        links.insert(9, link);
        connect(state, 9);
    });
    stage
        .until("it is answered for on the new one", || answered(&stage) == [9])
        .await;
    stage.network.change(|state| state.addresses = Arc::default());
    stage
        .until("it is answered for no more", || answered(&stage).is_empty())
        .await;
}

#[tokio::test(start_paused = true)]
async fn what_links_are_like_reaches_the_announcer() {
    let stage = Stage::start().await;
    stage.apply(service("web", 50, &[1, 2])).await.expect("applied");
    stage.network.change(|state| connect(state, 2));
    stage
        .until("it is answered for", || answered(&stage) == [2])
        .await;
    let before = locked(&stage.network.answered).clone();
    stage.network.change(|state| {
        let link = Arc::make_mut(&mut state.links).get_mut(&2).expect("eth0");
        link.carrier_changes += 2;
    });
    stage
        .until("it is announced again", || {
            *locked(&stage.network.answered) != before
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn another_host_that_claims_a_vip_is_a_warning_while_it_does() {
    let stage = Stage::start().await;
    stage.apply(service("web", 50, &[1, 2])).await.expect("applied");
    stage.network.change(|state| connect(state, 2));
    stage
        .until("it is answered for", || answered(&stage) == [2])
        .await;
    let quiet = warnings(&stage).await;
    let key = ConflictKey {
        ifindex: 2,
        address: "192.0.2.50".parse().expect("an address"),
        // That of 10.0.0.2 in the stage's network.
        mac: [2, 0, 0, 0, 1, 2],
    };
    let conflict = Conflict {
        claim: Claim::Answered,
        first_seen: Timestamp::UNIX_EPOCH,
        last_seen: Timestamp::UNIX_EPOCH,
    };
    stage
        .network
        .conflicts
        .send_replace(Arc::new([(key, conflict)].into()));
    let expected =
        "192.0.2.50 is also answered for by 02:00:00:00:01:02 (endpoint 10.0.0.2): set arp_ignore=1 there";
    let told = async {
        while !warnings(&stage).await.contains(expected) {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        stage.network.conflicts.send_replace(Arc::default());
        while warnings(&stage).await != quiet {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    let told = tokio::time::timeout(std::time::Duration::from_secs(60), told).await;
    assert!(told.is_ok(), "{:?}", warnings(&stage).await);
}

#[tokio::test(start_paused = true)]
async fn an_interface_that_cant_be_answered_on_is_a_trouble_until_it_can() {
    let stage = Stage::start().await;
    stage.until_well().await;
    *locked(&stage.network.fails) = vec!["can't answer for addresses on eth0".to_owned()];
    stage.network.change(|state| connect(state, 2));
    let told = async {
        while stage.troubles().await.is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    let told = tokio::time::timeout(std::time::Duration::from_secs(60), told).await;
    told.expect("it is told of");
    let troubles = stage.troubles().await;
    assert!(
        troubles[0].ends_with("can't answer for addresses on eth0"),
        "{troubles:?}"
    );
    locked(&stage.network.fails).clear();
    stage.until_well().await;
}

#[tokio::test(start_paused = true)]
async fn an_address_that_can_be_no_vip_here_is_refused_with_all_other_faults() {
    let stage = Stage::start().await;
    stage.network.change(|state| connect(state, 2));
    stage.until_well().await;
    let mut documents = service("web", 1, &[1, 2]);
    documents[1]["networkEndpoints"][0]["ipAddress"] = "nowhere".into();
    let Err(ControlError::Faults(faults)) = stage.apply(documents).await else {
        panic!("it was not refused");
    };
    let told: Vec<String> = faults.iter().map(ToString::to_string).collect();
    let own = "test: $[3].IPAddress: '192.0.2.1': is this host's own address, on eth0: what is sent to the host at it \
               would be balanced away from it (remove it from eth0: the balancer answers for VIPs itself; or choose \
               another address)";
    assert!(told.iter().any(|told| told == own), "{told:#?}");
    assert!(
        told.iter()
            .any(|told| told.starts_with("test: $[1].networkEndpoints[0]")),
        "{told:#?}"
    );
    for (vip, why) in [
        (0, "is the network address of 192.0.2.0/24"),
        (255, "is the broadcast address"),
    ] {
        let refused = stage
            .apply(service("web", vip, &[1]))
            .await
            .expect_err("refused")
            .to_string();
        assert!(refused.contains(why), "{refused}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_comes_after_a_rule_is_a_warning_and_no_fault_of_the_rule() {
    let stage = Stage::start().await;
    let report = stage.apply(service("web", 1, &[1, 2])).await.expect("applied");
    assert!(report.warnings.is_empty(), "{:?}", report.warnings);
    stage.network.change(|state| connect(state, 2));
    let text = "web takes packets to the host's own address 192.0.2.1: it is the VIP 192.0.2.1; a VIP must be nobody's \
                address";
    let told = async {
        while !warnings(&stage).await.contains(text) {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    let told = tokio::time::timeout(std::time::Duration::from_secs(60), told).await;
    assert!(told.is_ok(), "{:?}", warnings(&stage).await);
    stage
        .apply(service("web", 1, &[1, 2, 3]))
        .await
        .expect("its address did not change");
}

#[tokio::test(start_paused = true)]
async fn who_applies_is_told_what_status_will_say_of_it() {
    let stage = Stage::start().await;
    stage.network.change(|state| {
        let mut other = state.links[&2].clone();
        other.index = 3;
        other.name = "eth1".to_owned();
        Arc::make_mut(&mut state.links).insert(3, other);
        connect(state, 3);
    });
    stage.until_well().await;
    let report = stage.apply(service("web", 50, &[1, 2])).await.expect("applied");
    assert_eq!(report.warnings.len(), 1, "{:?}", report.warnings);
    assert!(
        report.warnings[0]
            .starts_with("the VIP 192.0.2.50 is not answered for: its prefix is connected by eth1")
    );
    assert!(warnings(&stage).await.contains(&report.warnings[0]));
    let again = stage.apply(service("web", 50, &[1])).await.expect("applied");
    assert!(again.warnings.is_empty(), "{:?}", again.warnings);
}
