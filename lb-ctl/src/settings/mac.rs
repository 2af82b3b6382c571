//! Ethernet addresses as people write them.

use std::str::FromStr;

use crate::net::MacAddr;

/// `02:00:5e:10:00:01`, or with dashes.
pub(super) struct Mac(pub(super) MacAddr);

impl FromStr for Mac {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXPECTED: &str = "expected an Ethernet address such as 00:00:5e:00:01:0a";
        let is_digit = |part: &&str| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_hexdigit());
        let parts = text.split([':', '-']);
        let bytes: Option<Vec<u8>> = parts
            .map(|part| u8::from_str_radix(Some(part).filter(is_digit)?, 16).ok())
            .collect();
        let mac: MacAddr = bytes.ok_or(EXPECTED)?.try_into().map_err(|_| EXPECTED)?;
        match mac[0] & 1 {
            1 => Err("is the address of a group, or of everybody: packets for a VIP never go there"),
            _ => Ok(Self(mac)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ethernet_addresses_are_read_as_tools_write_them() {
        let read = |text: &str| text.parse::<Mac>().ok().map(|Mac(mac)| mac);
        assert_eq!(read("00:00:5e:00:01:0a"), Some([0, 0, 0x5e, 0, 1, 10]));
        assert_eq!(read("00-00-5E-00-01-0A"), Some([0, 0, 0x5e, 0, 1, 10]));
        for text in [
            "",
            "00:00:5e:00:01",
            "00:00:5e:00:01:0a:0b",
            "0:0:5e:0:1:a",
            "00:00:5e:00:01:+a",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
        assert!(
            "ff:ff:ff:ff:ff:ff"
                .parse::<Mac>()
                .is_err_and(|reason| reason.contains("everybody"))
        );
    }
}
