pub(crate) mod bench;
pub(crate) mod event;
pub(crate) mod pools;
pub(crate) mod tuples;
pub(crate) mod world;
