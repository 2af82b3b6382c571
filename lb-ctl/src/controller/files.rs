//! The files of `--config`: the version in force, and why a newer one is not.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::Controller;
use super::change::tell;
use crate::config_files::{ConfigFiles, FromFiles, judge};
use crate::control::ControlError;
use crate::resources::{ChangeKind, Document, Fault};
use crate::views;

pub(super) struct Files {
    given: ConfigFiles,
    /// Of the version in force.
    documents: Vec<Document>,
    status: views::ConfigStatus,
}

impl Files {
    pub(super) fn new(given: ConfigFiles, documents: Vec<Document>, from_files: &FromFiles) -> Self {
        let mut files = Self {
            given,
            documents: Vec::new(),
            status: views::ConfigStatus::default(),
        };
        files.accept(documents, count(from_files));
        files
    }

    pub(super) fn status(&self) -> views::ConfigStatus {
        self.status.clone()
    }

    fn accept(&mut self, documents: Vec<Document>, files: BTreeMap<String, usize>) {
        self.documents = documents;
        self.status = views::ConfigStatus {
            files,
            loaded_at: (!self.given.is_empty()).then(now),
            refused: None,
        };
    }

    /// What was told already is not told again.
    fn refuse(&mut self, faults: Vec<String>) {
        let known = self.status.refused.as_ref().map(|refused| &refused.faults);
        if known == Some(&faults) {
            return;
        }
        for fault in &faults {
            tracing::error!("{fault}");
        }
        tracing::error!("the files of --config are refused as a whole; what was in force stays");
        self.status.refused = Some(views::RefusedConfig {
            refused_at: now(),
            faults,
        });
    }
}

fn now() -> String {
    format!("{:.3}", Timestamp::now())
}

/// Resources by file.
fn count(from_files: &FromFiles) -> BTreeMap<String, usize> {
    let mut files = BTreeMap::new();
    for file in from_files.owners.values() {
        *files.entry(file.clone()).or_default() += 1;
    }
    files
}

impl Controller {
    /// The files may say something new: all of it is taken, or none.
    pub(super) async fn reload_files(&mut self) {
        let documents = match self.files.given.read() {
            Ok(documents) => documents,
            Err(faults) => return self.files.refuse(told(&faults)),
        };
        if documents == self.files.documents && self.files.status.refused.is_none() {
            tracing::debug!("the files of --config say what they said");
            return;
        }
        let judged = judge(
            &self.resources,
            &self.owners,
            &self.files.given,
            &documents,
            &self.settings.scope,
        );
        let from_files = match judged {
            Ok(from_files) => from_files,
            Err(faults) => return self.files.refuse(told(&faults)),
        };
        let files = count(&from_files);
        match self.adopt_files(from_files) {
            Ok(()) => {
                self.files.accept(documents, files);
                self.after_change().await;
            }
            Err(error) => self.files.refuse(match error {
                ControlError::Faults(faults) => told(&faults),
                other => vec![other.to_string()],
            }),
        }
    }

    /// What stood in the way of a refused version may have gone.
    pub(super) async fn retry_files(&mut self) {
        if self.files.status.refused.is_some() {
            self.reload_files().await;
        }
    }

    pub(super) fn adopt_files(&mut self, from_files: FromFiles) -> Result<(), ControlError> {
        let FromFiles {
            applied,
            owners,
            dropped,
        } = from_files;
        tell(&applied);
        let changes = applied.changes.iter();
        let changed = changes
            .filter(|change| change.kind != ChangeKind::Unchanged)
            .count();
        self.commit_owned(applied.resources, owners, applied.config)?;
        if changed + dropped.len() > 0 {
            tracing::info!(
                "loaded the files of --config: {changed} resources changed, {} removed",
                dropped.len()
            );
        }
        Ok(())
    }
}

fn told(faults: &[Fault]) -> Vec<String> {
    faults.iter().map(ToString::to_string).collect()
}
