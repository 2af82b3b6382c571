//! Whatever happens, a connection's lines are one story.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Send(u16),
    Wait(u32),
    Health(bool),
    Endpoints(bool),
    Scan,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..30_u16).prop_map(Step::Send),
        2 => (1..40_u32).prop_map(Step::Wait),
        1 => any::<bool>().prop_map(Step::Health),
        1 => any::<bool>().prop_map(Step::Endpoints),
        4 => Just(Step::Scan),
    ]
}

/// Where each connection is, as the lines tell.
#[derive(Default)]
struct Story(BTreeMap<u16, IpAddr>);

impl Story {
    fn read(&mut self, told: &[Told]) {
        for told in told {
            let before = self.0.get(&told.client()).copied();
            match told {
                Told::Begin { client, at } => {
                    assert_eq!(before, None, "begun twice: {told:?}");
                    self.0.insert(*client, *at);
                }
                Told::Moved { client, from, to, .. } => {
                    assert!(before == Some(*from) && from != to, "{told:?} after {before:?}");
                    self.0.insert(*client, *to);
                }
                Told::End { client, at, .. } => {
                    assert_eq!(before, Some(*at), "{told:?}");
                    self.0.remove(client);
                }
            }
        }
    }
}

proptest! {
    #[test]
    fn a_connection_begins_moves_from_where_it_was_and_ends(steps in prop::collection::vec(step(), 1..120)) {
        let mut lab = Lab::new(web());
        let mut story = Story::default();
        let mut went = BTreeMap::new();
        for step in steps {
            match step {
                Step::Send(client) => {
                    let kind = if client % 2 == 0 { Kind::Udp } else { Kind::Syn };
                    went.insert(client, (lab.send(kind, client), lab.world.now));
                }
                Step::Wait(seconds) => {
                    lab.wait(seconds);
                    lab.react();
                }
                Step::Health(healthy) => lab.change(|world| world.health(A, healthy)),
                Step::Endpoints(both) => {
                    let endpoints: &[&str] = if both { &[A, B] } else { &[B] };
                    lab.change(|world| world.group("main", endpoints));
                }
                Step::Scan => {
                    story.read(&lab.scan());
                    let now = lab.world.now;
                    let living = went.iter().filter(|(_, (_, last))| now - last <= 60);
                    for (client, (at, _)) in living {
                        prop_assert_eq!(story.0.get(client), Some(at), "client {}", client);
                    }
                }
            }
        }
        lab.wait(70);
        story.read(&lab.scan());
        prop_assert!(story.0.is_empty(), "never ended: {:?}", story.0);
        prop_assert_eq!((lab.followed(), lab.dropped()), (0, 0));
    }
}
