//! Firewall marks, as iproute2 and nftables write them.

use std::fmt;
use std::str::FromStr;

/// A value, and the bits that are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Not 0, and in the mask.
    pub value: u32,
    pub mask: u32,
}

impl Mark {
    /// Kubernetes, Calico, Cilium, Tailscale and the AWS network plugin test bits that are 0 in it.
    pub const DEFAULT: Self = Self {
        value: 0x3062,
        mask: u32::MAX,
    };
}

impl Default for Mark {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl FromStr for Mark {
    type Err = &'static str;

    /// `VALUE` or `VALUE/MASK`, each in decimal or hexadecimal.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXPECTED: &str = "expected a mark such as 0x3062, or with a mask, 0x20/0xf0";
        let (value, mask) = match text.split_once('/') {
            Some((value, mask)) => (number(value), number(mask)),
            None => (number(text), Some(u32::MAX)),
        };
        match (value.ok_or(EXPECTED)?, mask.ok_or(EXPECTED)?) {
            (0, _) => Err("must not be 0, which is what unmarked packets have"),
            (value, mask) if value & !mask != 0 => Err("has bits set outside its mask"),
            (value, mask) => Ok(Self { value, mask }),
        }
    }
}

fn number(text: &str) -> Option<u32> {
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
            u32::from_str_radix(digits, 16).ok()
        }
        Some(_) => None,
        None if text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse().ok(),
        None => None,
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.value)?;
        match self.mask {
            u32::MAX => Ok(()),
            mask => write!(f, "/{mask:#x}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_read_as_others_write_them() {
        let mark = |text: &str| text.parse::<Mark>();
        let of = |value, mask| Ok(Mark { value, mask });
        assert_eq!(mark("0x3062"), of(0x3062, u32::MAX));
        assert_eq!(mark("32/240"), of(0x20, 0xf0));
        assert_eq!(mark("0X20/0xF0"), of(0x20, 0xf0));
        for wrong in [
            "",
            "x",
            "0x",
            "/",
            "1/",
            "0x1_0",
            "+1",
            "-1",
            "0x100000000",
            "1/2/3",
        ] {
            assert!(
                mark(wrong).is_err_and(|why| why.starts_with("expected")),
                "{wrong}"
            );
        }
        assert!(mark("0").is_err_and(|why| why.contains("must not be 0")));
        assert!(mark("0x30/0xf").is_err_and(|why| why.contains("outside its mask")));
    }

    #[test]
    fn a_mark_reads_as_it_was_written() {
        for text in ["0x3062", "0x20/0xf0"] {
            assert_eq!(text.parse::<Mark>().unwrap().to_string(), text);
        }
    }
}
