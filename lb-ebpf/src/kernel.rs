//! [`Tables`] on BPF maps.

use core::intrinsics::{AtomicOrdering, atomic_cxchg};

use aya_ebpf::helpers::generated::bpf_ktime_get_coarse_ns;
use aya_ebpf::programs::XdpContext;
use lb_common::clock;
use lb_common::flow::FlowBucket;
use lb_common::hash::HashKeys;
use lb_common::layout::{
    AddressKey, BUCKET_SLOTS, Bucket, FragmentKey, FragmentRecord, Member, Rule, RuleKey, Service,
    SteeringKey, TupleRecord, Vip,
};
use lb_common::opaque::hide;
use lb_common::rules::Match;
use lb_common::tables::{Owner, Tables};

#[cfg(feature = "lru")]
use {
    crate::lru,
    lb_common::flow::{Found, Insert, Slot, Sought},
};

use crate::maps::{self, CpuCell};

/// Secrets; the loader sets them.
#[unsafe(no_mangle)]
static LB_HASH_KEYS: HashKeys = HashKeys::ZERO;

/// Buckets in the flow table; the loader sets it with the map's size.
#[unsafe(no_mangle)]
static LB_BUCKETS: u32 = lb_common::layout::size::FLOW_SLOTS / BUCKET_SLOTS;

/// A test's clock: not 0 is the second to judge by. The verifier removes the branch when the loader leaves it 0.
#[unsafe(no_mangle)]
static LB_TEST_NOW: u32 = 0;

/// Not 0: echo requests to a VIP that no rule takes are answered; the loader sets it.
#[unsafe(no_mangle)]
static LB_ANSWER_ECHO: u32 = 0;

pub(crate) struct KernelTables<'a> {
    pub(crate) cpu: &'static CpuCell,
    /// Asked only by packets that may be for a VIP.
    pub(crate) ctx: &'a XdpContext,
}

impl KernelTables<'_> {
    #[inline(always)]
    fn ingress(&self) -> u32 {
        self.ctx.ingress_ifindex() as u32
    }
}

/// A constant that the loader may have changed.
#[inline(always)]
fn loaded(constant: &'static u32) -> u32 {
    // SAFETY: a reference is valid to read; volatile, because the value at compile time is not the value at run time.
    unsafe { core::ptr::read_volatile(constant) }
}

#[repr(transparent)]
pub(crate) struct KernelBucket(Bucket);

impl FlowBucket for KernelBucket {
    #[inline(always)]
    fn load(&self, slot: usize) -> u64 {
        // SAFETY: in range by the callers' loops over eight slots; volatile, because other CPUs write it.
        unsafe { core::ptr::read_volatile(self.0.slots.as_ptr().add(slot)) }
    }

    #[inline(always)]
    fn compare_exchange(&self, slot: usize, old: u64, new: u64) -> bool {
        // SAFETY: as above; the map's memory is writable, and every writer uses atomics.
        let (_, exchanged) = unsafe {
            let target = self.0.slots.as_ptr().add(slot).cast_mut();
            atomic_cxchg::<u64, { AtomicOrdering::SeqCst }, { AtomicOrdering::SeqCst }>(target, old, new)
        };
        exchanged
    }
}

