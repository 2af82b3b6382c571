//! The state that a decision reads and the flow table that it writes, as a trait: BPF maps in the kernel, ordinary
//! memory on the host.

use crate::flow::{self, FlowBucket, Found, Insert, Slot, Sought};
use crate::hash::HashKeys;
use crate::layout::{
    AddressKey, BUCKET_SLOTS, FragmentKey, FragmentRecord, Member, Rule, RuleKey, Service, SteeringKey,
    TupleRecord, Vip,
};

use crate::rules::Match;

/// Whose a frame is, by the interface that it came by and the address that it was sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Owner {
    ThisHost,
    AnotherHost,
    /// Nothing is known of the interface.
    Unknown,
}

pub trait Tables {
    type Bucket: FlowBucket;

    fn keys(&self) -> &HashKeys;

    /// The second to judge by, on the data plane's clock; asked for only by a packet that is ours.
    fn now(&self) -> u32;

    fn rule(&self, key: &RuleKey) -> Option<Rule>;

    fn vip(&self, key: &AddressKey) -> Option<Vip>;

    /// Whether a VIP with this key is a whole /96.
    #[inline(always)]
    fn owns_prefix(&self, key: &AddressKey) -> bool {
        self.vip(key)
            .is_some_and(|vip| vip.flags & Vip::WHOLE_PREFIX != 0)
    }

    /// Whether an address with this [`filter_key`](crate::layout::filter_key) may be a VIP's; a quick look that is never wrong
    /// when it says no.
    #[inline(always)]
    fn may_be_vip(&self, _filter_key: &AddressKey) -> bool {
        true
    }

    /// Counts the changes of all that is remembered below: read before a look-up, it says how old what was found is at most.
    #[inline(always)]
    fn epoch(&self) -> u32 {
        0
    }

    /// What `look_up` finds, or found in this epoch for the protocol and port of this exact key. [`Tables::owner`] was asked
    /// before, with the same epoch.
    #[inline(always)]
    fn recall(
        &self,
        _epoch: u32,
        _exact: &RuleKey,
        look_up: impl FnOnce() -> Result<Rule, Match>,
    ) -> Result<Rule, Match> {
        look_up()
    }

    /// What [`Tables::recall`] would give without a look-up, now; a quick look, which may always find nothing.
    #[inline(always)]
    fn recalled(&self, _exact: &RuleKey) -> Option<Rule> {
        None
    }

    /// Whose the frame is that was sent to `recipient` (a [`mac_word`](crate::layout::mac_word)). What is found is
    /// remembered in place of what was remembered before this epoch.
    fn owner(&self, epoch: u32, recipient: u64) -> Owner;

    /// Whether [`Tables::owner`] said last that such a frame is this host's. That is true where [`Tables::recalled`] finds
    /// something, too: whoever made that find in this epoch had asked for the owner before. A quick look, which may always
    /// say no.
    #[inline(always)]
    fn remembers_own(&self, _recipient: u64) -> bool {
        false
    }

    /// A packet to a VIP came by an interface that nothing is known of.
    fn note_not_judged(&self);

    /// The service of the longest source prefix in the steering set.
    fn steering(&self, key: &SteeringKey) -> Option<u32>;

    fn service(&self, number: u32) -> Option<Service>;

    fn member(&self, number: u32) -> Option<Member>;

    /// The member in a slot of the selection tables; 0 if the slot or the member is not there.
    fn selected(&self, slot: u32) -> u32;

    /// The zone that a client is in; 0 is none.
    fn zone(&self, client: &AddressKey) -> u32;

    /// The selection word of a zone of a service; 0 if there is none.
    fn zone_selection(&self, index: u32) -> u64;

    /// Where the first fragment of a datagram went.
    fn fragment(&self, key: &FragmentKey) -> Option<FragmentRecord>;

    fn remember_fragment(&self, key: &FragmentKey, record: &FragmentRecord);

    /// Whether echo requests to a VIP that no rule takes are answered.
    fn answers_echo(&self) -> bool;

    /// Buckets in the flow table.
    fn bucket_count(&self) -> u32;

    fn bucket(&self, index: u32) -> Option<&Self::Bucket>;

    /// Keeps the full tuple of flow-table slot `index` (bucket · 8 + slot).
    fn keep_tuple(&self, index: u32, tuple: &TupleRecord);

    /// The flow's living entry. This and the two that follow are the table of [`flow`], unless flows are kept otherwise.
    #[inline(always)]
    fn find_flow(&self, sought: Sought<'_, Self::Bucket>, _tuple: impl Fn() -> TupleRecord) -> Found {
        let Sought {
            bucket,
            place,
            service,
            tick,
        } = sought;
        flow::find(bucket, place.tag, tick, service, |number| self.member(number))
    }

    /// Restarts the idle timer of what was found.
    #[inline(always)]
    fn refresh_flow(
        &self,
        sought: Sought<'_, Self::Bucket>,
        _tuple: impl Fn() -> TupleRecord,
        found: &Found,
        expiry: u32,
    ) {
        flow::refresh(sought.bucket, found, expiry);
    }

    /// Records an entry, over what was found.
    #[inline(always)]
    fn record_flow(
        &self,
        sought: Sought<'_, Self::Bucket>,
        tuple: impl Fn() -> TupleRecord,
        found: &Found,
        entry: Slot,
    ) -> Insert {
        let insert = flow::insert(sought.bucket, entry, sought.tick, found);
        if let Insert::Recorded(slot) = insert {
            self.keep_tuple(sought.place.bucket * BUCKET_SLOTS + slot as u32, &tuple());
        }
        insert
    }
}
