//! Documents onto resources: all of them or none. Additive: what the documents do not name stays, unless pruned.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::document::Document;
use super::draft::{Draft, Drafts, Report};
use super::fault::{Fault, FaultKind, Warning};
use super::kind::Scope;
use super::set::{Resource, Resources};
use super::tables::{self, TableRoom};
use super::{change, config, link, rules};
use crate::model::{Config, ResourcePath};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Resources that the documents do not name stay.
    Additive,
    /// They go.
    Prune,
    /// They stay, and those named keep what the API does not change.
    InPlace,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    Created,
    Updated,
    Unchanged,
    Deleted,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub path: ResourcePath,
    pub kind: ChangeKind,
}

/// What an apply would make.
#[derive(Clone, Debug)]
pub struct Applied {
    pub resources: Resources,
    /// The same as `resources.config()`.
    pub config: Config,
    /// By path: every resource that the documents name, and every deleted one.
    pub changes: Vec<Change>,
    /// The file, or other source, of every resource that the documents name.
    pub sources: BTreeMap<ResourcePath, String>,
    /// Where in its source each of them is, such as `$[3]`.
    pub places: BTreeMap<ResourcePath, String>,
    pub warnings: Vec<Warning>,
}

impl Applied {
    /// A fault of the first of `resources` that the documents name; else of the first.
    pub fn fault(&self, resources: &[ResourcePath], reason: &str) -> Fault {
        let named = resources.iter().find(|path| self.sources.contains_key(path));
        match (named, resources.first()) {
            (Some(path), _) => Fault {
                source: self.sources[path].clone(),
                path: self.places.get(path).cloned().unwrap_or_default(),
                ..Fault::of_resource(path, FaultKind::Invalid, reason)
            },
            (None, Some(path)) => Fault::of_resource(path, FaultKind::Invalid, reason),
            (None, None) => Fault::of_source("the configuration", FaultKind::Invalid, reason),
        }
    }
}

impl Resources {
    /// As where there is no data plane.
    pub fn apply(
        &self,
        documents: &[Document],
        scope: &Scope,
        mode: Mode,
        now: Timestamp,
    ) -> Result<Applied, Vec<Fault>> {
        self.apply_within(documents, scope, mode, now, &TableRoom::default())
    }

    /// Every fault, that tables have no room among them, or the next resources.
    pub fn apply_within(
        &self,
        documents: &[Document],
        scope: &Scope,
        mode: Mode,
        now: Timestamp,
        room: &TableRoom,
    ) -> Result<Applied, Vec<Fault>> {
        let mut report = Report::default();
        let mut drafts = new_drafts(documents, scope, &mut report);
        let sources = sources_of(&drafts);
        let places = drafts
            .iter()
            .map(|(path, draft)| (path.clone(), draft.json_path().to_owned()));
        let places = places.collect();
        let named: BTreeSet<ResourcePath> = sources.keys().cloned().collect();
        self.keep_members(&mut drafts);
        if mode != Mode::Prune {
            self.add_unnamed(&mut drafts, &mut report);
        }
        link::resolve(&mut drafts, &mut report);
        if mode == Mode::InPlace {
            self.check_changes(&drafts, &mut report);
        }
        rules::check(&drafts, &mut report);
        let mut config = config::build(&drafts, &mut report);
        if !report.faults.is_empty() {
            return Err(sorted(report.faults));
        }
        let mut resources = self.next(&drafts, now);
        resources.put_sizes(&mut config, room);
        resources.decide_sizes(self, &mut config, room);
        resources.keep_sizes(&config);
        tables::check_room(self, &config, &drafts, room, &mut report);
        if !report.faults.is_empty() {
            return Err(sorted(report.faults));
        }
        tables::warn_of_coarse_shares(&config, &drafts, &mut report);
        let changes = self.changes(&resources, &named);
        Ok(Applied {
            resources,
            config,
            changes,
            sources,
            places,
            warnings: report.warnings,
        })
    }

    /// The model, and what is worth telling about it.
    pub fn config(&self) -> Result<(Config, Vec<Warning>), Vec<Fault>> {
        self.config_within(&TableRoom::default())
    }

