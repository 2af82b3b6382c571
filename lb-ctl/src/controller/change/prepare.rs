//! Judging a change and planning for it: pure, and beside the loop, because it may take a while.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::inputs::Snapshot;
use super::{Change, InForce, vips};
use crate::config_files::{ConfigFiles, FromFiles, judge};
use crate::control::{ApplyOptions, ApplyReport, ControlError, ResourceMap, resource_map};
use crate::model::{Config, ResourcePath};
use crate::plan::{BuiltTable, LeftOut, PlanError};
use crate::resources::{
    Applied, ChangeKind, Document, Fault, FaultKind, OwnedChanges, Owners, Resources, Scope, TableRoom,
    sorted,
};

/// What a change is judged by.
pub(in super::super) struct Ground {
    pub(in super::super) in_force: InForce,
    pub(in super::super) scope: Scope,
    pub(in super::super) room: Arc<TableRoom>,
    pub(in super::super) files: ConfigFiles,
    /// Of the version in force.
    pub(in super::super) documents: Option<Arc<Vec<Document>>>,
    /// Whether the files were refused last.
    pub(in super::super) files_refused: bool,
    pub(in super::super) snapshot: Snapshot,
}

/// A change that fits.
#[derive(Clone)]
pub(in super::super) struct Prepared {
    pub(in super::super) resources: Arc<Resources>,
    pub(in super::super) owners: Arc<Owners>,
    /// Absent when packets don't depend on the change.
    pub(in super::super) config: Option<Arc<Config>>,
    pub(in super::super) published: Arc<ResourceMap>,
    /// What the store has to learn.
    pub(in super::super) changes: OwnedChanges,
    pub(in super::super) built: Vec<BuiltTable>,
    pub(in super::super) report: ApplyReport,
    /// What is worth logging.
    pub(in super::super) news: Vec<String>,
    pub(in super::super) files: Option<Arc<FilesRead>>,
}

/// A version of the files of `--config`.
#[derive(Clone)]
pub(in super::super) struct FilesRead {
    pub(in super::super) documents: Vec<Document>,
    /// Resources by file.
    pub(in super::super) count: BTreeMap<String, usize>,
}

pub(super) fn prepare(change: Change, ground: &Ground) -> Result<Prepared, ControlError> {
    match change {
        Change::Apply(documents, options) => apply(&documents, &options, ground),
        Change::Delete(path) => delete(&path, ground),
        Change::SetIamPolicy(path, policy) => {
            let resources = ground.in_force.resources.with_iam_policy(&path, policy);
            let resources = resources.map_err(|fault| ControlError::from(*fault))?;
            Ok(unplanned(ground, resources))
        }
        Change::TableSlots(path, slots) => table_slots(&path, slots, ground),
        Change::KeepTableSizes => {
            let mut resources = Resources::clone(&ground.in_force.resources);
            resources.keep_sizes(&ground.in_force.config);
            Ok(unplanned(ground, resources))
        }
        Change::Files => files(ground),
    }
}

fn apply(documents: &[Document], options: &ApplyOptions, ground: &Ground) -> Result<Prepared, ControlError> {
    if let Some(edit) = &options.edit {
        edit.check(&ground.in_force.published)?;
    }
    let scope = options.scope(&ground.scope);
    let now = jiff::Timestamp::now();
    let applied =
        ground
            .in_force
            .resources
            .apply_within(documents, &scope, options.mode(), now, &ground.room);
    let applied = unless_refused(applied, vips::refused(documents, &scope, ground))?;
    refuse_owned(&applied, &ground.in_force.owners)?;
    let mut report = ApplyReport::new(&applied, options);
    report.warnings.extend(vips::new_doubts(&applied.config, ground));
    if options.dry_run {
        let same = Resources::clone(&ground.in_force.resources);
        return Ok(Prepared {
            report,
            ..unplanned(ground, same)
        });
    }
    let news = news(&applied);
    let owners = ground.in_force.owners.clone();
    let built = fit(ground, &applied.config, |left_out| {
        applied.fault(&left_out.resources, &left_out.reason)
    })?;
    let prepared = made(ground, applied.resources, owners, applied.config, built);
    Ok(Prepared {
        report,
        news,
        ..prepared
    })
}

/// All faults at once, whoever found them.
fn unless_refused<T>(judged: Result<T, Vec<Fault>>, refused: Vec<Fault>) -> Result<T, Vec<Fault>> {
    match judged {
        Ok(judged) if refused.is_empty() => Ok(judged),
        Ok(_) => Err(refused),
        Err(faults) => Err(sorted(faults.into_iter().chain(refused).collect())),
    }
}

fn delete(path: &ResourcePath, ground: &Ground) -> Result<Prepared, ControlError> {
    let in_force = &ground.in_force;
    if let Some(file) = in_force.owners.get(path) {
        return Err(owned_fault(path, file).into());
    }
    let resources = in_force.resources.delete(path);
    let resources = resources.map_err(|fault| ControlError::from(*fault))?;
    let (config, _) = resources.config_within(&ground.room)?;
    planned(ground, resources, in_force.owners.clone(), config)
}

/// Nothing, when they are of that size already.
fn table_slots(path: &ResourcePath, slots: u32, ground: &Ground) -> Result<Prepared, ControlError> {
    let in_force = &ground.in_force;
    let (resources, config) = in_force.resources.with_table_slots(path, slots, &ground.room)?;
    if config == *in_force.config {
        return Ok(unplanned(ground, resources));
    }
    planned(ground, resources, in_force.owners.clone(), config)
}

