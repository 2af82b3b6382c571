//! The files of `--config`: the version in force, and why a newer one is not.

use std::sync::Arc;

use jiff::Timestamp;

use super::Controller;
use super::change::{Asker, Change, FilesRead, Ground};
use crate::config_files::ConfigFiles;
use crate::control::ControlError;
use crate::resources::{Document, Fault};
use crate::views;

pub(super) struct Files {
    given: ConfigFiles,
    /// Of the version in force.
    documents: Option<Arc<Vec<Document>>>,
    status: views::ConfigStatus,
}

impl Files {
    /// None read yet.
    pub(super) fn new(given: ConfigFiles) -> Self {
        Self {
            given,
            documents: None,
            status: views::ConfigStatus::default(),
        }
    }

    pub(super) fn status(&self) -> views::ConfigStatus {
        self.status.clone()
    }

    fn accept(&mut self, read: FilesRead) {
        self.documents = Some(Arc::new(read.documents));
        self.status = views::ConfigStatus {
            files: read.count,
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

impl Controller {
    pub(super) fn ground(&self) -> Ground {
        Ground {
            in_force: self.in_force.clone(),
            scope: self.settings.scope.clone(),
            room: self.room.clone(),
            files: self.files.given.clone(),
            documents: self.files.documents.clone(),
            files_refused: self.files.status.refused.is_some(),
            snapshot: self.snapshot(),
        }
    }

    /// The files may say something new.
    pub(super) fn reload_files(&mut self) {
        if !self.files.given.is_empty() {
            self.ask_for(Change::Files, Asker::Files);
        }
    }

    /// What stood in the way of a refused version may have gone.
    pub(super) fn retry_files(&mut self) {
        if self.files.status.refused.is_some() {
            self.reload_files();
        }
    }

    /// Nothing when they say what they said.
    pub(super) fn files_accepted(&mut self, read: Option<FilesRead>) {
        if let Some(read) = read {
            self.files.accept(read);
        }
    }

    pub(super) fn files_refused(&mut self, error: ControlError) {
        self.files.refuse(match error {
            ControlError::Faults(faults) => told(&faults),
            other => vec![other.to_string()],
        });
    }
}

fn told(faults: &[Fault]) -> Vec<String> {
    faults.iter().map(ToString::to_string).collect()
}
