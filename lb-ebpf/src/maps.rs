//! The only file that owns maps; typed getters leave it. Sizes are defaults: the loader sets what was asked for.

use core::cell::UnsafeCell;
use core::mem::MaybeUninit;

use aya_ebpf::bindings::{BPF_F_MMAPABLE, BPF_F_NO_PREALLOC};
use aya_ebpf::helpers::generated::bpf_jiffies64;
use aya_ebpf::macros::map;
use aya_ebpf::maps::lpm_trie::{Key, LpmTrie};
use aya_ebpf::maps::xdp::DevMapHash;
use aya_ebpf::maps::{Array, HashMap, LruHashMap, PerCpuArray};
use lb_common::layout::{
    AddressKey, BUCKET_SLOTS, Backend, CpuState, FilterBit, FragmentKey, FragmentRecord, Interface, Member,
    MemberCounter, OwnMac, Rule, RuleKey, Service, SteeringKey, TupleHead, TupleRest, Vip, about, size,
};
use lb_common::opaque::hide;
use lb_common::parse::Network;
use lb_common::tables::Owner;
use lb_common::verdict::{REASON_SLOTS, Reason};

use crate::kernel::KernelBucket;

#[map]
pub(crate) static LB_RULES: HashMap<RuleKey, Rule> =
    HashMap::with_max_entries(size::RULES, BPF_F_NO_PREALLOC);
#[map]
pub(crate) static LB_VIPS: HashMap<AddressKey, Vip> =
    HashMap::with_max_entries(size::VIPS, BPF_F_NO_PREALLOC);
#[map]
pub(crate) static LB_STEERING: LpmTrie<SteeringKey, u32> =
    LpmTrie::with_max_entries(size::STEERING, BPF_F_NO_PREALLOC);
#[map]
pub(crate) static LB_SERVICES: Array<Service> = Array::with_max_entries(size::SERVICES, BPF_F_MMAPABLE);
#[map]
pub(crate) static LB_MEMBERS: Array<Member> = Array::with_max_entries(size::MEMBERS, BPF_F_MMAPABLE);
#[map]
static LB_BACKENDS: Array<Backend> = Array::with_max_entries(size::BACKENDS, BPF_F_MMAPABLE);
#[map]
static LB_PROBES: Array<u64> = Array::with_max_entries(size::PROBES, BPF_F_MMAPABLE);
#[map]
pub(crate) static LB_TABLES: Array<u64> = Array::with_max_entries(size::TABLE_SLOTS / 2, BPF_F_MMAPABLE);
#[map]
pub(crate) static LB_FLOWS: Array<KernelBucket> =
    Array::with_max_entries(size::FLOW_SLOTS / BUCKET_SLOTS, BPF_F_MMAPABLE);
#[map]
pub(crate) static LB_TUPLES: Array<TupleHead> = Array::with_max_entries(size::FLOW_SLOTS, BPF_F_MMAPABLE);
#[map]
pub(crate) static LB_TUPLES6: Array<TupleRest> = Array::with_max_entries(size::FLOW_SLOTS, BPF_F_MMAPABLE);
#[map]
static LB_ZONES: LpmTrie<AddressKey, u32> = LpmTrie::with_max_entries(size::ZONES, BPF_F_NO_PREALLOC);
#[map]
pub(crate) static LB_ZONE_TABLES: Array<u64> = Array::with_max_entries(size::ZONE_TABLES, BPF_F_MMAPABLE);
#[map]
pub(crate) static LB_FRAGMENTS: LruHashMap<FragmentKey, FragmentRecord> =
    LruHashMap::with_max_entries(size::FRAGMENTS, 0);