impl Tables for KernelTables<'_> {
    type Bucket = KernelBucket;

    #[inline(always)]
    fn keys(&self) -> &HashKeys {
        // What the compiler sees there is zero; what the loader wrote is not.
        let address = hide(&raw const LB_HASH_KEYS as u64);
        // SAFETY: the address of a static that nobody writes to.
        unsafe { &*(address as *const HashKeys) }
    }

    #[inline(always)]
    fn now(&self) -> u32 {
        let test = loaded(&LB_TEST_NOW);
        if test != 0 {
            return test;
        }
        // SAFETY: a helper without arguments.
        self.cpu
            .watched(|| clock::from_nanoseconds(unsafe { bpf_ktime_get_coarse_ns() }))
    }

    #[inline(always)]
    fn rule(&self, key: &RuleKey) -> Option<Rule> {
        // SAFETY: an entry that is replaced meanwhile is read as it was or as it is: one 64-bit load.
        unsafe { maps::LB_RULES.get(key) }.copied()
    }

    #[inline(always)]
    fn vip(&self, key: &AddressKey) -> Option<Vip> {
        // SAFETY: words are independent of each other, so a torn read is one of the two states for each protocol.
        unsafe { maps::LB_VIPS.get(key) }.copied()
    }

    #[inline(always)]
    fn owns_prefix(&self, key: &AddressKey) -> bool {
        let [a, b, c, _] = key.map(u64::from);
        maps::owns_prefix(a | (b << 32), c)
    }

    #[inline(always)]
    fn may_be_vip(&self, address: &AddressKey) -> bool {
        maps::may_be_vip(address)
    }

    #[inline(always)]
    fn recall(
        &self,
        epoch: u32,
        exact: &RuleKey,
        look_up: impl FnOnce() -> Result<Rule, Match>,
    ) -> Result<Rule, Match> {
        maps::recall(epoch, exact, look_up)
    }

    #[inline(always)]
    fn epoch(&self) -> u32 {
        maps::epoch()
    }

    #[inline(always)]
    fn recalled(&self, exact: &RuleKey) -> Option<Rule> {
        maps::recalled(maps::epoch(), exact)
    }

    #[inline(always)]
    fn owner(&self, epoch: u32, recipient: u64) -> Owner {
        match maps::owner(epoch, self.ingress(), recipient) {
            0 => Owner::ThisHost,
            1 => Owner::AnotherHost,
            _ => Owner::Unknown,
        }
    }

    #[inline(always)]
    fn remembers_own(&self, recipient: u64) -> bool {
        self.cpu.remembers_own(self.ingress(), recipient)
    }

    #[inline(always)]
    fn note_not_judged(&self) {
        self.cpu.note_not_judged();
    }

    #[inline(always)]
    fn steering(&self, key: &SteeringKey) -> Option<u32> {
        maps::steering(key)
    }

    #[inline(always)]
    fn service(&self, number: u32) -> Option<Service> {
        maps::LB_SERVICES.get(number).copied()
    }

    #[inline(always)]
    fn member(&self, number: u32) -> Option<Member> {
        maps::LB_MEMBERS.get(number).copied()
    }

    #[inline(always)]
    fn selected(&self, slot: u32) -> u32 {
        // Two slots to a value, the even one in the low half.
        let pair = maps::LB_TABLES.get(slot / 2).map_or(0, |pair| *pair);
        (pair >> (32 * (slot % 2))) as u32
    }

    #[inline(always)]
    fn zone(&self, client: &AddressKey) -> u32 {
        maps::zone(client)
    }

    #[inline(always)]
    fn zone_selection(&self, index: u32) -> u64 {
        maps::LB_ZONE_TABLES.get(index).map_or(0, |word| *word)
    }

    #[inline(always)]
    fn fragment(&self, key: &FragmentKey) -> Option<FragmentRecord> {
        // SAFETY: a record that is replaced meanwhile is one 64-bit load.
        unsafe { maps::LB_FRAGMENTS.get(key) }.copied()
    }

    #[inline(always)]
    fn remember_fragment(&self, key: &FragmentKey, record: &FragmentRecord) {
        // A full table forgets the oldest; any other failure only costs the datagram.
        let _ = maps::LB_FRAGMENTS.insert(key, record, 0);
    }

    #[inline(always)]
    fn answers_echo(&self) -> bool {
        loaded(&LB_ANSWER_ECHO) != 0
    }

    #[inline(always)]
    fn bucket_count(&self) -> u32 {
        loaded(&LB_BUCKETS)
    }

    #[inline(always)]
    fn bucket(&self, index: u32) -> Option<&KernelBucket> {
        maps::LB_FLOWS.get(index)
    }

    #[inline(always)]
    fn keep_tuple(&self, index: u32, tuple: &TupleRecord) {
        if cfg!(feature = "without-tuples") {
            return;
        }
        // SAFETY: the maps own the records; a reader takes one only if its hash fits the slot.
        unsafe {
            if let Some(head) = maps::LB_TUPLES.get_ptr_mut(index) {
                *head = tuple.head;
            }
            if tuple.is_ipv6()
                && let Some(rest) = maps::LB_TUPLES6.get_ptr_mut(index)
            {
                *rest = tuple.rest;
            }
        }
    }

    #[cfg(feature = "lru")]
    #[inline(always)]
    fn find_flow(&self, sought: Sought<'_, KernelBucket>, tuple: impl Fn() -> TupleRecord) -> Found {
        lru::find(self, &sought, tuple())
    }

    #[cfg(feature = "lru")]
    #[inline(always)]
    fn refresh_flow(
        &self,
        sought: Sought<'_, KernelBucket>,
        tuple: impl Fn() -> TupleRecord,
        found: &Found,
        expiry: u32,
    ) {
        lru::refresh(&sought, tuple(), found, expiry);
    }

    #[cfg(feature = "lru")]
    #[inline(always)]
    fn record_flow(
        &self,
        sought: Sought<'_, KernelBucket>,
        tuple: impl Fn() -> TupleRecord,
        _found: &Found,
        entry: Slot,
    ) -> Insert {
        lru::record(&sought, tuple(), entry)
    }
}
