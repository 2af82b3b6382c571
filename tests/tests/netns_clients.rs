//! Traffic flows through what the official Python client made, and follows what it changes.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use lb_tests::balanced::backends_of;
use lb_tests::clients::{Api, Told};
use lb_tests::topology::{BACKENDS, FAILOVER, Lab, PRIMARIES, VIP4};
use lb_tests::traffic::backend::Backend;
use lb_tests::traffic::flow::UdpFlow;
use lb_tests::traffic::tcp::{Broken, Connection};
use lb_tests::traffic::{TCP_PORT, UDP_PORT};

const MANY: usize = 40;
const TICK: Duration = Duration::from_millis(20);
const LONG_ENOUGH: Duration = Duration::from_millis(500);

struct Shop<'lab> {
    lab: &'lab Lab,
    api: Api<'lab>,
}

impl Shop<'_> {
    /// A step of `clients/python/traffic.py`.
    #[track_caller]
    fn step(&self, arguments: &[&str]) {
        let mut command = self.api.python();
        Told::by(command.arg("traffic.py").args(arguments)).well();
    }

    fn endpoint(&self, name: &str) -> String {
        format!("{name}={}", self.lab.host(name).ipv4)
    }

    /// Who gets new connections and new flows.
    #[track_caller]
    fn assert_served_by(&self, backends: &[&str]) {
        let expected = BTreeSet::from_iter(backends.iter().copied());
        let to = SocketAddr::new(VIP4.into(), TCP_PORT);
        let mut connections = Connection::open_many(self.lab.client(), to, MANY);
        assert_eq!(backends_of(&connections), expected);
        for connection in &mut connections {
            assert_eq!(connection.ask().as_deref(), Ok(connection.backend.as_str()));
        }
        let to = SocketAddr::new(VIP4.into(), UDP_PORT);
        let flows: Vec<UdpFlow> = (0..MANY)
            .map(|_| UdpFlow::start(self.lab.client(), to, TICK))
            .collect();
        let answering: Vec<String> = flows.iter().map(UdpFlow::answered_by).collect();
        assert_eq!(
            answering.iter().map(String::as_str).collect::<BTreeSet<_>>(),
            expected
        );
    }
}

#[test]
fn traffic_follows_what_the_python_client_does() {
    let lab = Lab::flat("py-traffic");
    let _backends = Backend::all(&lab, &BACKENDS);
    let shop = Shop {
        lab: &lab,
        api: Api::start(&lab),
    };
    let primaries = PRIMARIES.map(|name| shop.endpoint(name));
    let mut create = vec!["create_group", "primary"];
    create.extend(primaries.iter().map(String::as_str));
    shop.step(&create);
    shop.step(&["create_group", "standby", &shop.endpoint(FAILOVER)]);
    shop.step(&["balance", &VIP4.to_string(), "primary"]);
    shop.api.daemon.wait_for_delivery();
    shop.assert_served_by(&PRIMARIES);

    shop.step(&["detach", "primary", &lab.host("backend-1").ipv4.to_string()]);
    shop.assert_served_by(&["backend-2", "backend-3"]);

    shop.step(&["move", "standby"]);
    shop.api.daemon.wait_for_delivery();
    shop.assert_served_by(&[FAILOVER]);

    shop.step(&["delete_rules"]);
    let to = SocketAddr::new(VIP4.into(), TCP_PORT);
    let broken = Connection::open_within(lab.client(), to, LONG_ENOUGH)
        .err()
        .unwrap();
    assert!(
        matches!(broken, Broken::TimedOut | Broken::Unreachable),
        "{broken}"
    );
}
