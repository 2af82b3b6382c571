//! Texts and numbers into the model's types, each with the reason why not.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ipnet::{IpNet, Ipv6Net};
use serde_json::Value;

use crate::model::{Ratio, Vip};

/// A rule's `IPAddress`: an address, or an IPv6 /96.
pub(super) fn vip(text: &str) -> Result<Vip, String> {
    let address = match text.split_once('/') {
        None => literal(text).ok_or("expected an IPv4 address, an IPv6 address or an IPv6 /96; names and URLs of addresses are not known here")?,
        Some(_) => {
            let net = Ipv6Net::from_str(text).map_err(|_| "expected an IPv4 address, an IPv6 address or an IPv6 /96")?;
            if net.prefix_len() != 96 {
                return Err("an IPv6 rule owns a /96 or one address, no other prefix".into());
            }
            if net.trunc() != net {
                return Err(format!("has bits set beyond its /96: write {} for the whole /96, or {} for that address alone", net.trunc(), net.addr()));
            }
            IpAddr::V6(net.addr())
        }
    };
    unicast(address)?;
    Ok(Vip { address })
}

fn literal(text: &str) -> Option<IpAddr> {
    text.parse().ok()
}

fn unicast(address: IpAddr) -> Result<(), String> {
    let broadcast = matches!(address, IpAddr::V4(v4) if v4.is_broadcast());
    let mapped = matches!(address, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some());
    if address.is_unspecified() || address.is_multicast() || address.is_loopback() || broadcast || mapped {
        return Err("is no unicast address that packets on a network can carry".into());
    }
    Ok(())
}

pub(super) fn ipv4(text: &str) -> Result<Ipv4Addr, String> {
    let address = Ipv4Addr::from_str(text).map_err(|_| "expected an IPv4 address")?;
    unicast(address.into()).map(|()| address)
}

pub(super) fn ipv6(text: &str) -> Result<Ipv6Addr, String> {
    let address = Ipv6Addr::from_str(text).map_err(|_| "expected an IPv6 address")?;
    unicast(address.into()).map(|()| address)
}

/// `80` or `8000-8010`.
pub(super) fn port_range(text: &str) -> Result<(u16, u16), String> {
    let port = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let number = text.parse::<u16>().ok().filter(|port| digits && *port > 0);
        number.ok_or_else(|| {
            String::from("expected a port such as 80, or a range such as 8000-8010, in 1..65535")
        })
    };
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let range = (port(first)?, port(last)?);
    if range.0 > range.1 {
        Err("the range ends before it starts".into())
    } else {
        Ok(range)
    }
}

pub(super) fn overlap(a: (u16, u16), b: (u16, u16)) -> bool {
    a.0 <= b.1 && b.0 <= a.1
}

/// A source range of a rule on `vip`.
pub(super) fn source_range(text: &str, vip: Option<Vip>) -> Result<IpNet, String> {
    let net = literal(text)
        .map(IpNet::from)
        .or_else(|| text.parse().ok())
        .ok_or("expected an address or a CIDR range")?;
    if net.trunc() != net {
        return Err(format!(
            "has bits set beyond its prefix; the prefix is {}",
            net.trunc()
        ));
    }
    if vip.is_some_and(|vip| vip.address.is_ipv4() != net.addr().is_ipv4()) {
        return Err("is of another address family than IPAddress".into());
    }
    Ok(net)
}

/// The decimal as it was written. Nothing when it has more digits than a ratio can hold.
pub(super) fn ratio(value: &Value) -> Option<Ratio> {
    const MOST_DECIMALS: i64 = 18;
    if value.as_f64()? == 0.0 {
        return Some(Ratio {
            numerator: 0,
            denominator: 1,
        });
    }
    let text = value.to_string();
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((&text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let fraction = fraction.trim_end_matches('0');
    let digits: u64 = format!("{whole}{fraction}").parse().ok()?;
    let decimals = i64::try_from(fraction.len()).ok()? - exponent.parse::<i64>().ok()?;
    if !(0..=MOST_DECIMALS).contains(&decimals) {
        return None;
    }
    Some(Ratio {
        numerator: digits,
        denominator: 10u64.pow(u32::try_from(decimals).ok()?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_the_decimal_as_written() {
        for (text, numerator, denominator) in [
            ("0", 0, 1),
            ("0.0", 0, 1),
            ("-0.0", 0, 1),
            ("1", 1, 1),
            ("1.0", 1, 1),
            ("0.5", 5, 10),
            ("0.50", 5, 10),
            ("0.1", 1, 10),
            ("0.3", 3, 10),
            ("0.333333333333333", 333_333_333_333_333, 1_000_000_000_000_000),
            ("1e-5", 1, 100_000),
            ("2.5E-3", 25, 10_000),
        ] {
            let value: Value = serde_json::from_str(text).unwrap();
            assert_eq!(
                ratio(&value),
                Some(Ratio {
                    numerator,
                    denominator
                }),
                "{text}"
            );
        }
        assert_eq!(ratio(&serde_json::from_str("1e-30").unwrap()), None);
    }

    #[test]
    fn ports_are_numbers_and_ranges() {
        assert_eq!(port_range("80"), Ok((80, 80)));
        assert_eq!(port_range("8000-8010"), Ok((8000, 8010)));
        for bad in [
            "",
            "0",
            "65536",
            "+80",
            "80-",
            "-80",
            "9-8",
            "80-90-100",
            " 80",
            "http",
        ] {
            assert!(port_range(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_vip_is_a_unicast_literal() {
        for (text, owned) in [
            ("192.0.2.1", "192.0.2.1/32"),
            ("192.0.2.0", "192.0.2.0/32"),
            ("2001:db8::9", "2001:db8::9/128"),
            ("2001:db8::1:0", "2001:db8::1:0/128"),
            ("2001:db8::", "2001:db8::/96"),
            ("2001:db8::5:0:0", "2001:db8::5:0:0/96"),
            ("2001:db8:1::/96", "2001:db8:1::/96"),
        ] {
            assert_eq!(vip(text).expect("an address").owned().to_string(), owned);
        }
        for bad in [
            "",
            "0.0.0.0",
            "224.0.0.1",
            "127.0.0.1",
            "255.255.255.255",
            "::ffff:192.0.2.1",
            "192.0.2.1/32",
        ] {
            assert!(vip(bad).is_err(), "{bad}");
        }
        for bad in [
            "2001:db8::/64",
            "2001:db8::1/96",
            "my-address",
            "projects/p/regions/r/addresses/a",
        ] {
            assert!(vip(bad).is_err(), "{bad}");
        }
    }
}