/// The files may say something new: all of it is taken, or none.
fn files(ground: &Ground) -> Result<Prepared, ControlError> {
    let in_force = &ground.in_force;
    let documents = ground.files.read()?;
    if ground.documents.as_deref() == Some(&documents) && !ground.files_refused {
        tracing::debug!("the files of --config say what they said");
        return Ok(unplanned(ground, Resources::clone(&in_force.resources)));
    }
    let from_files = judge(
        &in_force.resources,
        &in_force.owners,
        &ground.files,
        &documents,
        &ground.scope,
        &ground.room,
    );
    let refused = vips::refused(&documents, &ground.scope, ground);
    let from_files = unless_refused(from_files, refused)?;
    from_version(ground, documents, from_files)
}

pub(in super::super) fn from_version(
    ground: &Ground,
    documents: Vec<Document>,
    from_files: FromFiles,
) -> Result<Prepared, ControlError> {
    let count = count(&from_files);
    let FromFiles {
        applied,
        owners,
        dropped,
    } = from_files;
    let mut news = news(&applied);
    let changed = applied.changes.iter();
    let changed = changed
        .filter(|change| change.kind != ChangeKind::Unchanged)
        .count();
    if changed + dropped.len() > 0 {
        news.push(format!(
            "loaded the files of --config: {changed} resources changed, {} removed",
            dropped.len()
        ));
    }
    let built = fit(ground, &applied.config, |left_out| {
        applied.fault(&left_out.resources, &left_out.reason)
    })?;
    let prepared = made(ground, applied.resources, Arc::new(owners), applied.config, built);
    Ok(Prepared {
        news,
        files: Some(Arc::new(FilesRead { documents, count })),
        ..prepared
    })
}

/// Nothing that packets depend on.
fn unplanned(ground: &Ground, resources: Resources) -> Prepared {
    let in_force = &ground.in_force;
    let owners = in_force.owners.clone();
    Prepared {
        changes: OwnedChanges::between((&in_force.resources, &owners), (&resources, &owners)),
        resources: Arc::new(resources),
        owners,
        config: None,
        published: in_force.published.clone(),
        built: Vec::new(),
        report: ApplyReport::default(),
        news: Vec::new(),
        files: None,
    }
}

/// With the tables that it needs; refused if it does not fit the data plane.
fn planned(
    ground: &Ground,
    resources: Resources,
    owners: Arc<Owners>,
    config: Config,
) -> Result<Prepared, ControlError> {
    let built = fit(ground, &config, fault)?;
    Ok(made(ground, resources, owners, config, built))
}

/// The tables that a configuration needs, or every resource of it that does not fit the data plane.
fn fit(
    ground: &Ground,
    config: &Config,
    fault: impl Fn(&LeftOut) -> Fault,
) -> Result<Vec<BuiltTable>, ControlError> {
    let built = ground.snapshot.fits(config);
    built.map_err(|PlanError(left_out)| {
        let faults: Vec<Fault> = left_out.iter().map(fault).collect();
        faults.into()
    })
}

fn made(
    ground: &Ground,
    resources: Resources,
    owners: Arc<Owners>,
    config: Config,
    built: Vec<BuiltTable>,
) -> Prepared {
    let in_force = &ground.in_force;
    Prepared {
        changes: OwnedChanges::between((&in_force.resources, &in_force.owners), (&resources, &owners)),
        published: Arc::new(resource_map(&resources)),
        resources: Arc::new(resources),
        owners,
        config: Some(Arc::new(config)),
        built,
        report: ApplyReport::default(),
        news: Vec::new(),
        files: None,
    }
}

/// What a file of `--config` defines is changed in the file.
fn refuse_owned(applied: &Applied, owners: &Owners) -> Result<(), ControlError> {
    let changed = applied
        .changes
        .iter()
        .filter(|change| change.kind != ChangeKind::Unchanged);
    let faults: Vec<Fault> = changed
        .filter_map(|change| Some(owned_fault(&change.path, owners.get(&change.path)?)))
        .collect();
    if faults.is_empty() {
        Ok(())
    } else {
        Err(faults.into())
    }
}

/// What is worth telling of the documents. Of what was there before it was told when that came.
fn news(applied: &Applied) -> Vec<String> {
    let new = applied
        .warnings
        .iter()
        .filter(|warning| applied.sources.contains_key(&warning.resource));
    new.map(ToString::to_string).collect()
}

pub(in super::super) fn tell(news: &[String]) {
    for sentence in news {
        tracing::info!("{sentence}");
    }
}

/// Resources by file.
fn count(from_files: &FromFiles) -> BTreeMap<String, usize> {
    let mut files = BTreeMap::new();
    for file in from_files.owners.values() {
        *files.entry(file.clone()).or_default() += 1;
    }
    files
}

fn fault(left_out: &LeftOut) -> Fault {
    match left_out.resources.first() {
        Some(resource) => Fault::of_resource(resource, FaultKind::Invalid, left_out.reason.clone()),
        None => Fault::of_source("the configuration", FaultKind::Invalid, left_out.reason.clone()),
    }
}

fn owned_fault(path: &ResourcePath, file: &str) -> Fault {
    Fault::of_resource(
        path,
        FaultKind::Invalid,
        format!("it is defined by {file}; change it there"),
    )
}
