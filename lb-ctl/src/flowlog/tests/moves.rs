//! From one endpoint to another, and why.

use super::*;
use crate::plan::tests::world::failover;

/// Connections of clients to this endpoint, told to have begun.
fn open(lab: &mut Lab, address: &str) -> Vec<u16> {
    let clients = (0..40).filter(|client| lab.send(Kind::Udp, *client) == ip(address));
    let clients: Vec<u16> = clients.collect();
    assert!(!clients.is_empty());
    lab.wait(4);
    assert_eq!(lab.scan().len(), 40);
    clients
}

#[track_caller]
fn expect_moved(lab: &mut Lab, clients: &[u16], from: &str, reason: Option<MoveReason>) {
    let to: Vec<IpAddr> = clients
        .iter()
        .map(|client| lab.send(Kind::Udp, *client))
        .collect();
    let expected = clients.iter().zip(to).map(|(client, to)| Told::Moved {
        client: *client,
        from: ip(from),
        to,
        reason,
    });
    assert_eq!(lab.scan(), expected.collect::<Vec<_>>());
    assert_eq!(lab.scan(), [], "told once");
}

#[test]
fn from_an_unhealthy_endpoint() {
    let mut lab = Lab::new(web());
    let clients = open(&mut lab, A);
    lab.change(|world| world.health(A, false));
    assert_eq!(lab.scan(), [], "no packet has come yet");
    expect_moved(&mut lab, &clients, A, Some(MoveReason::Unhealthy));
    lab.wait(70);
    let ends = lab.scan();
    assert_eq!(ends.len(), 40);
    assert!(
        ends.iter()
            .all(|end| matches!(end, Told::End { at, .. } if *at == ip(B)))
    );
}

#[test]
fn from_an_endpoint_whose_drain_has_ended() {
    let mut lab = Lab::new(web());
    lab.change(|world| world.service("web").draining_timeout_sec = 20);
    let clients = open(&mut lab, A);
    lab.change(|world| world.group("main", &[B]));
    for client in &clients {
        assert_eq!(lab.send(Kind::Udp, *client), ip(A), "the drain lasts");
    }
    assert_eq!(lab.scan(), []);
    lab.wait(30);
    lab.react();
    expect_moved(&mut lab, &clients, A, Some(MoveReason::Drained));
}

#[test]
fn from_a_pool_that_is_no_longer_active() {
    let mut world = web();
    world.group("standby", &["10.0.1.1"]);
    world.attach("web", "standby", true);
    let policy = crate::model::FailoverPolicy {
        disable_connection_drain_on_failover: true,
        ..failover(100)
    };
    world.service("web").failover = Some(policy);
    let mut lab = Lab::new(world);
    let clients = open(&mut lab, A);
    lab.change(|world| world.health(B, false));
    expect_moved(&mut lab, &clients, A, Some(MoveReason::Failover));
}

#[test]
fn an_endpoint_that_comes_back_under_another_number_is_the_same() {
    let mut lab = Lab::new(web());
    let clients = open(&mut lab, A);
    lab.change(|world| world.group("main", &[B]));
    lab.change(|world| world.group("main", &[A, B]));
    for client in &clients {
        assert_eq!(lab.send(Kind::Udp, *client), ip(A));
    }
    assert_eq!(lab.scan(), []);
    assert_eq!(lab.followed(), 40);
}