    /// The same, where tables exist whose size was never decided.
    pub fn config_within(&self, room: &TableRoom) -> Result<(Config, Vec<Warning>), Vec<Fault>> {
        let mut report = Report::default();
        let drafts = self.drafts(&mut report);
        rules::check(&drafts, &mut report);
        let mut config = config::build(&drafts, &mut report);
        self.put_sizes(&mut config, room);
        if report.faults.is_empty() {
            tables::warn_of_coarse_shares(&config, &drafts, &mut report);
            Ok((config, report.warnings))
        } else {
            Err(sorted(report.faults))
        }
    }

    fn drafts(&self, report: &mut Report) -> Drafts {
        let mut drafts = Drafts::new();
        self.add_unnamed(&mut drafts, report);
        link::resolve(&mut drafts, report);
        drafts
    }

    fn add_unnamed(&self, drafts: &mut Drafts, report: &mut Report) {
        for (path, resource) in &self.all {
            if !drafts.contains_key(path) {
                drafts.insert(path.clone(), Draft::of_stored(path, resource, report));
            }
        }
    }

    fn check_changes(&self, drafts: &Drafts, report: &mut Report) {
        for draft in drafts.values().filter(|draft| draft.is_new) {
            if let Some(before) = self.get(&draft.path) {
                change::check(draft, before, report);
            }
        }
    }

    /// A group's document without members is judged with the members that the group has.
    fn keep_members(&self, drafts: &mut Drafts) {
        for (path, draft) in drafts {
            if let (Some(field), Some(before)) = (draft.kind.members_field(), self.all.get(path)) {
                draft
                    .value
                    .entry(field)
                    .or_insert_with(|| before.members.clone().into());
            }
        }
    }

    fn next(&self, drafts: &Drafts, now: Timestamp) -> Self {
        let make = |(path, draft): (&ResourcePath, &Draft)| {
            let before = self.all.get(path);
            let resource = match before {
                Some(before) if !draft.is_new => before.clone(),
                _ => Resource::of_draft(draft, before, now),
            };
            (path.clone(), resource)
        };
        Self {
            all: drafts.iter().map(make).collect(),
        }
    }

    fn changes(&self, next: &Self, named: &BTreeSet<ResourcePath>) -> Vec<Change> {
        let paths: BTreeSet<&ResourcePath> = self.all.keys().chain(next.all.keys()).collect();
        let change = |path: &ResourcePath| {
            let kind = match (self.all.get(path), next.all.get(path)) {
                (None, _) => ChangeKind::Created,
                (_, None) => ChangeKind::Deleted,
                (Some(before), Some(after)) if before.says_what(after) => ChangeKind::Unchanged,
                _ => ChangeKind::Updated,
            };
            (kind != ChangeKind::Unchanged || named.contains(path)).then(|| Change {
                path: path.clone(),
                kind,
            })
        };
        paths.into_iter().filter_map(change).collect()
    }
}

/// The resources that documents define, and where, whether or not they are right.
pub fn sources(documents: &[Document], scope: &Scope) -> BTreeMap<ResourcePath, String> {
    sources_of(&new_drafts(documents, scope, &mut Report::default()))
}

fn sources_of(drafts: &Drafts) -> BTreeMap<ResourcePath, String> {
    let sources = drafts.iter();
    sources
        .map(|(path, draft)| (path.clone(), draft.source().to_owned()))
        .collect()
}

pub(super) fn new_drafts(documents: &[Document], scope: &Scope, report: &mut Report) -> Drafts {
    let mut drafts = Drafts::new();
    for document in documents {
        let Some(draft) = Draft::of_document(document, scope, report) else {
            continue;
        };
        if let Some(first) = drafts.get(&draft.path) {
            report.invalid(
                &draft,
                "name",
                format!("the same {} stands here twice", first.described()),
            );
            continue;
        }
        drafts.insert(draft.path.clone(), draft);
    }
    drafts
}

/// As a reader of the documents comes upon them.
pub(crate) fn sorted(mut faults: Vec<Fault>) -> Vec<Fault> {
    faults.sort_by(|a, b| (&a.source, natural(&a.path)).cmp(&(&b.source, natural(&b.path))));
    faults.dedup();
    faults
}

/// Orders `$[10]` after `$[9]`.
fn natural(path: &str) -> Vec<(u64, &str)> {
    path.split(['[', ']'])
        .map(|part| (part.parse().unwrap_or(u64::MAX), part))
        .collect()
}
