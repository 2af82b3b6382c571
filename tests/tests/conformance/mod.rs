pub(crate) mod bench;
pub(crate) mod event;
pub(crate) mod world;
