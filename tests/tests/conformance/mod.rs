pub(crate) mod event;
pub(crate) mod pools;
pub(crate) mod tuples;
