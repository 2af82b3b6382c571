//! The daemon and the command line: resources in, kernel maps out.

pub mod cli;
pub mod client;
pub mod config_files;
pub mod control;
pub mod controller;
pub mod daemon;
mod damage;
pub mod dataplane;
mod directory;
pub mod flowlog;
pub mod health;
pub mod model;
pub mod net;
pub mod output;
pub mod plan;
mod random;
pub mod resources;
pub mod server;
pub mod settings;
#[cfg(test)]
mod testing;
pub mod views;
