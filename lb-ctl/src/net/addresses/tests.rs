use super::*;

fn message(attributes: Vec<AddressAttribute>, prefix_len: u8) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.index = 7;
    message.header.prefix_len = prefix_len;
    message.attributes = attributes;
    message
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn a_host_prefix_connects_nothing() {
    let prefix = |length| {
        let message = message(vec![AddressAttribute::Address(ip("192.0.2.9"))], length);
        from_message(&message).unwrap().prefix
    };
    assert_eq!(prefix(32), None);
    assert_eq!(prefix(24), Some("192.0.2.0/24".parse().unwrap()));
    assert_eq!(prefix(99), None, "not a prefix length of IPv4");
}

#[test]
fn a_point_to_point_address_is_its_own_end_and_connects_to_the_other() {
    let peer = AddressAttribute::Address(ip("192.0.2.9"));
    let alone = from_message(&message(vec![peer.clone()], 30)).unwrap();
    assert_eq!(alone.own, ip("192.0.2.9"));
    let both = vec![peer, AddressAttribute::Local(ip("198.51.100.8"))];
    let both = from_message(&message(both, 30)).unwrap();
    assert_eq!(both.own, ip("198.51.100.8"));
    assert_eq!(both.prefix, Some("192.0.2.8/30".parse().unwrap()));
    assert_eq!(from_message(&message(vec![], 24)), None);
}

#[test]
fn the_longest_connected_prefix_comes_first() {
    let address = |(ifindex, text): (u32, &str)| {
        let prefix: IpNet = text.parse().unwrap();
        Address {
            ifindex,
            own: prefix.addr(),
            prefix: Some(prefix.trunc()),
            broadcast: None,
        }
    };
    let addresses: Addresses = [
        (4, "192.0.2.1/24"),
        (3, "192.0.2.2/24"),
        (5, "192.0.2.70/26"),
        (6, "2001:db8::1/64"),
        (7, "0.0.0.1/0"),
    ]
    .map(address)
    .into_iter()
    .collect();
    let find = |text: &str| {
        let found = addresses.connected(ip(text));
        found
            .map(|(_, interfaces)| interfaces.iter().copied().collect())
            .collect::<Vec<Vec<u32>>>()
    };
    assert_eq!(find("192.0.2.1"), [vec![3, 4], vec![7]]);
    assert_eq!(find("192.0.2.65"), [vec![5], vec![3, 4], vec![7]]);
    assert_eq!(find("2001:db8::1:2"), [vec![6]]);
    assert_eq!(find("2001:db8:0:1::1"), [[0; 0]; 0]);
    assert!(addresses.own().contains(&ip("192.0.2.70")));
    assert!(!addresses.own().contains(&ip("192.0.2.71")));
}
