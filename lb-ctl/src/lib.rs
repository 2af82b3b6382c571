//! The daemon and the command line: resources in, kernel maps out.

pub mod dataplane;
pub mod health;
pub mod model;
pub mod net;
pub mod plan;
pub mod resources;
pub mod views;
