//! The resource side: Compute Engine JSON in, the typed configuration out.
//!
//! `document` reads text, `schema` holds every field of the reference and walks a value against it, `link` finds
//! what a reference names, `rules` judges what fields mean together, `apply` makes the next `Resources` out of the
//! present ones, and `config` makes the model. Faults are collected, never thrown at the first. Nothing here does
//! IO except `document` (reads) and `store` (the state directory).

mod apply;
mod change;
mod config;
mod document;
mod draft;
mod encode;
mod fault;
mod hint;
mod kind;
mod lenient;
mod link;
mod locate;
mod members;
mod rules;
mod schema;
mod set;
mod store;
mod tables;
mod typed;
mod vips;

#[cfg(test)]
mod tests;

pub(crate) use apply::sorted;
pub use apply::{Applied, Change, ChangeKind, Mode, sources};
pub(crate) use change::fixed_fields;
pub use config::validate;
pub use document::{Document, parse, read};
pub(crate) use encode::fingerprint;
pub use fault::{Fault, FaultKind, Warning, error_body};
pub(crate) use hint::nearest;
pub use kind::{Kind, Scope};
pub(crate) use members::member_faults;
pub(crate) use schema::is_name as is_resource_name;
pub use schema::{FieldShape, field_shape};
pub(crate) use set::probe_field;
pub use set::{Resource, Resources};
pub use store::{
    DatabaseStore, DirectoryError, Failure, Followed, Latch, MemoryStore, OwnedChanges, Owners,
    ResourceStore, StoreError, StoreId, StoreState, Stored,
};
pub use tables::{DefaultSlots, TableRoom, coarse_shares};
pub(crate) use tables::{is_size as is_table_size, sizes as table_sizes};
pub use vips::RefusedVip;
