//! Which store it is.

use std::fmt;

/// Made with the store, at random.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StoreId(u128);

impl StoreId {
    /// From its two halves; nothing if they are those of no store.
    pub fn from_words([high, low]: [u64; 2]) -> Option<Self> {
        let id = u128::from(high) << 64 | u128::from(low);
        (id != 0).then_some(Self(id))
    }

    pub fn words(self) -> [u64; 2] {
        [(self.0 >> 64) as u64, self.0 as u64]
    }

    pub fn random() -> std::io::Result<Self> {
        // 0 is none.
        Ok(Self(crate::random::bits()? | 1))
    }
}

impl fmt::Display for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}
