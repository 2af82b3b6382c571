//! A controller with the real rules and without a data plane, for tests: what it holds has been judged as the daemon
//! would judge it.

use std::sync::Mutex;

use serde_json::json;

use super::fake::FakeControl;
use super::*;
use crate::resources::parse;
use crate::views::{EndpointHealth, FlowCount, FlowList, Stats, Status, Verification};

pub(crate) struct JudgingControl(Mutex<State>);

#[derive(Default)]
struct State {
    resources: Resources,
    published: Arc<ResourceMap>,
    /// What a file defines, and the file's name.
    owners: BTreeMap<ResourcePath, String>,
    /// How often something was stored.
    commits: usize,
}

/// A service with an endpoint group, a check and a rule, the same of an instance group, and spare ones; in the
/// project acme, the region r1 and the zone r1-a.
pub(crate) fn sample() -> JudgingControl {
    let control = JudgingControl(Mutex::default());
    let text = json!([
        {"kind": "compute#healthCheck", "name": "hc", "type": "TCP", "tcpHealthCheck": {"port": 80}},
        {"kind": "compute#healthCheck", "name": "ghc", "type": "TCP",
         "selfLink": "projects/acme/global/healthChecks/ghc"},
        {"kind": "compute#networkEndpointGroup", "name": "near", "networkEndpointType": "GCE_VM_IP",
         "networkEndpoints": [{"instance": "n1", "ipAddress": "10.0.0.1"}, {"instance": "n2", "ipAddress": "10.0.0.2"}]},
        {"kind": "compute#networkEndpointGroup", "name": "spare", "networkEndpointType": "GCE_VM_IP"},
        {"kind": "compute#instance", "name": "f1", "networkInterfaces": [{"networkIP": "10.0.5.1"}]},
        {"kind": "compute#instance", "name": "f2", "networkInterfaces": [{"networkIP": "10.0.5.2"}]},
        {"kind": "compute#instanceGroup", "name": "far", "instances": [{"instance": "f1"}]},
        {"kind": "compute#backendService", "name": "web", "loadBalancingScheme": "INTERNAL", "protocol": "TCP",
         "healthChecks": ["hc"], "backends": [{"group": "near"}]},
        {"kind": "compute#backendService", "name": "old", "loadBalancingScheme": "EXTERNAL", "protocol": "UNSPECIFIED",
         "healthChecks": ["hc"], "backends": [{"group": "far"}]},
        {"kind": "compute#forwardingRule", "name": "web-rule", "loadBalancingScheme": "INTERNAL",
         "IPAddress": "10.0.9.9", "IPProtocol": "TCP", "ports": ["80"], "backendService": "web"},
    ]);
    let documents = parse("sample", &text.to_string()).expect("documents");
    let applied = control.apply_now(&documents, &ApplyOptions::default());
    applied.expect("the sample to be right");
    control
}

impl JudgingControl {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().expect("no test panics while it holds the state")
    }

    /// As if a file of `--config` defined it.
    pub(crate) fn own(&self, path: &str, file: &str) {
        let path = ResourcePath::from_canonical(path);
        assert!(self.state().resources.get(&path).is_some(), "{path}");
        self.state().owners.insert(path, file.to_owned());
    }

    pub(crate) fn commits(&self) -> usize {
        self.state().commits
    }

    fn apply_now(&self, documents: &[Document], options: &ApplyOptions) -> Result<ApplyReport, ControlError> {
        let mut state = self.state();
        if let Some(edit) = &options.edit {
            edit.check(&state.published)?;
        }
        let defaults = Scope {
            project: "acme".to_owned(),
            region: "r1".to_owned(),
            zone: "r1-a".to_owned(),
        };
        let (scope, now) = (options.scope(&defaults), jiff::Timestamp::now());
        let applied = state.resources.apply(documents, &scope, options.mode(), now)?;
        let report = ApplyReport::new(&applied, options);
        for change in report
            .changes
            .iter()
            .filter(|c| c.action != ChangeAction::Unchanged)
        {
            refuse_owned(&state.owners, &change.path)?;
        }
        if !options.dry_run {
            state.commit(applied.resources);
        }
        Ok(report)
    }
}

