//! What outlives the daemon in its state directory: numbers and drains, health, the hash seed.
//!
//! These files need not survive a loss of power: after a boot the maps are gone, and with them what the numbers name.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::health::{HealthState, TargetId};
use crate::plan::contents::Contents;
use crate::plan::{Plan, SavedPlan};

#[derive(Debug)]
pub struct History {
    directory: PathBuf,
    health: BTreeMap<TargetId, HealthState>,
    plan: Option<SavedPlan>,
}

/// Which maps a saved plan was made for.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Maps {
    boot: String,
    incarnation: u32,
}

#[derive(Serialize, Deserialize)]
struct PlanFile {
    maps: Maps,
    plan: SavedPlan,
}

#[derive(Serialize, Deserialize)]
struct HealthFile {
    boot: String,
    states: Vec<(TargetId, HealthState)>,
}

const PLAN_FILE: &str = "plan.json";
const HEALTH_FILE: &str = "health.json";
const SEED_FILE: &str = "hash-seed";

impl History {
    pub fn open(directory: &Path) -> Self {
        let health: Option<HealthFile> = read(&directory.join(HEALTH_FILE));
        let health = health.filter(|file| file.boot == boot_id());
        Self {
            directory: directory.to_owned(),
            health: health
                .map(|file| file.states.into_iter().collect())
                .unwrap_or_default(),
            plan: None,
        }
    }

    /// Health as it was known last in this boot.
    pub fn health(&self) -> BTreeMap<TargetId, HealthState> {
        self.health.clone()
    }

    /// The plan that the maps were last written by. Without its history nobody knows what their numbers name: then
    /// the plan starts from nothing, and the first difference clears what the maps hold.
    pub(super) fn adopt(&mut self, incarnation: u32, actual: &Contents) -> Plan {
        let file: Option<PlanFile> = read(&self.directory.join(PLAN_FILE));
        let maps = Maps {
            boot: boot_id(),
            incarnation,
        };
        match file.filter(|file| file.maps == maps) {
            Some(file) => Plan::adopt(file.plan, actual),
            None => {
                if !actual.services.is_empty() {
                    tracing::warn!(
                        "{} does not fit the pinned maps: connections start anew",
                        self.directory.join(PLAN_FILE).display()
                    );
                }
                Plan::default()
            }
        }
    }

    pub(super) fn save_plan(&mut self, plan: &Plan, incarnation: u32) -> anyhow::Result<()> {
        let saved = plan.save();
        if self.plan.as_ref() == Some(&saved) {
            return Ok(());
        }
        let maps = Maps {
            boot: boot_id(),
            incarnation,
        };
        write(
            &self.directory.join(PLAN_FILE),
            &PlanFile {
                maps,
                plan: saved.clone(),
            },
        )?;
        self.plan = Some(saved);
        Ok(())
    }

    pub(super) fn save_health(&mut self, health: &BTreeMap<TargetId, HealthState>) {
        if self.health == *health {
            return;
        }
        let states = health
            .iter()
            .map(|(target, state)| (target.clone(), state.clone()))
            .collect();
        match write(
            &self.directory.join(HEALTH_FILE),
            &HealthFile {
                boot: boot_id(),
                states,
            },
        ) {
            Ok(()) => self.health = health.clone(),
            Err(error) => tracing::warn!("{error:#}"),
        }
    }
}

/// The seed that was kept, or a new random one, which is kept.
pub fn kept_seed(directory: &Path) -> anyhow::Result<u128> {
    let path = directory.join(SEED_FILE);
    if let Ok(text) = fs::read_to_string(&path) {
        return u128::from_str_radix(text.trim(), 16)
            .with_context(|| format!("{} does not hold 32 hexadecimal digits", path.display()));
    }
    let mut bytes = [0; 16];
    let mut source = fs::File::open("/dev/urandom").context("opening /dev/urandom")?;
    source.read_exact(&mut bytes).context("reading /dev/urandom")?;
    let seed = u128::from_be_bytes(bytes);
    replace(&path, format!("{seed:032x}\n").as_bytes())?;
    Ok(seed)
}

fn boot_id() -> String {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim().to_owned()
}

fn read<T: for<'de> Deserialize<'de>>(path: &Path) -> Option<T> {
    let text = fs::read(path).ok()?;
    match serde_json::from_slice(&text) {
        Ok(value) => Some(value),
        Err(error) => {
            tracing::warn!("{} is damaged and ignored: {error}", path.display());
            None
        }
    }
}

fn write<T: Serialize>(path: &Path, value: &T) -> anyhow::Result<()> {
    replace(path, &serde_json::to_vec(value)?)
}

/// Whole or not at all. Readable by the owner alone: the seed is a secret.
fn replace(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let fresh = path.with_extension("new");
    let save = || -> std::io::Result<()> {
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&fresh)?;
        std::io::Write::write_all(&mut file, bytes)?;
        fs::rename(&fresh, path)
    };
    save().with_context(|| format!("writing {}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_seed_is_random_and_kept_for_the_owner_alone() {
        let [one, other] = [(); 2].map(|()| tempfile::tempdir().expect("a directory"));
        let seed = kept_seed(one.path()).expect("a new seed");
        assert_eq!(kept_seed(one.path()).expect("the kept seed"), seed);
        assert_ne!(kept_seed(other.path()).expect("another seed"), seed);
        let file = fs::metadata(one.path().join(SEED_FILE)).expect("the file");
        assert_eq!(file.permissions().mode() & 0o777, 0o600);
        fs::write(one.path().join(SEED_FILE), "not a seed").expect("writing");
        assert!(
            kept_seed(one.path()).is_err(),
            "a damaged seed is not replaced unasked"
        );
    }
}
