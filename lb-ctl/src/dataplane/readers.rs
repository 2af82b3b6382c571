//! When nobody reads any more what the maps named before.

use std::io;

/// `MEMBARRIER_CMD_GLOBAL`: the kernel returns when every processor has been through a quiescent state of RCU, and a
/// program that runs on a packet is inside a read section of RCU.
const GLOBAL: libc::c_int = 1;

/// Returns when all packets that were being judged have been judged: some milliseconds, during which it blocks. An error
/// where the kernel can't tell, as with processors that run without a tick (`nohz_full`).
pub fn wait_for_readers() -> io::Result<()> {
    // SAFETY: the call takes numbers and touches no memory of ours.
    match unsafe { libc::syscall(libc::SYS_membarrier, GLOBAL, 0, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn readers_end() {
        super::wait_for_readers().expect("no processor here runs without a tick");
    }
}
