//! The state that a decision reads and the flow table that it writes, as a trait: BPF maps in the kernel, ordinary
//! memory on the host.

use crate::flow::FlowBucket;
use crate::hash::HashKeys;
use crate::layout::{AddressKey, Member, Rule, RuleKey, Service, SteeringKey, TupleRecord, Vip};

pub trait Tables {
    type Bucket: FlowBucket;

    fn keys(&self) -> &HashKeys;

    /// The tick to judge by; asked for at most once a packet, and only for a packet that is ours.
    fn now(&self) -> u32;

    fn rule(&self, key: &RuleKey) -> Option<Rule>;

    fn vip(&self, key: &AddressKey) -> Option<Vip>;

    /// The service of the longest source prefix in the steering set.
    fn steering(&self, key: &SteeringKey) -> Option<u32>;

    fn service(&self, number: u32) -> Option<Service>;

    fn member(&self, number: u32) -> Option<Member>;

    /// The member in a slot of the selection tables; 0 if the slot or the member is not there.
    fn selected(&self, slot: u32) -> u32;

    /// Buckets in the flow table.
    fn bucket_count(&self) -> u32;

    fn bucket(&self, index: u32) -> Option<&Self::Bucket>;

    /// Keeps the full tuple of flow-table slot `index` (bucket · 8 + slot).
    fn keep_tuple(&self, index: u32, tuple: &TupleRecord);
}
