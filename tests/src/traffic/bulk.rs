//! Many bytes whose loss, doubling or disorder shows in a checksum.

use std::io::{self, Write};

const BLOCK: usize = 64 * 1024;

/// A stream of bytes that is the same everywhere and doesn't repeat a block.
pub struct Bytes {
    block: Vec<u8>,
    number: u64,
    pub checksum: crc32fast::Hasher,
}

impl Default for Bytes {
    fn default() -> Self {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut block = Vec::with_capacity(BLOCK);
        while block.len() < BLOCK {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            block.extend(state.to_le_bytes());
        }
        Self {
            block,
            number: 0,
            checksum: crc32fast::Hasher::new(),
        }
    }
}

impl Bytes {
    /// The next block, at most `limit` bytes of it.
    pub fn next(&mut self, limit: u64) -> &[u8] {
        self.block[..8].copy_from_slice(&self.number.to_le_bytes());
        self.number += 1;
        let length = limit.min(BLOCK as u64) as usize;
        self.checksum.update(&self.block[..length]);
        &self.block[..length]
    }

    /// Writes `total` bytes and returns their checksum. `progress` hears how many went before each block.
    pub fn write(
        mut self,
        to: &mut impl Write,
        total: u64,
        mut progress: impl FnMut(u64),
    ) -> io::Result<u32> {
        let mut sent = 0;
        while sent < total {
            progress(sent);
            let block = self.next(total - sent);
            to.write_all(block)?;
            sent += block.len() as u64;
        }
        to.flush()?;
        Ok(self.checksum.finalize())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_tells_a_missing_block() {
        let whole = Bytes::default()
            .write(&mut io::sink(), 3 * BLOCK as u64, |_| {})
            .unwrap();
        let mut bytes = Bytes::default();
        bytes.next(u64::MAX);
        bytes.checksum = crc32fast::Hasher::new();
        let partial = bytes.write(&mut io::sink(), 2 * BLOCK as u64, |_| {}).unwrap();
        assert_ne!(whole, partial);
    }

    #[test]
    fn the_same_bytes_come_every_time() {
        let sum = || Bytes::default().write(&mut io::sink(), 100_001, |_| {}).unwrap();
        assert_eq!(sum(), sum());
    }
}
