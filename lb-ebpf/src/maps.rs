//! The only file that owns maps; typed getters leave it. Sizes are defaults: the loader sets what was asked for.

use core::mem::MaybeUninit;

use aya_ebpf::bindings::{BPF_F_MMAPABLE, BPF_F_NO_PREALLOC};
use aya_ebpf::helpers::generated::bpf_jiffies64;
use aya_ebpf::macros::map;
use aya_ebpf::maps::lpm_trie::{Key, LpmTrie};
use aya_ebpf::maps::xdp::DevMapHash;
use aya_ebpf::maps::{Array, HashMap, LruHashMap, PerCpuArray};
use lb_common::layout::{
    AddressKey, BUCKET_SLOTS, Backend, FilterBit, FragmentKey, FragmentRecord, Member, MemberCounter, Rule,
    RuleKey, Service, SteeringKey, TupleRecord, VerdictCounter, Vip, size,
};
use lb_common::parse::Network;
use lb_common::verdict::{REASON_SLOTS, Reason, Verdict};

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
pub(crate) static LB_TUPLES: Array<TupleRecord> = Array::with_max_entries(size::FLOW_SLOTS, BPF_F_MMAPABLE);
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
static LB_VERDICTS: PerCpuArray<VerdictCounter> = PerCpuArray::with_max_entries(REASON_SLOTS, 0);
#[map]
static LB_MEMBER_STATS: PerCpuArray<MemberCounter> = PerCpuArray::with_max_entries(size::MEMBERS, 0);

/// What is too large for the stack, one for each CPU: XDP programs don't interrupt each other.
pub(crate) struct Scratch {
    pub(crate) network: Network,
    /// What an ICMP error quotes.
    pub(crate) quoted: MaybeUninit<Network>,
}

#[map]
static LB_SCRATCH: PerCpuArray<MaybeUninit<Scratch>> = PerCpuArray::with_max_entries(1, 0);

/// Keeps `network` outside of the stack, and makes room for another.
#[inline(always)]
pub(crate) fn scratch(network: Network) -> Option<&'static mut Scratch> {
    let scratch = LB_SCRATCH.get_ptr_mut(0)?;
    // SAFETY: this CPU's value, which nobody else refers to while the program runs.
    Some(unsafe {
        (*scratch).write(Scratch {
            network,
            quoted: MaybeUninit::uninit(),
        })
    })
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

/// The match of a packet, as this CPU looked it up in some epoch.
struct RecentRule {
    exact: RuleKey,
    /// The low bits; 0 in an entry that was never used.
    epoch: u32,
    rule: Rule,
}

/// Each for 32 bytes on each CPU; only those in use are in its caches.
const RECENT_RULES: u32 = 1 << 12;

#[map]
static LB_RECENT_RULES: PerCpuArray<RecentRule> = PerCpuArray::with_max_entries(RECENT_RULES, 0);

/// The epoch of the rules: user space counts it up after each change. Read before a look-up, it says how old that is at
/// most.
#[inline(always)]
fn epoch() -> u32 {
    // SAFETY: a reference is valid to read; volatile, because user space writes it.
    LB_EPOCH
        .get(0)
        .map_or(0, |epoch| unsafe { core::ptr::read_volatile(epoch) } as u32)
}

#[inline(always)]
fn recent_rule_at(exact: &RuleKey) -> Option<&'static mut RecentRule> {
    let [a, b, c, d] = exact.address;
    let folded = a.rotate_left(7) ^ b.rotate_left(14) ^ c.rotate_left(21) ^ d ^ exact.block.rotate_left(3);
    let index = folded.wrapping_mul(0x9e37_79b1) >> (32 - RECENT_RULES.trailing_zeros());
    let entry = LB_RECENT_RULES.get_ptr_mut(index)?;
    // SAFETY: this CPU's value, which nobody else refers to while the program runs.
    Some(unsafe { &mut *entry })
}

/// What is found is kept; that nothing is found is not, because strangers choose what is looked for.
#[inline(always)]
pub(crate) fn recall<E>(exact: &RuleKey, look_up: impl FnOnce() -> Result<Rule, E>) -> Result<Rule, E> {
    let epoch = epoch();
    let recent = recent_rule_at(exact);
    if let Some(recent) = &recent
        && recent.epoch == epoch
        && epoch != 0
        && recent.exact == *exact
    {
        return Ok(recent.rule);
    }
    let rule = look_up()?;
    if let Some(recent) = recent {
        *recent = RecentRule {
            exact: *exact,
            epoch,
            rule,
        };
    }
    Ok(rule)
}

/// The time that this CPU last asked for, and how long it stands.
struct Watch {
    jiffies: u64,
    now: u64,
}

#[map]
static LB_WATCH: PerCpuArray<Watch> = PerCpuArray::with_max_entries(1, 0);

/// What `ask` says, asked once a jiffy: the coarse clock stands still in between, and jiffies are read without a call.
#[inline(always)]
pub(crate) fn watched(ask: impl Fn() -> u32) -> u32 {
    let Some(watch) = LB_WATCH.get_ptr_mut(0) else {
        return ask();
    };
    // SAFETY: this CPU's value, which nobody else refers to while the program runs.
    let watch = unsafe { &mut *watch };
    // SAFETY: a helper without arguments.
    let jiffies = unsafe { bpf_jiffies64() };
    if watch.jiffies != jiffies {
        watch.now = u64::from(ask());
        watch.jiffies = jiffies;
    }
    watch.now as u32
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

/// Counts the outcome, per CPU, so without atomics.
#[inline(always)]
pub(crate) fn count(verdict: &Verdict, bytes: u64) {
    if let Some(counter) = LB_VERDICTS.get_ptr_mut(verdict.reason as u32) {
        // SAFETY: the map owns the value and no other CPU writes it.
        let counter = unsafe { &mut *counter };
        counter.packets += 1;
        counter.bytes += bytes;
    }
    if verdict.member == 0 {
        return;
    }
    if let Some(counter) = LB_MEMBER_STATS.get_ptr_mut(verdict.member) {
        // SAFETY: as above.
        let counter = unsafe { &mut *counter };
        counter.packets += 1;
        counter.bytes += bytes;
        counter.new_flows += u64::from(matches!(
            verdict.reason,
            Reason::ForwardNew | Reason::ForwardDiverted
        ));
        counter.persisted += u64::from(matches!(verdict.reason, Reason::ForwardPersisted));
    }
}
