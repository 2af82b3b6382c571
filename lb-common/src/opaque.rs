//! Arithmetic that stays arithmetic.
//!
//! The optimiser turns masks and minima into branches, and the verifier follows every combination of branches: over
//! eight slots of a bucket that is more than it accepts. A value that passes through [`hide`] has no origin that the
//! optimiser could use. It costs a register move in the kernel and nothing elsewhere.

/// The same value.
#[inline(always)]
pub fn hide(value: u64) -> u64 {
    #[cfg(target_arch = "bpf")]
    {
        let mut value = value;
        // SAFETY: a register moved to itself. An empty template would leave two line records at one instruction,
        // which the kernel refuses.
        unsafe { core::arch::asm!("{0} = {0}", inout(reg) value, options(pure, nomem, nostack)) };
        value
    }
    #[cfg(not(target_arch = "bpf"))]
    value
}

/// All ones if the lowest bit is set, else 0.
#[inline(always)]
pub fn mask(bit: u32) -> u32 {
    hide(u64::from(bit & 1).wrapping_neg()) as u32
}
