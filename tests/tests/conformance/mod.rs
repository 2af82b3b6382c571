pub(crate) mod boundaries;
pub(crate) mod event;
pub(crate) mod pools;
pub(crate) mod subsets;
pub(crate) mod tuples;

/// The second in which worlds begin.
pub(crate) const START: u32 = 4003;
