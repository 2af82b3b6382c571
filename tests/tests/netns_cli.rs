//! What `lb-ctl`'s verbs change, a client sees as soon as the verb has ended.

use std::collections::BTreeSet;

use lb_tests::balanced::{Balanced, backends_of};
use lb_tests::documents::{Documents, Service};
use lb_tests::topology::{Lab, PRIMARIES, VIP4};

const MANY: usize = 30;
const LEAVES: &str = PRIMARIES[0];

fn ctl(balanced: &Balanced<'_>, line: &str) -> String {
    balanced.daemon.ctl(&line.split_whitespace().collect::<Vec<_>>())
}

fn serving(balanced: &Balanced<'_>) -> usize {
    backends_of(&balanced.connect_many(VIP4, MANY)).len()
}

#[test]
fn verbs_change_where_connections_go() {
    let lab = Lab::flat("cli-verbs");
    let balanced = Balanced::start(&lab, &Documents::new(&lab, &PRIMARIES).service(Service::tcp()));
    assert_eq!(serving(&balanced), PRIMARIES.len());

    ctl(
        &balanced,
        "backend-services update web --session-affinity client-ip",
    );
    assert_eq!(
        serving(&balanced),
        1,
        "all connections of a client go to one backend"
    );
    let text = ctl(&balanced, "backend-services export web");
    let file = balanced
        .daemon
        .write("web.yaml", &text.replace("CLIENT_IP", "NONE"));
    let import = format!("backend-services import web --source {} --quiet", file.display());
    ctl(&balanced, &import);
    assert_eq!(serving(&balanced), PRIMARIES.len());

    ctl(
        &balanced,
        &format!("network-endpoint-groups update primary --remove-endpoint instance={LEAVES}"),
    );
    let others: BTreeSet<&str> = PRIMARIES[1..].iter().copied().collect();
    assert_eq!(backends_of(&balanced.connect_many(VIP4, MANY)), others);

    let rule = ctl(&balanced, "forwarding-rules export web-ipv4");
    ctl(&balanced, "forwarding-rules delete web-ipv4 --quiet");
    assert!(balanced.connect(VIP4).is_err(), "no rule leads there");
    let file = balanced.daemon.write("rule.yaml", &rule);
    let import = format!(
        "forwarding-rules import web-ipv4 --project lab --region lab-1 --source {} --quiet",
        file.display()
    );
    ctl(&balanced, &import);
    assert_eq!(backends_of(&balanced.connect_many(VIP4, MANY)), others);
}
