//! Frames for other hosts (semantics §1, step 1b): on segments that bring everything to everybody, and where addresses change.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use lb_tests::capture::Capture;
use lb_tests::condition::eventually;
use lb_tests::daemon::Daemon;
use lb_tests::documents::Documents;
use lb_tests::packet::Received;
use lb_tests::topology::{BACKENDS, LB, Lab, MORE_BALANCERS, PRIMARIES, VIP4};
use lb_tests::traffic::UDP_PORT;
use lb_tests::traffic::backend::Backend;

const SEED: &str = "00112233445566778899aabbccddeeff";
const DATAGRAMS: usize = 60;
const UDP: u8 = 17;
const SOON: Duration = Duration::from_secs(10);

fn documents(lab: &Lab) -> Documents {
    Documents::new(lab, &PRIMARIES).both_protocols(|service| service)
}

/// A balancer of the fleet, with healthy endpoints.
fn balancer<'lab>(lab: &'lab Lab, host: &'static str) -> Daemon<'lab> {
    let mut daemon = Daemon::on(lab, host);
    daemon.flag("--hash-seed", SEED);
    if host != LB {
        daemon.switch("--no-announce");
    }
    daemon.start_again();
    daemon.apply(&documents(lab));
    for name in PRIMARIES {
        daemon.wait_for_health(name, true);
    }
    daemon.wait_for_delivery();
    daemon
}

/// What the backends' addresses receive of a kind of packet, and nobody else's.
struct Arrivals<'lab> {
    lab: &'lab Lab,
    captures: Vec<(&'static str, Capture)>,
}

impl<'lab> Arrivals<'lab> {
    fn watch(lab: &'lab Lab) -> Self {
        let watch = |name| (name, Capture::start(&lab.host(name).namespace, "eth0"));
        Self {
            lab,
            captures: BACKENDS.map(watch).into(),
        }
    }

    fn count(&self, payload: &[u8]) -> usize {
        let of = |(name, capture): &(&str, Capture)| {
            let mac = self.lab.host(name).mac;
            let is_it = |frame: &&Vec<u8>| {
                let packet = Received::of_frame(frame);
                let carries =
                    packet.is_some_and(|packet| packet.protocol == UDP && packet.payload.ends_with(payload));
                frame[..6] == mac && carries
            };
            capture.look(|captured| captured.frames.iter().filter(is_it).count())
        };
        self.captures.iter().map(of).sum()
    }
}

/// Datagrams of as many flows, to the VIP.
fn send(lab: &Lab, payload: &[u8]) {
    lab.client().run(|| {
        for _ in 0..DATAGRAMS {
            let socket = UdpSocket::bind("0.0.0.0:0").expect("a socket");
            socket
                .send_to(payload, SocketAddr::new(VIP4.into(), UDP_PORT))
                .expect("sending");
        }
    });
}

/// So many packets have been forwarded by the balancer as flows of their own.
#[track_caller]
fn wait_for(daemon: &Daemon<'_>, verdict: &str, count: u64) {
    eventually(SOON, || match daemon.verdict_packets(verdict) {
        found if found >= count => Ok(()),
        found => Err(format!("{verdict}: {found} of {count}")),
    });
}

#[test]
fn n_datagrams_arrive_n_times_however_many_balancers_hear_them() {
    let lab = Lab::flooding("flood");
    let _backends = Backend::all(&lab, &BACKENDS);
    lab.point_vips_at(LB);
    let mut fleet = vec![balancer(&lab, LB)];
    for more in [1, 1, 2] {
        for _ in 0..more {
            fleet.push(balancer(&lab, MORE_BALANCERS[fleet.len() - 1]));
        }
        let balancers = fleet.len();
        let arrivals = Arrivals::watch(&lab);
        let payload = format!("heard by {balancers}").into_bytes();
        let before: Vec<u64> = fleet
            .iter()
            .map(|daemon| daemon.verdict_packets("pass_other_host"))
            .collect();
        send(&lab, &payload);
        eventually(SOON, || match arrivals.count(&payload) {
            found if found >= DATAGRAMS => Ok(()),
            found => Err(format!("{found} of {DATAGRAMS} datagrams arrived")),
        });
        // Each has heard the client's frames and the balancer's, and is done with them.
        for (daemon, before) in fleet.iter().zip(before).skip(1) {
            wait_for(daemon, "pass_other_host", before + 2 * DATAGRAMS as u64);
        }
        assert_eq!(arrivals.count(&payload), DATAGRAMS, "{balancers} balancers");
    }
    for daemon in &fleet[1..] {
        assert_eq!(daemon.verdict_packets("forward_new"), 0);
    }
    assert_eq!(fleet[0].stats().not_judged, 0);
}

#[test]
fn a_vip_in_a_frame_for_everybody_is_nobodys_to_balance() {
    let lab = Lab::flat("everybody");
    let _backends = Backend::all(&lab, &BACKENDS);
    let daemon = balancer(&lab, LB);
    for mac in [[0xff; 6], [0x01, 0, 0x5e, 0, 0, 1], [2, 0, 0, 0, 9, 9]] {
        let before = daemon.verdict_packets("pass_other_host");
        lab.point_at_mac(VIP4.into(), mac);
        send(&lab, b"for everybody");
        wait_for(&daemon, "pass_other_host", before + DATAGRAMS as u64);
    }
    assert_eq!(daemon.verdict_packets("forward_new"), 0);
}

#[test]
fn addresses_of_interfaces_and_of_devices_on_them_are_followed() {
    let lab = Lab::flat("addresses");
    let _backends = Backend::all(&lab, &BACKENDS);
    let mut daemon = Daemon::on(&lab, LB);
    daemon.give(
        "--settings",
        "lb.toml",
        "virtual-macs = [\"00:00:5e:00:01:0a\"]\n",
    );
    daemon.start_again();
    daemon.apply(&documents(&lab));
    for name in PRIMARIES {
        daemon.wait_for_health(name, true);
    }
    daemon.wait_for_delivery();
    let balanced_by = |mac: [u8; 6]| {
        lab.point_at_mac(VIP4.into(), mac);
        eventually(SOON, || {
            let before = daemon.verdict_packets("forward_new");
            send(&lab, b"to a device");
            eventually(SOON, || {
                let others = daemon.verdict_packets("pass_other_host");
                let forwarded = daemon.verdict_packets("forward_new") - before;
                match forwarded + others {
                    0 => Err("nothing was heard".to_owned()),
                    _ => Ok(()),
                }
            });
            match daemon.verdict_packets("forward_new") - before {
                0 => Err(format!("{mac:02x?} is another's")),
                _ => Ok(()),
            }
        });
    };
    balanced_by(lab.host(LB).mac);
    balanced_by([0, 0, 0x5e, 0, 1, 10]);
    // As keepalived makes it for a virtual address of its own.
    let line = "link add link eth0 name vrrp.7 address 00:00:5e:00:01:07 type macvlan mode bridge";
    lab.lb().ip(&[line.to_owned(), "link set vrrp.7 up".to_owned()]);
    balanced_by([0, 0, 0x5e, 0, 1, 7]);
    lab.lb()
        .ip(&["link set eth0 address 02:00:00:00:77:77".to_owned()]);
    balanced_by([2, 0, 0, 0, 0x77, 0x77]);
    assert_eq!(daemon.stats().not_judged, 0);
    let verification = daemon.verify();
    assert_eq!(verification.differences, [""; 0]);
}