impl State {
    fn commit(&mut self, resources: Resources) {
        self.published = Arc::new(resource_map(&resources));
        self.resources = resources;
        self.commits += 1;
    }
}

fn refuse_owned(owners: &BTreeMap<ResourcePath, String>, path: &ResourcePath) -> Result<(), ControlError> {
    match owners.get(path) {
        Some(file) => {
            let reason = format!("it is defined by {file}; change it there");
            Err(ControlError::of_resource(path, FaultKind::Invalid, reason))
        }
        None => Ok(()),
    }
}

type Answer<'a, T> = BoxFuture<'a, Result<T, ControlError>>;

fn ready<'a, T: Send + 'a>(value: Result<T, ControlError>) -> Answer<'a, T> {
    Box::pin(std::future::ready(value))
}

fn no_data_plane<'a, T: Send + 'a>() -> Answer<'a, T> {
    ready(Err(ControlError::NotAttached))
}

impl Control for JudgingControl {
    fn resources(&self) -> Arc<ResourceMap> {
        self.state().published.clone()
    }

    fn apply(&self, documents: Vec<Document>, options: ApplyOptions) -> Answer<'_, ApplyReport> {
        ready(self.apply_now(&documents, &options))
    }

    fn delete(&self, path: ResourcePath) -> Answer<'_, ()> {
        let mut state = self.state();
        let rest = refuse_owned(&state.owners, &path)
            .and_then(|()| state.resources.delete(&path).map_err(|fault| (*fault).into()));
        ready(rest.map(|rest| state.commit(rest)))
    }

    fn iam_policy(&self, path: ResourcePath) -> Answer<'_, Option<Value>> {
        let state = self.state();
        let resource = state.resources.get(&path);
        let policy = resource.map(|resource| resource.iam_policy.clone());
        ready(policy.ok_or_else(|| ControlError::not_found(&path)))
    }

    fn set_iam_policy(&self, path: ResourcePath, policy: Value) -> Answer<'_, ()> {
        let mut state = self.state();
        let with = state.resources.with_iam_policy(&path, policy);
        ready(
            with.map(|with| state.commit(with))
                .map_err(|fault| (*fault).into()),
        )
    }

    fn endpoint_health(
        &self,
        _service: ResourcePath,
        _group: Option<ResourcePath>,
    ) -> Answer<'_, Vec<EndpointHealth>> {
        ready(Ok(Vec::new()))
    }

    fn table_slots(&self, service: ResourcePath) -> Answer<'_, crate::views::TableSlots> {
        let state = self.state();
        let slots = state
            .resources
            .get(&service)
            .and_then(|resource| resource.table_slots.clone());
        ready(slots.map_or_else(
            || Err(ControlError::not_found(&service)),
            |slots| {
                Ok(crate::views::TableSlots {
                    service: service.clone(),
                    slots: slots.slots,
                    zones: slots.zones,
                    endpoints: 0,
                    note: None,
                })
            },
        ))
    }

    fn set_table_slots(&self, service: ResourcePath, slots: u32) -> Answer<'_, ()> {
        let mut state = self.state();
        let next = state
            .resources
            .with_table_slots(&service, slots, &Default::default());
        ready(next.map(|(next, _)| state.commit(next)).map_err(Into::into))
    }

    fn status(&self) -> Answer<'_, Status> {
        Box::pin(async { FakeControl::default().status().await })
    }

    fn verify(&self) -> Answer<'_, Verification> {
        no_data_plane()
    }

    fn stats(&self) -> Answer<'_, Stats> {
        no_data_plane()
    }

    fn flows(&self, _limit: usize, _service: Option<ResourcePath>) -> Answer<'_, FlowList> {
        no_data_plane()
    }

    fn flow_count(&self) -> Answer<'_, FlowCount> {
        no_data_plane()
    }

    fn detach(&self) -> Answer<'_, ()> {
        no_data_plane()
    }
}
