//! What gcloud's `--format`, `--filter` and `--sort-by` have in common: keys into a resource, such as
//! `backends[].group.basename()`, and how they are read.

mod cursor;
mod key;
#[cfg(test)]
mod tests;
mod transform;

pub(super) use self::cursor::Cursor;
pub use self::cursor::SyntaxError;
pub(super) use self::key::Key;
