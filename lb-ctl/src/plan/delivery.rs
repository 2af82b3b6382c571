//! How packets reach an endpoint: from its next hop to the kernel's record (semantics §9).

use std::net::IpAddr;

use lb_common::layout::{Backend, DeliveryMode};
use lb_common::rewrite::ipv4_sum;

use crate::model::Delivery;
use crate::net::NextHop;

/// The record, or why there is none, in a sentence.
pub(super) fn record(
    address: IpAddr,
    wish: Delivery,
    next_hop: &NextHop,
    gue_port: u16,
) -> Result<Backend, String> {
    let (ifindex, source_mac, destination_mac, on_link, mtu, source_address) = match next_hop {
        NextHop::Resolved {
            ifindex,
            source_mac,
            destination_mac,
            on_link,
            mtu,
            source_address,
        } => (
            *ifindex,
            source_mac,
            destination_mac,
            *on_link,
            *mtu,
            *source_address,
        ),
        NextHop::Unresolved { reason } | NextHop::Unusable { reason, .. } => return Err(reason.clone()),
    };
    let mode = mode(address, wish, on_link)?;
    let mut ethernet = [0; 12];
    ethernet[..6].copy_from_slice(destination_mac);
    ethernet[6..].copy_from_slice(source_mac);
    let outer_source = match (mode, source_address) {
        (DeliveryMode::L2, _) => [0; 4],
        (_, Some(source)) => words(source),
        (_, None) => return Err(format!("the host has no address to send to {address} from")),
    };
    let outer_destination = if mode == DeliveryMode::L2 {
        [0; 4]
    } else {
        words(address)
    };
    Ok(Backend {
        mode: mode as u32,
        ifindex,
        mtu,
        ethernet,
        outer_source,
        outer_destination,
        port: match mode {
            DeliveryMode::GueIpv4 | DeliveryMode::GueIpv6 => gue_port,
            DeliveryMode::L2 | DeliveryMode::Ipv4 | DeliveryMode::Ipv6 => 0,
        },
        tag: 0,
        outer_sum: ipv4_sum(outer_source[0], outer_destination[0]),
    })
}

fn mode(address: IpAddr, wish: Delivery, on_link: bool) -> Result<DeliveryMode, String> {
    let (tunnel, gue) = match address {
        IpAddr::V4(_) => (DeliveryMode::Ipv4, DeliveryMode::GueIpv4),
        IpAddr::V6(_) => (DeliveryMode::Ipv6, DeliveryMode::GueIpv6),
    };
    match (wish, on_link) {
        (Delivery::Auto | Delivery::L2, true) => Ok(DeliveryMode::L2),
        (Delivery::Auto, false) | (Delivery::Ipip, _) => Ok(tunnel),
        (Delivery::L2, false) => Err(format!("lb/delivery is l2, but {address} is behind a router")),
        (Delivery::Gue, _) => Ok(gue),
    }
}

/// An address as records and packets hold it: words in network order, IPv4 in the first.
fn words(address: IpAddr) -> [u32; 4] {
    match address {
        IpAddr::V4(address) => [u32::from_ne_bytes(address.octets()), 0, 0, 0],
        IpAddr::V6(address) => {
            let octets = address.octets();
            std::array::from_fn(|word| {
                u32::from_ne_bytes(octets[4 * word..4 * word + 4].try_into().expect("four octets"))
            })
        }
    }
}

/// `l2`, `ipip` or `gue`, as tools print it.
pub(super) fn name(record: &Backend) -> &'static str {
    match DeliveryMode::from_u32(record.mode) {
        Some(DeliveryMode::L2) => "l2",
        Some(DeliveryMode::Ipv4 | DeliveryMode::Ipv6) => "ipip",
        Some(DeliveryMode::GueIpv4 | DeliveryMode::GueIpv6) => "gue",
        None => "unresolved",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next_hop(on_link: bool) -> NextHop {
        NextHop::Resolved {
            ifindex: 3,
            source_mac: [2, 0, 0, 0, 0, 1],
            destination_mac: [2, 0, 0, 0, 0, 2],
            on_link,
            mtu: 1500,
            source_address: Some("10.255.0.1".parse().expect("an address")),
        }
    }

    #[test]
    fn every_wish_has_its_mode() {
        use DeliveryMode::{GueIpv4, GueIpv6, Ipv4, Ipv6, L2};
        for (wish, on_link, v4, v6) in [
            (Delivery::Auto, true, L2, L2),
            (Delivery::Auto, false, Ipv4, Ipv6),
            (Delivery::L2, true, L2, L2),
            (Delivery::Ipip, true, Ipv4, Ipv6),
            (Delivery::Ipip, false, Ipv4, Ipv6),
            (Delivery::Gue, true, GueIpv4, GueIpv6),
            (Delivery::Gue, false, GueIpv4, GueIpv6),
        ] {
            for (address, mode) in [("10.0.0.1", v4), ("fd00::1", v6)] {
                let address = address.parse().expect("an address");
                let record = record(address, wish, &next_hop(on_link), 6080).expect("a record");
                assert_eq!(record.mode, mode as u32, "{wish:?} {on_link} {address}");
                let is_gue = wish == Delivery::Gue;
                assert_eq!(record.port, if is_gue { 6080 } else { 0 });
                assert_eq!(name(&record) == "gue", is_gue);
            }
        }
        let routed = record(
            "10.0.0.1".parse().expect("an address"),
            Delivery::L2,
            &next_hop(false),
            6080,
        );
        assert!(routed.is_err_and(|reason| reason.contains("behind a router")));
    }

    #[test]
    fn the_outer_packet_goes_to_the_endpoint() {
        let record = record(
            "10.0.0.1".parse().expect("an address"),
            Delivery::Gue,
            &next_hop(false),
            7000,
        )
        .expect("a record");
        assert_eq!(record.outer_destination[0].to_ne_bytes(), [10, 0, 0, 1]);
        assert_eq!(record.outer_source[0].to_ne_bytes(), [10, 255, 0, 1]);
        assert_eq!(record.port, 7000);
    }
}
