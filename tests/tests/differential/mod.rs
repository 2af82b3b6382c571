pub(crate) mod expect;
pub(crate) mod packet;
pub(crate) mod random;
pub(crate) mod sequence;
pub(crate) mod world;
