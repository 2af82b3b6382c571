//! Beginnings and ends.

use super::*;

#[test]
fn a_connection_is_told_once_when_it_begins_and_once_when_it_ends() {
    let mut lab = Lab::new(web());
    lab.wait(3);
    let begun = lab.world.now;
    let (tcp, udp) = (lab.send(Kind::Syn, 1), lab.send(Kind::Udp, 2));
    lab.wait(1);
    assert_eq!(
        lab.scan(),
        [
            Told::Begin { client: 1, at: tcp },
            Told::Begin { client: 2, at: udp }
        ]
    );
    let mut last = lab.world.now;
    for _ in 0..30 {
        lab.wait(4);
        last = lab.world.now;
        lab.send(Kind::Ack, 1);
        lab.send(Kind::Udp, 2);
        assert_eq!(lab.scan(), []);
    }
    lab.wait(59);
    assert_eq!(lab.scan(), [], "the idle timeout has not passed");
    lab.wait(6);
    let ends = lab.scan();
    assert_eq!(ends.len(), 2, "{ends:?}");
    for (end, (client, at)) in ends.into_iter().zip([(1, tcp), (2, udp)]) {
        let Told::End {
            client: ended,
            at: endpoint,
            start,
            last: end,
        } = end
        else {
            panic!("no end: {end:?}");
        };
        assert_eq!((ended, endpoint), (client, at));
        assert_about(start, begun);
        assert_about(Some(end), last);
    }
    assert_eq!((lab.followed(), lab.dropped()), (0, 0));
}

#[test]
fn the_same_tuple_after_its_end_is_another_connection() {
    let mut lab = Lab::new(web());
    let at = lab.send(Kind::Udp, 1);
    lab.wait(4);
    assert_eq!(lab.scan(), [Told::Begin { client: 1, at }]);
    // Nobody looks while it expires and begins anew.
    lab.wait(66);
    lab.send(Kind::Udp, 1);
    let told = lab.scan();
    assert!(
        matches!(told[..], [Told::End { .. }, Told::Begin { client: 1, .. }]),
        "{told:?}"
    );
}

#[test]
fn a_new_handshake_on_a_known_tuple_is_another_connection() {
    let mut lab = Lab::new(web());
    let at = lab.send(Kind::Syn, 1);
    lab.wait(4);
    lab.send(Kind::Ack, 1);
    assert_eq!(lab.scan(), [Told::Begin { client: 1, at }]);
    lab.wait(4);
    assert_eq!(lab.send(Kind::Syn, 1), at);
    let told = lab.scan();
    assert!(
        matches!(told[..], [Told::End { .. }, Told::Begin { client: 1, .. }]),
        "{told:?}"
    );
    lab.send(Kind::Syn, 1);
    lab.wait(4);
    assert_eq!(lab.scan(), [], "a SYN that is sent again opens nothing");
}

#[test]
fn a_connection_whose_slot_another_one_took_has_ended() {
    // Fewer slots than connections: unconfirmed entries evict each other.
    let mut lab = Lab::sized(web(), Limits::default(), 64);
    lab.send_all(0..400);
    lab.wait(4);
    let begun: BTreeSet<u16> = lab.scan().iter().map(Told::client).collect();
    lab.send_all(400..600);
    lab.wait(4);
    let told = lab.scan();
    let ended: BTreeSet<u16> = told
        .iter()
        .filter(|told| matches!(told, Told::End { .. }))
        .map(Told::client)
        .collect();
    assert!(!ended.is_empty() && ended.is_subset(&begun), "{ended:?}");
    let living = lab.maps.tables.buckets.iter();
    let living: usize = living
        .map(|bucket| bucket.snapshot().slots.iter().filter(|word| **word != 0).count())
        .sum();
    assert_eq!(lab.followed(), living as u64);
}

