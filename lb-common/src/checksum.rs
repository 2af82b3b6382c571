//! The Internet checksum (RFC 1071).

/// Adds 16-bit words in network order; an odd last byte is padded with 0.
pub fn sum(bytes: &[u8], start: u32) -> u32 {
    let mut total = start;
    let mut chunks = bytes.chunks_exact(2);
    for pair in &mut chunks {
        total += u32::from(u16::from_be_bytes([pair[0], pair[1]]));
    }
    if let [last] = chunks.remainder() {
        total += u32::from(u16::from_be_bytes([*last, 0]));
    }
    total
}

/// The checksum of a sum of words.
#[inline(always)]
pub const fn fold(mut total: u32) -> u16 {
    total = (total & 0xffff) + (total >> 16);
    total = (total & 0xffff) + (total >> 16);
    !(total as u16)
}

/// The checksum after one 16-bit word changed (RFC 1624, equation 3).
#[inline(always)]
pub const fn update(checksum: u16, old: u16, new: u16) -> u16 {
    fold((!checksum) as u32 + (!old) as u32 + new as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_update_equals_a_recomputation() {
        // The example header of RFC 1071's literature: checksum at bytes 10 and 11.
        let mut header = [
            0x45, 0, 0, 0x73, 0, 0, 0x40, 0, 0x40, 0x11, 0, 0, 0xc0, 0xa8, 0, 1, 0xc0, 0xa8, 0, 0xc7,
        ];
        let checksum = fold(sum(&header, 0));
        assert_eq!(checksum, 0xb861);
        let old = u16::from_be_bytes([header[8], header[9]]);
        header[8] -= 1;
        let new = u16::from_be_bytes([header[8], header[9]]);
        assert_eq!(update(checksum, old, new), fold(sum(&header, 0)));
    }

    #[test]
    fn an_odd_byte_is_padded() {
        assert_eq!(sum(&[1, 2, 3], 0), 0x0102 + 0x0300);
    }
}
