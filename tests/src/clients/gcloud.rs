//! The gcloud CLI, where it is installed: it belongs to no package registry that the tests install from.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::{Api, Told};

const PROJECT: &str = "shop";

pub struct Gcloud<'a> {
    api: &'a Api<'a>,
}

impl<'a> Gcloud<'a> {
    /// Nothing, and a loud word, where gcloud is not installed.
    pub fn of(api: &'a Api<'a>) -> Option<Self> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let is_installed = std::env::split_paths(&path).any(|directory| directory.join("gcloud").is_file());
        if !is_installed {
            eprintln!("SKIPPED: gcloud is not installed here, so this test does nothing");
            return None;
        }
        Some(Self { api })
    }

    /// What `gcloud compute` prints for this line, words between blanks; it has to succeed.
    #[track_caller]
    pub fn compute(&self, line: &str) -> String {
        self.words(&line.split_whitespace().collect::<Vec<_>>()).well()
    }

    /// The same with JSON as its output.
    #[track_caller]
    pub fn json(&self, line: &str) -> Value {
        let text = self.compute(&format!("{line} --format=json"));
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{line}: {error}: {text}"))
    }

    /// What it complains of; it has to fail.
    #[track_caller]
    pub fn refused(&self, line: &str) -> String {
        let told = self.words(&line.split_whitespace().collect::<Vec<_>>());
        assert!(!told.status.success(), "{told}");
        told.stderr
    }

    /// How `gcloud compute` with these words ends.
    pub fn words(&self, words: &[&str]) -> Told {
        let mut command = self.command("gcloud");
        Told::by(command.arg("compute").args(words))
    }

    /// A program that finds gcloud set up for this API alone: no credentials, no questions, no other settings.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = self.api.client(Path::new(program.as_ref()));
        command
            .env("CLOUDSDK_CONFIG", self.api.daemon.directory().join("gcloud"))
            .env(
                "CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE",
                format!("{}/compute/v1/", self.api.url()),
            )
            .env("CLOUDSDK_AUTH_DISABLE_CREDENTIALS", "true")
            .env("CLOUDSDK_CORE_DISABLE_PROMPTS", "1")
            .env("CLOUDSDK_CORE_DISABLE_USAGE_REPORTING", "true")
            .env("CLOUDSDK_CORE_CHECK_GCE_METADATA", "false")
            .env("CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK", "true")
            .env("CLOUDSDK_CORE_PROJECT", PROJECT)
            .current_dir(self.api.daemon.directory());
        command
    }
}
