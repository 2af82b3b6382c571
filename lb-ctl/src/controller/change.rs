//! Requests that change resources: judged whole, planned, kept, and brought into the maps.

use std::sync::Arc;

use serde_json::Value;

use super::Controller;
use crate::control::{ApplyOptions, ApplyReport, ControlError, resource_map};
use crate::model::{Config, ResourcePath};
use crate::plan::{Plan, PlanError, Scope as PlanScope};
use crate::resources::{Applied, ChangeKind, Document, Fault, FaultKind, OwnedChanges, Owners, Resources};

impl Controller {
    pub(super) async fn apply(
        &mut self,
        documents: &[Document],
        options: &ApplyOptions,
    ) -> Result<ApplyReport, ControlError> {
        if let Some(edit) = &options.edit {
            edit.check(&self.published.borrow())?;
        }
        let applied = self.judge(documents, options)?;
        self.refuse_owned(&applied)?;
        let report = ApplyReport::new(&applied, options);
        if !options.dry_run {
            self.adopt_config(applied)?;
            self.after_change().await;
            self.retry_files().await;
        }
        Ok(report)
    }

    pub(super) async fn delete(&mut self, path: &ResourcePath) -> Result<(), ControlError> {
        if let Some(file) = self.owners.get(path) {
            return Err(owned_fault(path, file).into());
        }
        let resources = self
            .resources
            .delete(path)
            .map_err(|fault| ControlError::from(*fault))?;
        let (config, _) = resources.config()?;
        self.commit(resources, config)?;
        self.after_change().await;
        self.retry_files().await;
        Ok(())
    }

    pub(super) fn iam_policy(&self, path: &ResourcePath) -> Result<Option<Value>, ControlError> {
        let resource = self.resources.get(path);
        let resource = resource.ok_or_else(|| ControlError::not_found(path))?;
        Ok(resource.iam_policy.clone())
    }

    /// Nothing that packets depend on: the store is all that learns of it.
    pub(super) fn set_iam_policy(&mut self, path: &ResourcePath, policy: Value) -> Result<(), ControlError> {
        let resources = self
            .resources
            .with_iam_policy(path, policy)
            .map_err(|fault| ControlError::from(*fault))?;
        self.keep(&resources, &self.owners)?;
        self.resources = resources;
        Ok(())
    }

    /// On disk when this returns: what differs from what is kept.
    fn keep(&self, resources: &Resources, owners: &Owners) -> Result<(), ControlError> {
        let changes = OwnedChanges::between((&self.resources, &self.owners), (resources, owners));
        if changes.is_empty() {
            return Ok(());
        }
        if let Some(reason) = &self.frozen {
            return Err(ControlError::Internal(reason.clone()));
        }
        let kept = self.store.propose(changes);
        tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(kept))
            .map_err(|error| ControlError::Internal(error.to_string()))
    }

    /// The resources as they would be, or every fault of the documents.
    pub(super) fn judge(
        &self,
        documents: &[Document],
        options: &ApplyOptions,
    ) -> Result<Applied, ControlError> {
        let scope = options.scope(&self.settings.scope);
        Ok(self
            .resources
            .apply(documents, &scope, options.mode(), jiff::Timestamp::now())?)
    }

    /// What a file of `--config` defines is changed in the file.
    pub(super) fn refuse_owned(&self, applied: &Applied) -> Result<(), ControlError> {
        let changed = applied
            .changes
            .iter()
            .filter(|change| change.kind != ChangeKind::Unchanged);
        let faults: Vec<Fault> = changed
            .filter_map(|change| Some(owned_fault(&change.path, self.owners.get(&change.path)?)))
            .collect();
        if faults.is_empty() {
            Ok(())
        } else {
            Err(faults.into())
        }
    }

    pub(super) fn adopt_config(&mut self, applied: Applied) -> Result<(), ControlError> {
        tell(&applied);
        self.commit(applied.resources, applied.config)
    }

    pub(super) fn commit(&mut self, resources: Resources, config: Config) -> Result<(), ControlError> {
        self.commit_owned(resources, self.owners.clone(), config)
    }

    /// All or nothing: the plan is made first, then the store holds the resources, then the maps.
    pub(super) fn commit_owned(
        &mut self,
        resources: Resources,
        owners: Owners,
        config: Config,
    ) -> Result<(), ControlError> {
        let heirs = self.pass_health_on(&config);
        let plan = self.plan_and_save(&resources, &owners, &config);
        let plan = plan.inspect_err(|_| heirs.iter().for_each(|heir| drop(self.health.remove(heir))))?;
        self.resources = resources;
        self.owners = owners;
        self.config = config;
        self.published
            .send_replace(Arc::new(resource_map(&self.resources)));
        let installed = self.install(plan);
        let inherited = heirs
            .iter()
            .map(|heir| (heir.clone(), self.health.get(heir).cloned()));
        self.keep_health(inherited.collect());
        self.follow_endpoints();
        installed.map_err(|error| ControlError::Internal(format!("{error:#}")))
    }

    fn plan_and_save(
        &mut self,
        resources: &Resources,
        owners: &Owners,
        config: &Config,
    ) -> Result<Plan, ControlError> {
        let plan = self.plan_for(config, PlanScope::All);
        let plan = plan.map_err(|error| does_not_fit(&error))?;
        self.keep(resources, owners)?;
        Ok(plan)
    }
}

/// What is worth telling of the documents. Of what was there before it was told when that came.
pub(super) fn tell(applied: &Applied) {
    let new = applied
        .warnings
        .iter()
        .filter(|warning| applied.sources.contains_key(&warning.resource));
    for warning in new {
        tracing::info!("{warning}");
    }
}

fn does_not_fit(error: &PlanError) -> ControlError {
    Fault::of_source("the configuration", FaultKind::Invalid, error.to_string()).into()
}

fn owned_fault(path: &ResourcePath, file: &str) -> Fault {
    Fault::of_resource(
        path,
        FaultKind::Invalid,
        format!("it is defined by {file}; change it there"),
    )
}
