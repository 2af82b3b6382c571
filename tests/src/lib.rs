//! The laboratory: network namespaces joined by a bridge, real kernel stacks in them, and traffic between them.
//!
//! A test makes a [`topology::Lab`], starts [`traffic::backend::Backend`]s and a [`daemon::Daemon`], and looks at what
//! a client sees. Everything panics with a sentence instead of returning errors, and everything that was made goes away
//! on drop, on panic, on Ctrl-C, and at the latest when the next laboratory is made.

pub mod answers;
mod api;
pub mod balanced;
pub mod bench;
pub mod capture;
pub mod chaos;
mod cleanup;
pub mod clients;
pub mod condition;
pub mod conformance;
pub mod daemon;
pub mod demo;
pub mod documents;
pub mod health_scale;
pub mod held;
pub mod migration;
pub mod multitude;
pub mod netns;
pub mod packet;
pub mod performance;
pub mod pins;
pub mod process;
pub mod random;
pub mod resources;
pub mod tmpfs;
pub mod topology;
pub mod traffic;
pub mod witness;
mod xdp;
