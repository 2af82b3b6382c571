//! The load balancer's packet decision.
//!
//! Pure: no clock, no map, no allocation, no IO. The same code is compiled into the XDP program and into the
//! host tools, so a test, a plan and an explanation can't drift from the data plane.
//!
//! The way of a packet is [`parse`] → [`decide`] → [`verdict`] → [`rewrite`]; the state that a decision reads is
//! behind the [`tables::Tables`] trait, and [`layout`] is the shape of that state in the kernel's maps.
#![cfg_attr(not(any(test, feature = "std")), no_std)]
#![cfg_attr(target_arch = "bpf", feature(asm_experimental_arch))]

pub mod checksum;
pub mod clock;
pub mod decide;
pub mod flow;
#[cfg(test)]
mod frames;
pub mod hash;
pub mod layout;
pub mod maglev;
pub mod martian;
pub mod opaque;
pub mod parse;
pub mod policy;
pub mod rendezvous;
pub mod rewrite;
pub mod rules;
pub mod tables;
#[cfg(any(test, feature = "std"))]
pub mod testing;
pub mod verdict;
pub mod wire;