#[map]
pub(crate) static LB_DEVICES: DevMapHash = DevMapHash::with_max_entries(size::DEVICES, 0);
#[map]
static LB_VIP_FILTER: Array<u64> = Array::with_max_entries(size::VIP_FILTER, BPF_F_MMAPABLE);
#[map]
static LB_EPOCH: Array<u64> = Array::with_max_entries(1, BPF_F_MMAPABLE);
#[map]
static LB_INTERFACES: HashMap<u64, Interface> = HashMap::with_max_entries(size::INTERFACES, 0);
#[map]
static LB_OWN_MACS: HashMap<OwnMac, u64> = HashMap::with_max_entries(size::OWN_MACS, BPF_F_NO_PREALLOC);
/// No packet asks for it.
#[map]
static LB_ABOUT: Array<u64> = Array::with_max_entries(about::WORDS, BPF_F_MMAPABLE);
#[map]
static LB_CPU: PerCpuArray<CpuState> = PerCpuArray::with_max_entries(1, 0);
#[map]
static LB_MEMBER_STATS: PerCpuArray<MemberCounter> = PerCpuArray::with_max_entries(size::MEMBERS, 0);

/// What is too large for the stack, one for each CPU: XDP programs don't interrupt each other.
pub(crate) struct Scratch {
    pub(crate) network: Network,
    /// What an ICMP error quotes.
    pub(crate) quoted: Network,
}

#[map]
static LB_SCRATCH: PerCpuArray<MaybeUninit<Scratch>> = PerCpuArray::with_max_entries(1, 0);

/// Keeps `network` outside of the stack.
#[inline(always)]
pub(crate) fn fill_scratch(network: Network) {
    if let Some(scratch) = LB_SCRATCH.get_ptr_mut(0) {
        let filled = Scratch {
            network,
            quoted: network,
        };
        // SAFETY: this CPU's value, which nobody else refers to while the program runs.
        unsafe { (*scratch).write(filled) };
    }
}

/// What this CPU's scratch memory was filled with.
#[inline(always)]
pub(crate) fn scratch() -> Option<&'static mut Scratch> {
    let scratch = LB_SCRATCH.get_ptr_mut(0)?;
    // SAFETY: this CPU's value, which nobody else refers to while the program runs, and filled by the caller.
    Some(unsafe { (*scratch).assume_init_mut() })
}

#[inline(always)]
pub(crate) fn may_be_vip(address: &AddressKey) -> bool {
    let FilterBit { word, mask } = FilterBit::of(address);
    LB_VIP_FILTER.get(word).is_none_or(|word| {
        // SAFETY: a reference is valid to read; volatile, because user space writes it.
        let word = unsafe { core::ptr::read_volatile(word) };
        word & mask != 0
    })
}

/// Whether the VIP of this /96 owns all of it. A function of its own in the kernel too: its key has no room on the stack of
/// those who ask, and hardly anybody asks.
#[inline(never)]
pub(crate) fn owns_prefix(first: u64, third: u64) -> bool {
    let key = [first, third];
    // SAFETY: an address key is as large and less aligned.
    let key = unsafe { &*(&raw const key).cast::<AddressKey>() };
    // SAFETY: the flags are one word.
    unsafe { LB_VIPS.get(key) }.is_some_and(|vip| vip.flags & Vip::WHOLE_PREFIX != 0)
}

/// The match of a packet, as this CPU looked it up in some epoch.
#[derive(Clone, Copy)]
#[repr(C)]
struct RecentRule {
    address: [u64; 2],
    /// The block, and in the high half the epoch's low bits; an entry that was never used has epoch 0.
    stamped: u64,
    rule: Rule,
}

/// Two in each set of 64 bytes: two that fall into one set don't evict each other by turns.
type RecentRules = [RecentRule; 2];

/// Only those in use are in a CPU's caches.
const RECENT_RULES: u32 = 1 << 13;

#[map]
static LB_RECENT_RULES: PerCpuArray<RecentRules> = PerCpuArray::with_max_entries(RECENT_RULES, 0);

/// The epoch of rules and Ethernet addresses: user space counts it up after each change. Read before a look-up, it says how
/// old that is at most.
#[inline(always)]
pub(crate) fn epoch() -> u32 {
    // SAFETY: a reference is valid to read; volatile, because user space writes it.
    LB_EPOCH
        .get(0)
        .map_or(0, |epoch| unsafe { core::ptr::read_volatile(epoch) } as u32)
}

