//! What an endpoint weighs beside others: a decimal number, kept in millionths.

use std::fmt;

use serde::{Deserialize, Serialize, Serializer};

/// A weight, 0..=1000, in steps of a millionth.
///
/// Selection tables depend on ratios alone, so whole weights make the same tables in every unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "f64")]
pub struct EndpointWeight {
    millionths: u32,
}

const MILLION: u32 = 1_000_000;

impl EndpointWeight {
    pub const ZERO: Self = Self::whole(0);
    pub const ONE: Self = Self::whole(1);
    pub const MAX: Self = Self::whole(1000);

    /// More than the greatest weight is the greatest.
    pub const fn whole(number: u32) -> Self {
        let number = if number > 1000 { 1000 } else { number };
        Self {
            millionths: number * MILLION,
        }
    }

    /// A non-negative number in decimal notation, `7`, `1.5` or `1e2`, that is at most 1000 in single precision. What
    /// is not zero in single precision weighs at least a millionth.
    pub fn parse(text: &str) -> Option<Self> {
        let is_unsigned = text.starts_with(|first: char| first.is_ascii_digit() || first == '.');
        let single: f32 = text.parse().ok().filter(|_| is_unsigned)?;
        if single > 1000.0 {
            return None;
        }
        // The decimal itself is rounded: 0.1 is no binary fraction, but a whole number of millionths.
        let rounded = (text.parse::<f64>().ok()? * f64::from(MILLION)).round() as u32;
        let least = u32::from(single > 0.0);
        Some(Self {
            millionths: rounded.clamp(least, Self::MAX.millionths),
        })
    }

    pub const fn millionths(self) -> u32 {
        self.millionths
    }
}

impl fmt::Display for EndpointWeight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, rest) = (self.millionths / MILLION, self.millionths % MILLION);
        if rest == 0 {
            return whole.fmt(f);
        }
        let digits = format!("{rest:06}");
        write!(f, "{whole}.{}", digits.trim_end_matches('0'))
    }
}

/// As a number, a whole one where it is whole.
impl Serialize for EndpointWeight {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.millionths % MILLION {
            0 => serializer.serialize_u32(self.millionths / MILLION),
            _ => serializer.serialize_f64(f64::from(self.millionths) / f64::from(MILLION)),
        }
    }
}

impl TryFrom<f64> for EndpointWeight {
    type Error = String;

    fn try_from(number: f64) -> Result<Self, String> {
        Self::parse(&number.to_string()).ok_or_else(|| format!("{number} is no weight, 0 to 1000"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_single_precision_numbers_in_decimal_notation() {
        for (text, millionths) in [
            ("0", 0),
            ("7", 7_000_000),
            ("007", 7_000_000),
            ("1000", 1_000_000_000),
            ("1.5", 1_500_000),
            ("1e2", 100_000_000),
            ("1E+2", 100_000_000),
            ("2.5e-1", 250_000),
            (".5", 500_000),
            ("3.", 3_000_000),
            ("0.1", 100_000),
            ("999.9", 999_900_000),
            ("0.0000014", 1),
            // The nearest single-precision number is 1000, or 0.
            ("1000.00001", 1_000_000_000),
            ("1e-50", 0),
            // Little, but not nothing.
            ("1e-40", 1),
            ("0e9", 0),
        ] {
            let weight = EndpointWeight::parse(text).map(EndpointWeight::millionths);
            assert_eq!(weight, Some(millionths), "{text}");
        }
        for text in [
            "", ".", "e", "e2", "1e", "-1", "-0", "+1", "1000.1", "1e4", "1e99", "inf", "infinity", "nan",
            "NaN", "0x10", "1_000", "1,5", "1 5", "ten", "1.5.0", "٣",
        ] {
            assert_eq!(EndpointWeight::parse(text), None, "{text}");
        }
    }

    #[test]
    fn they_are_shown_and_kept_as_the_shortest_decimal() {
        for (text, shown) in [
            ("0", "0"),
            ("7", "7"),
            ("1e2", "100"),
            ("1.50", "1.5"),
            ("0.1", "0.1"),
            ("1e-6", "0.000001"),
            ("999.999999", "999.999999"),
        ] {
            let weight = EndpointWeight::parse(text).expect(text);
            assert_eq!(weight.to_string(), shown);
            let kept = serde_json::to_string(&weight).expect("a number");
            assert_eq!(kept.parse::<f64>().ok(), shown.parse().ok(), "{kept}");
            assert_eq!(serde_json::from_str::<EndpointWeight>(&kept).ok(), Some(weight));
        }
        // As it was kept before there were fractions.
        assert_eq!(
            serde_json::to_string(&EndpointWeight::whole(7)).ok(),
            Some("7".to_owned())
        );
        assert!(serde_json::from_str::<EndpointWeight>("1001").is_err());
    }
}
