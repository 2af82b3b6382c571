use super::*;

fn net(text: &str) -> ZonePrefix {
    prefix(&text.parse().expect("a prefix"))
}

#[test]
fn ipv4_prefixes_lie_in_the_mapped_range() {
    assert_eq!(net("10.1.0.0/16").1, 112);
    assert_eq!(net("10.1.0.0/16").0[2], 0xffff_u32.to_be());
    assert_eq!(net("2001:db8::/48").1, 48);
}

#[test]
fn a_short_ipv6_prefix_takes_no_ipv4_client() {
    let every_ipv4 = net("0.0.0.0/0");
    for (text, covers) in [
        ("::/0", true),
        ("::/3", true),
        ("::/80", true),
        ("::/81", false),
        ("::fffe:0:0/95", true),
        ("2000::/3", false),
        ("2001:db8::/48", false),
        ("::1:0:0/96", false),
    ] {
        let mut prefixes = BTreeMap::from([(net(text), 7)]);
        keep_families_apart(&mut prefixes);
        assert_eq!(
            prefixes.get(&every_ipv4),
            covers.then_some(&0),
            "{text}: {prefixes:?}"
        );
    }
    let mut prefixes = BTreeMap::from([(net("::/0"), 1), (every_ipv4, 2)]);
    keep_families_apart(&mut prefixes);
    assert_eq!(prefixes[&every_ipv4], 2);
}
