//! The server over real sockets, against a controller without a data plane.

mod compute;
pub(crate) mod harness;
mod limits;
mod listen;
mod mutate;
mod operation;
mod own;
mod route;
