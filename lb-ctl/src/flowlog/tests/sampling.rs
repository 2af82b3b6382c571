//! Which connections belong to the sample.

use super::*;

const CLIENTS: u16 = 200;

/// The clients that a lab tells of.
fn sampled(lab: &mut Lab) -> BTreeSet<u16> {
    lab.send_all(0..CLIENTS);
    let begun = lab.scan();
    let clients: BTreeSet<u16> = begun.iter().map(Told::client).collect();
    assert_eq!(clients.len(), begun.len());
    lab.wait(70);
    let ended: BTreeSet<u16> = lab.scan().iter().map(Told::client).collect();
    assert_eq!(ended, clients, "wholly or not at all");
    clients
}

fn rated(percent: u64) -> World {
    let mut world = web();
    world.service("web").log = Some(logging(percent));
    world
}

#[test]
fn the_rate_is_the_share_of_connections() {
    assert_eq!(sampled(&mut Lab::new(rated(100))).len(), usize::from(CLIENTS));
    assert_eq!(sampled(&mut Lab::new(rated(0))).len(), 0);
    let half = sampled(&mut Lab::new(rated(50)));
    assert!((70..130).contains(&half.len()), "{}", half.len());
    let tenth = sampled(&mut Lab::new(rated(10)));
    assert!((5..40).contains(&tenth.len()) && tenth.is_subset(&half));
}

#[test]
fn hosts_of_a_fleet_have_the_same_sample() {
    let mut other = rated(50);
    // Numbers, and a table of another size.
    other.service("a-service-before");
    other.attach("a-service-before", "main", false);
    let ports = crate::model::Ports::Ranges(vec![(81, 81)]);
    other.rule(
        "before",
        VIP,
        crate::model::RuleProtocol::Udp,
        ports,
        "a-service-before",
    );
    let mut other = Lab::sized(other, Limits::default(), 300);
    let here = Lab::new(rated(50));
    assert_ne!(
        here.plan.services.values().map(|service| service.number).max(),
        other.plan.services.values().map(|service| service.number).max()
    );
    let mut here = here;
    assert_eq!(sampled(&mut here), sampled(&mut other));
}

#[test]
fn a_rate_that_changes_is_for_new_connections() {
    let mut lab = Lab::new(rated(50));
    lab.send_all(0..CLIENTS);
    let half = lab.scan().len();
    lab.change(|world| world.service("web").log = Some(logging(100)));
    lab.wait(4);
    lab.send_all(0..CLIENTS);
    assert_eq!(lab.scan(), []);
    lab.wait(70);
    assert_eq!(lab.scan().len(), half);
}
