//! The server over real sockets, against a controller without a data plane.

mod access;
mod batch;
mod compute;
pub(crate) mod harness;
mod iam;
mod limits;
mod listen;
mod lists;
mod mutate;
mod odd;
mod operation;
mod own;
mod route;
mod scopes;