#[test]
fn what_was_there_before_a_restart_only_ends() {
    let mut lab = Lab::new(web());
    let at = lab.send(Kind::Udp, 1);
    lab.wait(4);
    assert_eq!(lab.scan(), [Told::Begin { client: 1, at }]);
    let last = lab.world.now - 4;
    lab.restart();
    assert_eq!(lab.scan(), []);
    let other = lab.send(Kind::Udp, 2);
    lab.wait(4);
    assert_eq!(lab.scan(), [Told::Begin { client: 2, at: other }]);
    lab.wait(70);
    let told = lab.scan();
    let Told::End {
        client: 1,
        start: None,
        last: end,
        ..
    } = told[0]
    else {
        panic!("{told:?}");
    };
    assert_about(Some(end), last);
    assert!(matches!(
        told[1],
        Told::End {
            client: 2,
            start: Some(_),
            ..
        }
    ));
}

#[test]
fn turning_the_log_on_and_off() {
    let mut lab = Lab::new(World::web(&[A, B]));
    lab.send(Kind::Udp, 1);
    lab.wait(4);
    assert_eq!(lab.scan(), []);
    lab.change(|world| world.service("web").log = Some(logging(100)));
    assert_eq!(lab.scan(), [], "it was there before");
    let at = lab.send(Kind::Udp, 2);
    assert_eq!(lab.scan(), [Told::Begin { client: 2, at }]);
    lab.change(|world| world.service("web").log = None);
    lab.send(Kind::Udp, 3);
    lab.wait(70);
    assert_eq!(lab.scan(), []);
    assert_eq!(lab.followed(), 0);
}

#[test]
fn a_service_beside_it_is_not_logged() {
    let mut world = web();
    world.service("quiet");
    world.attach("quiet", "main", false);
    let ports = crate::model::Ports::Ranges(vec![(53, 53)]);
    world.rule("quiet-udp", VIP, crate::model::RuleProtocol::Udp, ports, "quiet");
    let mut lab = Lab::new(world);
    let at = lab.send(Kind::Udp, 1);
    lab.maps.decide(&frame(Kind::Udp, 2, VIP, 53));
    assert_eq!(lab.scan(), [Told::Begin { client: 1, at }]);
    lab.wait(70);
    assert_eq!(lab.scan().len(), 1);
}

#[test]
fn what_is_too_much_is_counted_and_no_connection_is_half_told() {
    let limits = Limits {
        connections: 3,
        events: 2,
    };
    let mut lab = Lab::sized(web(), limits, 512);
    lab.send_all(0..5);
    let begun: Vec<u16> = lab.scan().iter().map(Told::client).collect();
    assert_eq!((begun.len(), lab.dropped()), (2, 3), "two events a scan");
    lab.send_all(5..7);
    let more = lab.scan();
    assert_eq!((more.len(), lab.dropped()), (1, 4), "three connections at a time");
    lab.wait(70);
    let told = lab.scan();
    assert_eq!((told.len(), lab.dropped()), (2, 5), "two events a scan");
    assert!(
        told.iter()
            .all(|told| begun.contains(&told.client()) || told.client() == more[0].client())
    );
    assert_eq!(lab.followed(), 0);
    lab.send(Kind::Udp, 9);
    assert_eq!(lab.scan().len(), 1, "there is room again");
}

#[test]
fn a_tuple_that_is_being_written_is_read_at_the_next_look() {
    let mut lab = Lab::new(web());
    let (first, second) = (lab.send(Kind::Udp, 1), lab.send(Kind::Udp, 2));
    let whole = std::mem::take(&mut *lab.maps.tables.tuples.lock().expect("the tuples"));
    assert_eq!(lab.scan(), []);
    *lab.maps.tables.tuples.lock().expect("the tuples") = whole;
    assert_eq!(
        lab.scan(),
        [
            Told::Begin { client: 1, at: first },
            Told::Begin {
                client: 2,
                at: second
            }
        ]
    );
    lab.send(Kind::Udp, 3);
    lab.maps.tables.tuples.lock().expect("the tuples").clear();
    assert_eq!((lab.scan(), lab.dropped()), (vec![], 0));
    assert_eq!((lab.scan(), lab.dropped()), (vec![], 1), "given up, and counted");
    assert_eq!((lab.scan(), lab.dropped()), (vec![], 1));
}
