//! The kernel's answer to "how is this address reached?", reduced to what a next hop needs.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteLwEnCapType, RouteMessage, RouteMetric, RouteType, RouteVia,
};

use super::NetError;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route {
    Via {
        ifindex: u32,
        /// Absent when the destination is on-link.
        gateway: Option<IpAddr>,
        /// What the host would send from.
        source: Option<IpAddr>,
        /// Absent when only the link's counts.
        mtu: Option<u32>,
    },
    /// Not to be reached over a link; a sentence.
    Unusable(String),
}

impl Route {
    pub(super) fn from_message(destination: IpAddr, message: &RouteMessage) -> Self {
        match message.header.kind {
            RouteType::Unicast => unicast(destination, message),
            RouteType::Local => Self::Unusable(format!("{destination} is a local address of this host")),
            RouteType::Broadcast => Self::Unusable(format!("{destination} is a broadcast address")),
            RouteType::Multicast => Self::Unusable(format!("{destination} is a multicast address")),
            RouteType::Anycast => Self::Unusable(format!("{destination} is an anycast address of this host")),
            kind => Self::Unusable(format!("the route to {destination} is of the kind {kind:?}")),
        }
    }

    /// The kernel's refusal to route, which is an answer too; other errors come back.
    pub(super) fn from_error(destination: IpAddr, error: NetError) -> Result<Self, NetError> {
        let text = match error.raw_os_error() {
            Some(libc::ENETUNREACH) => format!("there is no route to {destination}"),
            Some(libc::EHOSTUNREACH) => format!("the route to {destination} says unreachable"),
            Some(libc::EACCES) => format!("the route to {destination} says prohibited"),
            Some(libc::EINVAL) => format!("the route to {destination} is a black hole"),
            Some(libc::ENODEV | libc::ENETDOWN) => format!("the interface to {destination} is gone"),
            _ => return Err(error),
        };
        Ok(Self::Unusable(text))
    }
}

fn unicast(destination: IpAddr, message: &RouteMessage) -> Route {
    let (mut ifindex, mut gateway, mut source, mut mtu) = (None, None, None, None);
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Oif(index) => ifindex = Some(*index),
            RouteAttribute::Gateway(address) => gateway = ip(address),
            RouteAttribute::Via(RouteVia::Inet(address)) => gateway = Some((*address).into()),
            RouteAttribute::Via(RouteVia::Inet6(address)) => gateway = Some((*address).into()),
            RouteAttribute::PrefSource(address) => source = ip(address),
            RouteAttribute::Metrics(metrics) => mtu = mtu_of(metrics),
            RouteAttribute::EncapType(kind) if *kind != RouteLwEnCapType::None => {
                return Route::Unusable(format!(
                    "the route to {destination} encapsulates, which XDP can't follow"
                ));
            }
            _ => {}
        }
    }
    match ifindex {
        Some(ifindex) => Route::Via {
            ifindex,
            gateway,
            source,
            mtu,
        },
        None => Route::Unusable(format!("the route to {destination} names no interface")),
    }
}

fn mtu_of(metrics: &[RouteMetric]) -> Option<u32> {
    metrics.iter().find_map(|metric| match metric {
        RouteMetric::Mtu(mtu) if *mtu != 0 => Some(*mtu),
        _ => None,
    })
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(address) => Some((*address).into()),
        RouteAddress::Inet6(address) => Some((*address).into()),
        _ => None,
    }
}

/// Whether a route that came or went may change how one of `addresses` is reached.
pub(super) fn concerns(message: &RouteMessage, addresses: &BTreeSet<IpAddr>) -> bool {
    let length = message.header.destination_prefix_length;
    let destination = message.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Destination(address) => ip(address),
        _ => None,
    });
    match destination.map(|address| IpNet::new(address, length)) {
        Some(Ok(prefix)) => addresses.iter().any(|address| prefix.contains(address)),
        Some(Err(_)) => true,
        // A default route; a wrong guess of its family would cost a lookup at most.
        None => !addresses.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    fn message(attributes: Vec<RouteAttribute>) -> RouteMessage {
        let mut message = RouteMessage::default();
        message.header.kind = RouteType::Unicast;
        message.attributes = attributes;
        message
    }

    fn addr(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_gateway_of_the_other_family_counts() {
        let via = RouteVia::Inet6("fe80::1".parse().unwrap());
        let message = message(vec![
            RouteAttribute::Oif(3),
            RouteAttribute::Via(via),
            RouteAttribute::PrefSource(addr("192.0.2.1").into()),
            RouteAttribute::Metrics(vec![RouteMetric::Hoplimit(9), RouteMetric::Mtu(1400)]),
        ]);
        assert_eq!(
            Route::from_message(addr("198.51.100.1"), &message),
            Route::Via {
                ifindex: 3,
                gateway: Some(addr("fe80::1")),
                source: Some(addr("192.0.2.1")),
                mtu: Some(1400),
            }
        );
    }

    #[test]
    fn what_cannot_be_followed_says_why() {
        let unusable = |message: &RouteMessage| match Route::from_message(addr("192.0.2.7"), message) {
            Route::Unusable(reason) => reason,
            route => panic!("{route:?}"),
        };
        let mut local = message(vec![RouteAttribute::Oif(1)]);
        local.header.kind = RouteType::Local;
        assert_eq!(unusable(&local), "192.0.2.7 is a local address of this host");
        assert_eq!(
            unusable(&message(vec![])),
            "the route to 192.0.2.7 names no interface"
        );
        let encapsulating = message(vec![
            RouteAttribute::Oif(1),
            RouteAttribute::EncapType(RouteLwEnCapType::Mpls),
        ]);
        assert!(unusable(&encapsulating).contains("encapsulates"));
    }

    #[test]
    fn only_refusals_to_route_are_answers() {
        let error = |code| NetError::io("look", io::Error::from_raw_os_error(code));
        let none = Route::Unusable("there is no route to 192.0.2.7".to_owned());
        assert_eq!(
            Route::from_error(addr("192.0.2.7"), error(libc::ENETUNREACH)).unwrap(),
            none
        );
        assert!(Route::from_error(addr("192.0.2.7"), error(libc::EPERM)).is_err());
    }

    #[test]
    fn a_route_event_concerns_the_addresses_it_covers() {
        let watched = BTreeSet::from([addr("192.0.2.7"), addr("2001:db8::7")]);
        let event = |text: &str| {
            let prefix: IpNet = text.parse().unwrap();
            let mut message = message(vec![RouteAttribute::Destination(prefix.addr().into())]);
            message.header.destination_prefix_length = prefix.prefix_len();
            message
        };
        for (prefix, expected) in [
            ("192.0.2.0/24", true),
            ("192.0.2.7/32", true),
            ("192.0.3.0/24", false),
            ("2001:db8::/32", true),
        ] {
            assert_eq!(concerns(&event(prefix), &watched), expected, "{prefix}");
        }
        assert!(
            concerns(&message(vec![]), &watched),
            "the default route concerns everybody"
        );
        assert!(!concerns(&message(vec![]), &BTreeSet::new()));
    }
}
