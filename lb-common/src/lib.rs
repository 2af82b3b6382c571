//! The load balancer's packet decision.
//!
//! Pure: no clock, no map, no allocation, no IO. The same code is compiled into the XDP program and into the
//! host tools, so a test, a plan and an explanation can't drift from the data plane.
#![cfg_attr(not(any(test, feature = "std")), no_std)]

pub mod policy;