#[inline(always)]
fn recent_rules(exact: &RuleKey) -> Option<&'static mut RecentRules> {
    let [a, b, c, d] = exact.address;
    let folded = a.rotate_left(7) ^ b.rotate_left(14) ^ c.rotate_left(21) ^ d ^ exact.block.rotate_left(3);
    let index = folded.wrapping_mul(0x9e37_79b1) >> (32 - RECENT_RULES.trailing_zeros());
    let set = LB_RECENT_RULES.get_ptr_mut(index)?;
    // SAFETY: this CPU's value, which nobody else refers to while the program runs.
    Some(unsafe { &mut *set })
}

impl RecentRule {
    #[inline(always)]
    fn new(exact: &RuleKey, epoch: u32, rule: Rule) -> Self {
        let [a, b, c, d] = exact.address.map(u64::from);
        Self {
            address: [a | (b << 32), c | (d << 32)],
            stamped: u64::from(exact.block) | (u64::from(epoch) << 32),
            rule,
        }
    }

    #[inline(always)]
    fn is_of(&self, other: &Self) -> bool {
        self.stamped == other.stamped && self.address == other.address
    }
}

/// What [`recall`] found for the same key in this epoch.
#[inline(always)]
pub(crate) fn recalled(epoch: u32, exact: &RuleKey) -> Option<Rule> {
    let [first, second] = recent_rules(exact)?;
    let sought = RecentRule::new(exact, epoch, Rule::NONE);
    if epoch == 0 {
        None
    } else if first.is_of(&sought) {
        Some(first.rule)
    } else if second.is_of(&sought) {
        Some(second.rule)
    } else {
        None
    }
}

/// What is found is kept; that nothing is found is not, because strangers choose what is looked for.
#[inline(always)]
pub(crate) fn recall<E>(
    epoch: u32,
    exact: &RuleKey,
    look_up: impl FnOnce() -> Result<Rule, E>,
) -> Result<Rule, E> {
    if let Some(rule) = recalled(epoch, exact) {
        return Ok(rule);
    }
    let rule = look_up()?;
    if let Some([first, second]) = recent_rules(exact) {
        // The older of the two goes.
        *second = *first;
        *first = RecentRule::new(exact, epoch, rule);
    }
    Ok(rule)
}

/// What this CPU keeps; XDP programs don't interrupt each other.
#[inline(always)]
pub(crate) fn cpu() -> Option<&'static CpuCell> {
    let state = LB_CPU.get_ptr_mut(0)?;
    // SAFETY: this CPU's value, of the same layout; nobody else writes it while the program runs.
    Some(unsafe { &*state.cast() })
}

/// [`CpuState`], for one CPU to write through shared references.
#[repr(transparent)]
pub(crate) struct CpuCell(UnsafeCell<CpuState>);

impl CpuCell {
    /// What `ask` says, asked once a jiffy: the coarse clock stands still in between, and jiffies are read without a call.
    #[inline(always)]
    pub(crate) fn watched(&self, ask: impl Fn() -> u32) -> u32 {
        // SAFETY: this CPU's own, and no other reference into it lives.
        let state = unsafe { &mut *self.0.get() };
        // SAFETY: a helper without arguments.
        let jiffies = unsafe { bpf_jiffies64() };
        if state.asked != jiffies {
            state.now = u64::from(ask());
            state.asked = jiffies;
        }
        state.now as u32
    }

    /// Whether [`owner`] said last that such a frame is this host's.
    #[inline(always)]
    pub(crate) fn remembers_own(&self, ifindex: u32, recipient: u64) -> bool {
        // SAFETY: as above.
        let state = unsafe { &*self.0.get() };
        state.own_mac == recipient && state.own_ifindex == ifindex
    }

    #[inline(always)]
    fn own_epoch(&self) -> u32 {
        // SAFETY: as above.
        unsafe { (*self.0.get()).own_epoch }
    }

