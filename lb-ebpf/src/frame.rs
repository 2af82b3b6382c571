//! The only file that makes references into packet memory.

use aya_ebpf::programs::{TcContext, XdpContext};
use lb_common::opaque::hide;
use lb_common::wire::Packet;

/// The bytes of the frame between the context's two pointers. Any helper that moves the packet's head or tail ends
/// its validity: make a new one afterwards.
pub(crate) struct Frame {
    start: usize,
    end: usize,
}

/// The verifier wants to see that an offset is small. The largest that the parser makes, behind six extension
/// headers of 2 KiB in what an ICMP error quotes that is itself behind six, is smaller than this.
const REACH: usize = 0x7fff;

impl Frame {
    #[inline(always)]
    pub(crate) fn of(ctx: &XdpContext) -> Self {
        Self {
            start: ctx.data(),
            end: ctx.data_end(),
        }
    }

    /// The same of a socket buffer: what lies in its linear part, which holds all headers.
    #[inline(always)]
    pub(crate) fn of_skb(ctx: &TcContext) -> Self {
        Self {
            start: ctx.data(),
            end: ctx.data_end(),
        }
    }

    /// `N` bytes from `offset` on, to write.
    #[inline(always)]
    pub(crate) fn window_mut<const N: usize>(&mut self, offset: usize) -> Option<&mut [u8; N]> {
        let begin = self.start + (offset & REACH);
        if begin + N > self.end {
            return None;
        }
        // SAFETY: the range lies inside the packet, as just checked; `&mut self` excludes other windows.
        Some(unsafe { &mut *(begin as *mut [u8; N]) })
    }
}

impl Packet for Frame {
    #[inline(always)]
    fn window<const N: usize>(&self, offset: usize) -> Option<&[u8; N]> {
        let begin = self.start + (offset & REACH);
        if begin + N > self.end {
            return None;
        }
        // SAFETY: the range lies inside the packet, as just checked; the alignment of bytes is 1.
        Some(unsafe { &*(begin as *const [u8; N]) })
    }

    #[inline(always)]
    fn length(&self) -> usize {
        self.end - self.start
    }

    #[inline(always)]
    fn forget(&self, value: u32) -> u32 {
        // The verifier does not see that the length cancels out; the compiler must not see it either.
        let length = self.length() as u32;
        hide(u64::from(value ^ length)) as u32 ^ length
    }
}
