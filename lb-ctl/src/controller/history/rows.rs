//! A plan as rows, so that a change is kept by the rows that it changes.

use imbl::ordmap::DiffItem;

use super::volatile::{Rows, Volatile, Writer};
use crate::health::{HealthState, TargetId};
use crate::plan::{Plan, SavedPlan, ServiceKey, ServicePlan};

/// The incarnation of the maps that the plan's rows were made for.
const MAPS: Rows = Rows::new("maps");
const COMMON: Rows = Rows::new("plan");
const SERVICES: Rows = Rows::new("services");
const MEMBERS: Rows = Rows::new("members");
const HEALTH: Rows = Rows::new("health");
/// Of a table with one row.
const ONLY: () = ();

/// What is known of targets; nothing for those that are no more.
pub type HealthChanges = Vec<(TargetId, Option<HealthState>)>;

pub(super) fn read_incarnation(rows: &Volatile) -> Result<Option<u32>, redb::Error> {
    let maps: Vec<((), u32)> = rows.read(MAPS)?;
    Ok(maps.into_iter().map(|(_, incarnation)| incarnation).next())
}

pub(super) fn read_plan(rows: &Volatile) -> Result<SavedPlan, redb::Error> {
    let common: Vec<((), _)> = rows.read(COMMON)?;
    Ok(SavedPlan {
        common: common
            .into_iter()
            .map(|(_, common)| common)
            .next()
            .unwrap_or_default(),
        services: rows.read(SERVICES)?,
        members: rows.read(MEMBERS)?,
    })
}

pub(super) fn read_health<C: FromIterator<(TargetId, HealthState)>>(
    rows: &Volatile,
) -> Result<C, redb::Error> {
    rows.read(HEALTH)
}

/// The rows are of these maps from now on, whatever they were of.
pub(super) fn write_incarnation(rows: &Volatile, incarnation: u32) -> Result<(), redb::Error> {
    rows.write(|writer| writer.put(MAPS, &ONLY, &incarnation))
}

/// In one commit: what differs from the plan that the rows are known to hold, or all of it.
pub(super) fn write(
    rows: &Volatile,
    before: Option<&Plan>,
    plan: &Plan,
    incarnation: u32,
    health: &HealthChanges,
) -> Result<(), redb::Error> {
    let changes = match before {
        Some(before) => Changes::between(before, plan),
        None => Changes::all(plan),
    };
    if before.is_some() && changes.is_empty() && health.is_empty() {
        return Ok(());
    }
    rows.write(|writer| {
        if before.is_none() {
            for rows in [MAPS, COMMON, SERVICES, MEMBERS] {
                writer.clear(rows)?;
            }
            writer.put(MAPS, &ONLY, &incarnation)?;
        }
        changes.write(plan, writer)?;
        for (target, state) in health {
            match state {
                Some(state) => writer.put(HEALTH, target, state)?,
                None => writer.remove(HEALTH, target)?,
            }
        }
        Ok(())
    })
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
