use std::net::IpAddr;

use super::*;
use crate::net::testing::{Namespace, PATIENCE};

const VIPS: [&str; 2] = ["203.0.113.5", "2001:db8:5::5"];

/// A host with an address and a default route of both families.
fn host(test: &str) -> Option<Namespace> {
    let host = Namespace::new(test, "host")?;
    for line in [
        "link add eth0 type veth peer name peer0",
        "addr add 192.0.2.1/24 dev eth0",
        "addr add 2001:db8::1/64 dev eth0 nodad",
        "link set eth0 up",
        "link set peer0 up",
        "route add default via 192.0.2.254",
        "route add default via 2001:db8::fe",
    ] {
        host.ip(line);
    }
    Some(host)
}

/// The device by which packets with this mark leave for an address.
fn way_out(host: &Namespace, address: &str, mark: u32) -> String {
    let shown = host.ip_output(&format!("route get {address} mark {mark}"));
    let mut words = shown.split_whitespace();
    words.find(|word| *word == "dev").expect("a device");
    words.next().expect("its name").to_owned()
}

fn traces(host: &Namespace) -> Vec<String> {
    let shown = [
        "link show",
        "rule",
        "-6 rule",
        "route show table all",
        "-6 route show table all",
    ]
    .map(|words| host.ip_output(words));
    let lines = shown.iter().flat_map(|text| text.lines());
    let is_ours = |line: &&str| line.contains(ProbeDevice::NAME) || line.contains(&TABLE.to_string());
    lines.filter(is_ours).map(str::to_owned).collect()
}

#[test]
fn only_packets_with_the_mark_leave_by_the_device() {
    let Some(host) = host("probe-mark") else { return };
    host.run(async || {
        let mark = "0x20/0xf0".parse().unwrap();
        let device = ProbeDevice::create(mark).await.unwrap();
        for vip in VIPS {
            for mark in [0x20, 0x7f2f] {
                assert_eq!(way_out(&host, vip, mark), ProbeDevice::NAME, "{vip} {mark:#x}");
            }
            for mark in [0, 0x10, 0x30, 0x4000] {
                assert_eq!(way_out(&host, vip, mark), "eth0", "{vip} {mark:#x}");
            }
        }
        device.remove().await.unwrap();
        assert_eq!(traces(&host), [""; 0]);
        for vip in VIPS {
            assert_eq!(way_out(&host, vip, 0x20), "eth0");
        }
    });
}

#[test]
fn what_a_killed_run_has_left_is_replaced() {
    let Some(host) = host("probe-again") else { return };
    host.run(async || {
        let first = ProbeDevice::create(Mark::DEFAULT).await.unwrap();
        first.stop_repairing();
        let mark = "0x40".parse().unwrap();
        let second = ProbeDevice::create(mark).await.unwrap();
        for vip in VIPS {
            assert_eq!(way_out(&host, vip, Mark::DEFAULT.value), "eth0");
            assert_eq!(way_out(&host, vip, 0x40), ProbeDevice::NAME);
        }
        second.stop_repairing();
        ProbeDevice::remove_leftovers().await.unwrap();
        assert_eq!(traces(&host), [""; 0]);
        ProbeDevice::remove_leftovers().await.unwrap();
    });
}

#[test]
fn rules_that_others_remove_are_put_back() {
    let Some(host) = host("probe-repair") else { return };
    host.run(async || {
        let device = ProbeDevice::create(Mark::DEFAULT).await.unwrap();
        host.ip(&format!("rule del pref {PREFERENCE}"));
        host.ip(&format!("-6 route flush table {TABLE}"));
        let is_back = async {
            while VIPS
                .iter()
                .any(|vip| way_out(&host, vip, Mark::DEFAULT.value) != ProbeDevice::NAME)
            {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, is_back).await.unwrap();
        device.remove().await.unwrap();
        assert_eq!(traces(&host), [""; 0]);
    });
}

#[test]
fn a_device_of_somebody_else_is_left_alone() {
    let Some(host) = host("probe-taken") else { return };
    host.ip(&format!("link add {} type bridge", ProbeDevice::NAME));
    host.run(async || {
        let error = ProbeDevice::create(Mark::DEFAULT).await.unwrap_err().to_string();
        assert!(error.contains("lb-probe is taken"), "{error}");
    });
    assert!(host.ip_output("link show").contains(ProbeDevice::NAME));
}

#[test]
fn the_device_has_no_address_and_asks_for_no_neighbours() {
    let Some(host) = host("probe-quiet") else { return };
    host.run(async || {
        let device = ProbeDevice::create(Mark::DEFAULT).await.unwrap();
        let links = super::super::Links::new().unwrap();
        let state = links.state().await.unwrap();
        let own = state.own_addresses();
        let added = own.iter().filter(|address| !is_known(address)).count();
        assert_eq!(added, 0, "{own:?}");
        let shown = host.ip_output(&format!("link show {}", ProbeDevice::NAME));
        assert!(shown.contains("NOARP") && shown.contains("LOWER_UP"), "{shown}");
        assert_eq!(links.by_name(ProbeDevice::NAME).await.unwrap().mtu, MTU);
        device.remove().await.unwrap();
    });
}

/// The host's own: loopback, what the test gave, and the link-local addresses of the cable.
fn is_known(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_loopback() || address.octets()[..3] == [192, 0, 2],
        IpAddr::V6(address) => {
            address.is_loopback()
                || address.is_unicast_link_local()
                || address.segments()[..2] == [0x2001, 0xdb8]
        }
    }
}