    #[inline(always)]
    fn remember_own(&self, epoch: u32, ifindex: u32, recipient: u64, mtu: u64) {
        // SAFETY: as above.
        let state = unsafe { &mut *self.0.get() };
        state.own_mac = recipient;
        state.own_ifindex = ifindex;
        state.own_epoch = epoch;
        state.own_mtu = mtu;
    }

    #[inline(always)]
    pub(crate) fn note_not_judged(&self) {
        // SAFETY: as above.
        unsafe { (*self.0.get()).not_judged += 1 };
    }

    /// Counts an outcome, without atomics.
    #[inline(always)]
    pub(crate) fn count(&self, reason: Reason, bytes: u64) {
        // SAFETY: as above.
        let state = unsafe { &mut *self.0.get() };
        // The compiler knows how large a reason is, and would leave out what shows the verifier.
        let number = hide(reason as u64) as usize & (REASON_SLOTS as usize - 1);
        let counter = &mut state.verdicts[number];
        counter.packets += 1;
        counter.bytes += bytes;
    }
}

/// What is known of the interface that packets arrive on.
#[inline(always)]
pub(crate) fn interface(ifindex: u32) -> Option<&'static Interface> {
    // SAFETY: an entry that is replaced meanwhile is read as it was or as it is, each word for itself: the address of one
    // and the MTU of the other are both true of the interface at about this moment.
    unsafe { LB_INTERFACES.get(u64::from(ifindex)) }
}

/// Whose the frame is. That it is this host's is remembered in place of what was before; that it is another's is not, because
/// strangers choose what is looked for. A function of its own in the kernel too, so that it costs nothing where it is not
/// needed; the number of an [`Owner`].
#[inline(never)]
pub(crate) fn owner(epoch: u32, ifindex: u32, recipient: u64) -> u32 {
    let Some(cpu) = cpu() else {
        return Owner::Unknown as u32;
    };
    if cpu.own_epoch() == epoch && cpu.remembers_own(ifindex, recipient) {
        return Owner::ThisHost as u32;
    }
    let key = OwnMac {
        ifindex: ifindex.into(),
        mac: recipient,
    };
    // SAFETY: that there is an entry is all that is asked.
    let is_own = unsafe { LB_OWN_MACS.get(key) }.is_some();
    let owner = match (interface(ifindex), is_own) {
        (Some(interface), true) => {
            cpu.remember_own(epoch, ifindex, recipient, interface.mtu);
            Owner::ThisHost
        }
        (Some(_), false) => Owner::AnotherHost,
        (None, _) => {
            cpu.remember_own(epoch, 0, 0, 0);
            Owner::Unknown
        }
    };
    owner as u32
}

#[inline(always)]
pub(crate) fn steering(key: &SteeringKey) -> Option<u32> {
    LB_STEERING
        .get(Key::new(SteeringKey::SCOPE_BITS + 128, *key))
        .copied()
}

/// The zone of a client; 0 is none.
#[inline(always)]
pub(crate) fn zone(client: &AddressKey) -> u32 {
    LB_ZONES.get(Key::new(128, *client)).map_or(0, |zone| *zone)
}

#[inline(always)]
pub(crate) fn backend(number: u32) -> Option<&'static Backend> {
    LB_BACKENDS.get(number)
}

/// How the probes of this number are delivered; nothing while they can't be.
#[inline(always)]
pub(crate) fn probe(number: u32) -> Option<&'static Backend> {
    backend(*LB_PROBES.get(number)? as u32)
}

/// Counts what became of packets to a member, per CPU, so without atomics.
#[inline(always)]
pub(crate) fn count_member(member: u32, reason: Reason, bytes: u64) {
    if let Some(counter) = LB_MEMBER_STATS.get_ptr_mut(member) {
        // SAFETY: the map owns the value and no other CPU writes it.
        let counter = unsafe { &mut *counter };
        counter.packets += 1;
        counter.bytes += bytes;
        match reason {
            Reason::ForwardNew | Reason::ForwardDiverted => counter.new_flows += 1,
            Reason::ForwardPersisted => counter.persisted += 1,
            _ => {}
        }
    }
}
