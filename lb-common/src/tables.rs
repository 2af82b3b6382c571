//! The state that a decision reads and the flow table that it writes, as a trait: BPF maps in the kernel, ordinary
//! memory on the host.

use crate::flow::FlowBucket;
use crate::hash::HashKeys;
use crate::layout::{
    AddressKey, FragmentKey, FragmentRecord, Member, Rule, RuleKey, Service, SteeringKey, TupleRecord, Vip,
};

pub trait Tables {
    type Bucket: FlowBucket;

    fn keys(&self) -> &HashKeys;

    /// The second to judge by, on the data plane's clock; asked for only by a packet that is ours.
    fn now(&self) -> u32;

    fn rule(&self, key: &RuleKey) -> Option<Rule>;

    fn vip(&self, key: &AddressKey) -> Option<Vip>;

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
}
