use std::net::IpAddr;

use super::way::{MTU, PEER, PREFERENCE, TABLE};
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
        first.stop_keeping();
        let mark = "0x40".parse().unwrap();
        let second = ProbeDevice::create(mark).await.unwrap();
        for vip in VIPS {
            assert_eq!(way_out(&host, vip, Mark::DEFAULT.value), "eth0");
            assert_eq!(way_out(&host, vip, 0x40), ProbeDevice::NAME);
        }
        second.stop_keeping();
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

/// Waits until the way is as wanted.
async fn until_way(device: &ProbeDevice, what: &str, wanted: impl Fn(&ProbeWay) -> bool) -> ProbeWay {
    let mut way = device.way();
    let matching = way.wait_for(|way| wanted(way));
    match tokio::time::timeout(PATIENCE, matching).await {
        Ok(way) => way.expect("the device lives").clone(),
        Err(_) => panic!("never {what}: {:?}", device.way().borrow()),
    }
}

#[test]
fn a_device_that_somebody_deletes_is_made_again_and_waits_for_its_program() {
    let Some(host) = host("probe-deleted") else { return };
    host.run(async || {
        let device = ProbeDevice::create(Mark::DEFAULT).await.unwrap();
        let first = device.way().borrow().waiting().expect("it was made");
        device.opened(first + 1);
        assert_eq!(
            device.way().borrow().waiting(),
            Some(first),
            "another device's program"
        );
        device.opened(first);
        assert_eq!(device.way().borrow().trouble(), None);
        for round in 1..=3 {
            host.ip(&format!("link del {}", [ProbeDevice::NAME, PEER][round % 2]));
            let way = until_way(&device, "made again", |way| {
                way.breaks >= round as u64 && way.waiting().is_some_and(|index| index != first)
            })
            .await;
            let index = way.waiting().unwrap();
            assert!(way.trouble().is_some_and(|text| text.contains("no program yet")));
            device.opened(index);
            assert_eq!(device.way().borrow().state, WayState::Open { ifindex: index });
            for vip in VIPS {
                assert_eq!(way_out(&host, vip, Mark::DEFAULT.value), ProbeDevice::NAME);
            }
        }
        device.remove().await.unwrap();
        assert!(device.way().borrow().trouble().is_some());
        assert_eq!(traces(&host), [""; 0]);
    });
}

#[test]
fn what_others_change_of_it_is_mended_and_told_as_a_break() {
    let Some(host) = host("probe-changed") else { return };
    host.run(async || {
        let device = ProbeDevice::create(Mark::DEFAULT).await.unwrap();
        let index = device.way().borrow().waiting().unwrap();
        device.opened(index);
        for (number, change) in [
            format!("link set {} down", ProbeDevice::NAME),
            format!("link set {PEER} down"),
            format!("rule del pref {PREFERENCE}"),
            format!("-6 rule del pref {PREFERENCE}"),
            format!("route replace default dev eth0 table {TABLE}"),
            format!("-6 route del default dev {} table {TABLE}", ProbeDevice::NAME),
        ]
        .iter()
        .enumerate()
        {
            host.ip(change);
            let mended = |way: &ProbeWay| way.breaks > number as u64 && way.trouble().is_none();
            until_way(&device, change, mended).await;
            for vip in VIPS {
                assert_eq!(
                    way_out(&host, vip, Mark::DEFAULT.value),
                    ProbeDevice::NAME,
                    "{change}"
                );
            }
        }
        device.remove().await.unwrap();
        assert_eq!(traces(&host), [""; 0]);
    });
}

#[test]
fn without_the_device_marked_packets_take_no_other_way() {
    let Some(host) = host("probe-refused") else { return };
    host.run(async || {
        let device = ProbeDevice::create(Mark::DEFAULT).await.unwrap();
        device.stop_keeping();
        host.ip(&format!("link del {}", ProbeDevice::NAME));
        let way = Way::open(Mark::DEFAULT).unwrap();
        let reason = way.look().await.unwrap().unwrap_err();
        assert_eq!(reason, "there is no device lb-probe");
        let netlink = crate::net::netlink::Netlink::open().unwrap();
        for vip in VIPS {
            let refused = netlink
                .route_to_marked(vip.parse().unwrap(), Mark::DEFAULT.value)
                .await;
            let refused = refused.unwrap_err();
            assert_eq!(refused.raw_os_error(), Some(libc::EACCES), "{refused}");
        }
        ProbeDevice::remove_leftovers().await.unwrap();
        assert_eq!(traces(&host), [""; 0]);
    });
}

#[test]
fn a_name_that_is_taken_meanwhile_is_told_and_left_alone() {
    let Some(host) = host("probe-stolen") else { return };
    host.run(async || {
        let device = ProbeDevice::create(Mark::DEFAULT).await.unwrap();
        device.stop_keeping();
        host.ip(&format!("link del {}", ProbeDevice::NAME));
        host.ip(&format!("link add {} type bridge", ProbeDevice::NAME));
        let way = Way::open(Mark::DEFAULT).unwrap();
        assert!(way.look().await.unwrap().unwrap_err().contains("is taken"));
        assert!(way.mend().await.unwrap_err().to_string().contains("is taken"));
        assert!(host.ip_output("link show").contains(ProbeDevice::NAME));
    });
}
