//! Numbers that nobody can guess.

use std::fs::File;
use std::io::{self, Read as _};

/// 128 bits from the kernel.
pub(crate) fn bits() -> io::Result<u128> {
    let mut bytes = [0; 16];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(u128::from_be_bytes(bytes))
}
