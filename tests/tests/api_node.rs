//! The official client for Node.js, which is of another make than the one for Python, unmodified.

use lb_tests::clients::{Api, Told};
use lb_tests::topology::Lab;

#[test]
fn it_makes_and_lists_a_forwarding_rule() {
    let lab = Lab::flat("node");
    let api = Api::start(&lab);
    let mut command = api.node();
    Told::by(command.arg("forwarding_rule.cjs")).well();
    api.daemon.assert_quiet(&[]);
}
