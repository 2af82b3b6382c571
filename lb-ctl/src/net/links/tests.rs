use super::*;

#[test]
fn the_longest_connected_prefix_wins_then_the_lowest_index() {
    let prefixes = [
        (4, "192.0.2.0/24"),
        (3, "192.0.2.0/24"),
        (5, "192.0.2.64/26"),
        (6, "2001:db8::/64"),
    ];
    let find = |address: &str| {
        let prefixes = prefixes
            .iter()
            .map(|(index, prefix)| (*index, prefix.parse().unwrap()));
        longest_match(prefixes, address.parse().unwrap())
    };
    assert_eq!(find("192.0.2.1"), Some(3));
    assert_eq!(find("192.0.2.65"), Some(5));
    assert_eq!(find("2001:db8::1:2"), Some(6));
    assert_eq!(find("2001:db8:0:1::1"), None);
    assert_eq!(find("198.51.100.1"), None);
}

#[test]
fn a_host_prefix_connects_nothing() {
    let address = |prefix_len| {
        let mut message = AddressMessage::default();
        message.header.index = 7;
        message.header.prefix_len = prefix_len;
        message
            .attributes
            .push(AddressAttribute::Address("192.0.2.9".parse().unwrap()));
        message
    };
    assert_eq!(connected_prefix(&address(32)), None);
    assert_eq!(
        connected_prefix(&address(24)),
        Some((7, "192.0.2.0/24".parse().unwrap()))
    );
    assert_eq!(
        connected_prefix(&address(99)),
        None,
        "not a prefix length of IPv4"
    );
}

#[test]
fn every_attached_program_is_listed_with_its_mode() {
    let mut message = LinkMessage::default();
    message.attributes.push(LinkAttribute::Xdp(vec![
        LinkXdp::Attached(netlink_packet_route::link::XdpAttached::Multiple),
        LinkXdp::DrvProgId(11),
        LinkXdp::SkbProgId(12),
        LinkXdp::HwProgId(0),
    ]));
    assert_eq!(
        from_message(&message).xdp,
        [
            XdpAttachment {
                mode: XdpMode::Native,
                program_id: 11
            },
            XdpAttachment {
                mode: XdpMode::Generic,
                program_id: 12
            },
        ]
    );
}
