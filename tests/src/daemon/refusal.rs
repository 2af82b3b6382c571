//! Starts that must not be.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use super::START;
use crate::process::Process;

/// The end of a `run` that could not start.
#[derive(Debug)]
pub struct Refusal {
    pub code: Option<i32>,
    pub complaint: String,
}

impl Refusal {
    /// Runs the command to its end.
    #[track_caller]
    pub fn of(command: &mut Command, log: &Path) -> Self {
        let stderr = fs::File::create(log).expect("making a log");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr);
        let status = Process::start("lb-ctl", command).wait(START);
        let complaint = fs::read_to_string(log).expect("lb-ctl writes text");
        Self {
            code: status.code(),
            complaint,
        }
    }

    #[track_caller]
    pub fn assert(&self, code: i32, parts: &[&str]) {
        assert_eq!(self.code, Some(code), "{}", self.complaint);
        for part in parts {
            assert!(self.complaint.contains(part), "no {part:?} in {}", self.complaint);
        }
    }
}
