//! What outlives the daemon in its state directory: numbers and drains, health, the hash seed.
//!
//! The history of the plan and health are rows of a database, and a change is kept by the rows that it changes. They
//! need not survive a loss of power: after a boot the maps are gone, and with them what the numbers name.

mod volatile;

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::Path;

use anyhow::Context as _;
use imbl::ordmap::DiffItem;

use self::volatile::{Rows, Volatile, Writer};
use crate::health::{HealthState, TargetId};
use crate::plan::contents::Contents;
use crate::plan::{Plan, SavedPlan, ServiceKey, ServicePlan};

/// The incarnation of the maps that the plan's rows were made for.
const MAPS: Rows = Rows::new("maps");
const COMMON: Rows = Rows::new("plan");
const SERVICES: Rows = Rows::new("services");
const MEMBERS: Rows = Rows::new("members");
const HEALTH: Rows = Rows::new("health");
/// Of a table with one row.
const ONLY: () = ();

const SEED_FILE: &str = "hash-seed";

#[derive(Debug)]
pub struct History {
    rows: Volatile,
    /// What the rows say, and of which maps; nothing before the first plan is kept.
    kept: Option<(u32, Plan)>,
    incarnation: u32,
}

impl History {
    pub fn open(directory: &Path) -> anyhow::Result<Self> {
        let rows = Volatile::open(directory, &boot_id())
            .with_context(|| format!("opening the history in {}", directory.display()))?;
        Ok(Self { rows, kept: None, incarnation: 0 })
    }

    /// Health as it was known last in this boot.
    pub fn health(&self) -> BTreeMap<TargetId, HealthState> {
        self.rows.read(HEALTH).unwrap_or_else(|error| {
            tracing::warn!("{} does not tell health: {error}", self.rows.path().display());
            BTreeMap::new()
        })
    }

    /// The plan that the maps were last written by. Without its history nobody knows what their numbers name: then
    /// the plan starts from nothing, and the first difference clears what the maps hold.
    pub fn adopt(&mut self, incarnation: u32, actual: &Contents) -> Plan {
        self.incarnation = incarnation;
        match self.read_plan(incarnation) {
            Ok(Some(saved)) => return Plan::adopt(saved, actual),
            Ok(None) if actual.services.is_empty() => {}
            Ok(None) => tracing::warn!(
                "{} does not fit the pinned maps: connections start anew",
                self.rows.path().display()
            ),
            Err(error) => tracing::warn!(
                "{} can't be read, connections start anew: {error}",
                self.rows.path().display()
            ),
        }
        Plan::default()
    }

    fn read_plan(&self, incarnation: u32) -> Result<Option<SavedPlan>, redb::Error> {
        let maps: Vec<((), u32)> = self.rows.read(MAPS)?;
        if !maps.contains(&(ONLY, incarnation)) {
            return Ok(None);
        }
        let common: Vec<((), _)> = self.rows.read(COMMON)?;
        Ok(Some(SavedPlan {
            common: common
                .into_iter()
                .map(|(_, common)| common)
                .next()
                .unwrap_or_default(),
            services: self.rows.read(SERVICES)?,
            members: self.rows.read(MEMBERS)?,
        }))
    }

    pub fn save_plan(&mut self, plan: &Plan, incarnation: u32) -> anyhow::Result<()> {
        let kept = self.kept.take().filter(|(of, _)| *of == incarnation);
        let write = match &kept {
            Some((_, before)) => {
                let changes = Changes::between(before, plan);
                match changes.is_empty() {
                    true => Ok(()),
                    false => self.rows.write(|writer| changes.write(plan, writer)),
                }
            }
            None => self.rows.write(|writer| {
                for rows in [MAPS, COMMON, SERVICES, MEMBERS] {
                    writer.clear(rows)?;
                }
                writer.put(MAPS, &ONLY, &incarnation)?;
                Changes::all(plan).write(plan, writer)
            }),
        };
        write.with_context(|| format!("writing {}", self.rows.path().display()))?;
        self.kept = Some((incarnation, plan.clone()));
        Ok(())
    }

    /// Keeps what is known of targets; nothing for those that are no more.
    pub(super) fn save_health<'a>(
        &self,
        states: impl IntoIterator<Item = (&'a TargetId, Option<&'a HealthState>)>,
    ) {
        let mut states = states.into_iter().peekable();
        if states.peek().is_none() {
            return;
        }
        let saved = self.rows.write(|writer| {
            for (target, state) in states {
                match state {
                    Some(state) => writer.put(HEALTH, target, state)?,
                    None => writer.remove(HEALTH, target)?,
                }
            }
            Ok(())
        });
        if let Err(error) = saved {
            tracing::warn!("writing {}: {error}", self.rows.path().display());
        }
    }
}

/// The rows of a plan that are not as those of another one.
struct Changes<'a> {
    common: bool,
    services: Vec<(&'a ServiceKey, &'a ServicePlan)>,
    members: Vec<(&'a ServiceKey, &'a ServicePlan)>,
    gone: Vec<&'a ServiceKey>,
}

impl<'a> Changes<'a> {
    fn all(plan: &'a Plan) -> Self {
        let services: Vec<_> = plan
            .services
            .iter()
            .map(|(key, service)| (key, &**service))
            .collect();
        Self {
            common: true,
            members: services.clone(),
            services,
            gone: Vec::new(),
        }
    }

    fn between(before: &'a Plan, plan: &'a Plan) -> Self {
        let mut changes = Self {
            common: !plan.has_common_of(before),
            services: Vec::new(),
            members: Vec::new(),
            gone: Vec::new(),
        };
        for item in before.services.diff(&plan.services) {
            match item {
                DiffItem::Add(key, service) => {
                    changes.services.push((key, service));
                    changes.members.push((key, service));
                }
                DiffItem::Update {
                    old: (_, old),
                    new: (key, new),
                } => {
                    if old.save() != new.save() {
                        changes.services.push((key, new));
                    }
                    if old.save_members() != new.save_members() {
                        changes.members.push((key, new));
                    }
                }
                DiffItem::Remove(key, _) => changes.gone.push(key),
            }
        }
        changes
    }

    fn is_empty(&self) -> bool {
        !self.common && self.services.is_empty() && self.members.is_empty() && self.gone.is_empty()
    }

    fn write(&self, plan: &Plan, writer: &Writer) -> Result<(), redb::Error> {
        if self.common {
            writer.put(COMMON, &ONLY, &plan.save_common())?;
        }
        for (key, service) in &self.services {
            writer.put(SERVICES, key, &service.save())?;
        }
        for (key, service) in &self.members {
            writer.put(MEMBERS, key, &service.save_members())?;
        }
        for key in &self.gone {
            writer.remove(SERVICES, key)?;
            writer.remove(MEMBERS, key)?;
        }
        Ok(())
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

pub trait Keeper: Send {
    fn save(&mut self, plan: &Plan, health: Vec<(TargetId, Option<HealthState>)>) -> futures_util::future::BoxFuture<'static, Result<(), KeepError>>;
}
impl Keeper for History {
    fn save(&mut self, plan: &Plan, health: Vec<(TargetId, Option<HealthState>)>) -> futures_util::future::BoxFuture<'static, Result<(), KeepError>> {
        let saved = self.save_plan(plan, self.incarnation).map_err(|e| KeepError(format!("{e:#}")));
        self.save_health(health.iter().map(|(t, s)| (t, s.as_ref())));
        Box::pin(std::future::ready(saved))
    }
}
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct KeepError(String);
impl KeepError { pub fn of(text: &str) -> Self { Self(text.to_owned()) } }
