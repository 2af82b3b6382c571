//! What the benchmark's generator sends: shared by the generator and by user space, which sets it.

/// The value of the map `BENCH_TRAFFIC`. Words without padding; what changes while packets run is `step` alone.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traffic {
    /// Steps of the order that were taken; one or more a packet.
    pub step: u32,
    /// Packets are of flows 0 to `flows` - 1, each once before any comes again.
    pub flows: u32,
    pub order: Order,
    /// Bytes of the frame; what a program under test has put in front is taken off again.
    pub length: u32,
    /// 4 or 6.
    pub family: u32,
    /// First destination address (IPv4, host order), and how many there are: each flow has one of them.
    pub destination: u32,
    pub destinations: u32,
    /// IPv4: the sum of the header's 16-bit words as they lie in memory, without addresses and checksum.
    pub sum: u32,
    /// Destination port, as it lies in memory.
    pub destination_port: u32,
    /// Ethernet header, as it lies in memory.
    pub ethernet: [u32; 4],
    /// IP header, as it lies in memory; IPv4 uses five words.
    pub header: [u32; 10],
}

/// A walk over all numbers below a power of two: a step count goes in, a number comes out, each once.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    /// All bits of the numbers.
    pub mask: u32,
    /// Odd.
    pub factors: [u32; 3],
    /// At least half of the number's bits, so that what it moves down is what it came from; 31 moves nothing.
    pub shift: u32,
}

impl Order {
    /// The number that a step comes to. Multiplications by odd numbers and shifted exclusive ors are bijections, and so is what is
    /// made of them.
    #[inline(always)]
    pub const fn number(&self, step: u32) -> u32 {
        let mut number = self.moved(step & self.mask);
        number = self.moved(number.wrapping_mul(self.factors[0]) & self.mask);
        number = self.moved(number.wrapping_mul(self.factors[1]) & self.mask);
        self.moved(number.wrapping_mul(self.factors[2]) & self.mask)
    }

    #[inline(always)]
    const fn moved(&self, number: u32) -> u32 {
        number ^ (number >> (self.shift & 31))
    }
}
