//! A controller without a data plane, for tests: it keeps what it is given and knows a few facts about it.

use std::sync::Mutex;

use serde_json::json;

use super::place::canonical;
use super::*;
use crate::model::EndpointWeight;
use crate::resources::Kind;
use crate::views::{
    ConfigStatus, DefaultPlace, EndpointHealth, FlowCount, FlowList, FlowRow, ServiceFlowCount, Stats,
    Status, TableSlots, Verification,
};

#[derive(Default)]
pub(crate) struct FakeControl {
    state: Mutex<State>,
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) resources: Arc<ResourceMap>,
    pub(crate) policies: BTreeMap<ResourcePath, Value>,
    pub(crate) table_slots: BTreeMap<ResourcePath, u32>,
    /// The options of every apply.
    pub(crate) applies: Vec<ApplyOptions>,
    /// What every flow list was asked for.
    pub(crate) flow_queries: Vec<(usize, Option<ResourcePath>)>,
    pub(crate) detached: bool,
    pub(crate) next_id: u64,
}

pub(crate) const PROJECT: &str = "acme";

/// A path in the region `r1` or the zone `r1-a` of the project.
pub(crate) fn path(kind: Kind, name: &str) -> ResourcePath {
    let place = if kind.is_zonal() {
        "zones/r1-a"
    } else {
        "regions/r1"
    };
    ResourcePath::from_canonical(format!("projects/{PROJECT}/{place}/{}/{name}", kind.collection()))
}

/// One service with two groups, a rule, and a health check in a region and globally.
pub(crate) fn sample() -> FakeControl {
    let control = FakeControl::default();
    let url = |kind, name| place::url(path(kind, name).as_str());
    let documents = [
        json!({"kind": "compute#healthCheck", "name": "hc", "region": "r1", "type": "TCP"}),
        json!({"kind": "compute#healthCheck", "name": "hc", "type": "HTTP",
               "selfLink": place::url(&format!("projects/{PROJECT}/global/healthChecks/hc"))}),
        json!({"kind": "compute#networkEndpointGroup", "name": "near", "zone": "r1-a",
               "networkEndpointType": "GCE_VM_IP",
               "networkEndpoints": [{"instance": "n1", "ipAddress": "10.0.0.1"},
                                    {"instance": "n2", "ipAddress": "10.0.0.2"}]}),
        json!({"kind": "compute#instanceGroup", "name": "far", "zone": "r1-a", "network": "default",
               "instances": [{"instance": url(Kind::Instance, "f1")}]}),
        json!({"kind": "compute#backendService", "name": "web", "region": "r1", "protocol": "TCP",
               "loadBalancingScheme": "INTERNAL", "healthChecks": [url(Kind::HealthCheck, "hc")],
               "backends": [{"group": url(Kind::NetworkEndpointGroup, "near")}]}),
        json!({"kind": "compute#forwardingRule", "name": "web-rule", "region": "r1", "IPProtocol": "TCP",
               "IPAddress": "10.0.0.100", "backendService": url(Kind::BackendService, "web")}),
    ];
    let document = |value| Document {
        source: "sample".to_owned(),
        json_path: "$".to_owned(),
        value,
    };
    let documents: Vec<Document> = documents.into_iter().map(document).collect();
    control.store(
        &documents,
        &ApplyOptions {
            project: Some(PROJECT.to_owned()),
            ..ApplyOptions::default()
        },
    );
    control
}

impl FakeControl {
    pub(crate) fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state
            .lock()
            .expect("no test panics while it holds the state")
    }

    fn store(&self, documents: &[Document], options: &ApplyOptions) -> Vec<Change> {
        let mut state = self.state();
        let mut changes = Vec::new();
        let mut resources = ResourceMap::clone(&state.resources);
        for document in documents {
            let path = locate(&document.value, options);
            let mut value = document.value.clone();
            state.next_id += 1;
            value["id"] = json!(state.next_id.to_string());
            let action = match resources.insert(path.clone(), value) {
                None => ChangeAction::Created,
                Some(_) => ChangeAction::Updated,
            };
            changes.push(Change { path, action });
        }
        if !options.dry_run {
            state.resources = Arc::new(resources);
        }
        changes
    }
}

fn locate(value: &Value, options: &ApplyOptions) -> ResourcePath {
    if let Some(path) = value["selfLink"].as_str().and_then(canonical) {
        return path;
    }
    let kind = value["kind"]
        .as_str()
        .and_then(Kind::from_api)
        .expect("the tests' documents have a kind");
    let project = options.project.as_deref().unwrap_or(PROJECT);
    let base = |field: &str| {
        value[field]
            .as_str()
            .and_then(|url| url.rsplit('/').next())
            .map(str::to_owned)
    };
    let place = if kind.is_zonal() {
        format!(
            "zones/{}",
            base("zone").or(options.zone.clone()).unwrap_or("r1-a".to_owned())
        )
    } else {
        format!(
            "regions/{}",
            base("region")
                .or(options.region.clone())
                .unwrap_or("r1".to_owned())
        )
    };
    let name = value["name"].as_str().expect("the tests' documents have a name");
    ResourcePath::from_canonical(format!("projects/{project}/{place}/{}/{name}", kind.collection()))
}

fn bad_protocol(document: &Document) -> Option<Fault> {
    let protocol = document.value["protocol"]
        .as_str()
        .filter(|protocol| *protocol == "HTTP")?;
    Some(Fault {
        path: format!("{}.protocol", document.json_path),
        field: "protocol".to_owned(),
        value: Some(protocol.to_owned()),
        hint: Some("accepted: TCP, UDP, UNSPECIFIED".to_owned()),
        ..Fault::of_source(
            &document.source,
            FaultKind::Invalid,
            "no passthrough load balancer speaks HTTP",
        )
    })
}

fn ready<'a, T: Send + 'a>(value: T) -> BoxFuture<'a, T> {
    Box::pin(std::future::ready(value))
}

impl Control for FakeControl {
    fn resources(&self) -> Arc<ResourceMap> {
        self.state().resources.clone()
    }

    fn apply(
        &self,
        documents: Vec<Document>,
        options: ApplyOptions,
    ) -> BoxFuture<'_, Result<ApplyReport, ControlError>> {
        if let Some(Err(error)) = options.edit.as_ref().map(|edit| edit.check(&self.resources())) {
            return ready(Err(error));
        }
        let faults: Vec<Fault> = documents.iter().filter_map(bad_protocol).collect();
        if !faults.is_empty() {
            return ready(Err(ControlError::Faults(faults)));
        }
        let changes = self.store(&documents, &options);
        self.state().applies.push(options);
        let unchecked =
            |d: &&Document| d.value["kind"] == "compute#backendService" && d.value["healthChecks"].is_null();
        let warnings = documents
            .iter()
            .filter(unchecked)
            .map(|_| "no health check".to_owned())
            .collect();
        ready(Ok(ApplyReport { changes, warnings }))
    }

    fn delete(&self, path: ResourcePath) -> BoxFuture<'_, Result<(), ControlError>> {
        let mut state = self.state();
        let mut resources = ResourceMap::clone(&state.resources);
        if resources.remove(&path).is_none() {
            return ready(Err(ControlError::not_found(&path)));
        }
        let reference = format!("{path}\"");
        if let Some((user, _)) = resources
            .iter()
            .find(|(_, value)| value.to_string().contains(&reference))
        {
            let reason = format!("The resource '{path}' is already being used by '{user}'");
            return ready(Err(ControlError::of_resource(
                &path,
                FaultKind::ResourceInUse,
                reason,
            )));
        }
        state.resources = Arc::new(resources);
        state.policies.remove(&path);
        ready(Ok(()))
    }

    fn iam_policy(&self, path: ResourcePath) -> BoxFuture<'_, Result<Option<Value>, ControlError>> {
        ready(Ok(self.state().policies.get(&path).cloned()))
    }

    fn set_iam_policy(&self, path: ResourcePath, policy: Value) -> BoxFuture<'_, Result<(), ControlError>> {
        self.state().policies.insert(path, policy);
        ready(Ok(()))
    }

    /// The first endpoint of a network endpoint group is healthy, and no other.
    fn endpoint_health(
        &self,
        service: ResourcePath,
        group: Option<ResourcePath>,
    ) -> BoxFuture<'_, Result<Vec<EndpointHealth>, ControlError>> {
        let resources = self.resources();
        let backends = resources[&service]["backends"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let groups = backends
            .iter()
            .filter_map(|b| b["group"].as_str().and_then(canonical));
        let healths = groups
            .filter(|g| group.as_ref().is_none_or(|group| group == g))
            .flat_map(|group| {
                let endpoints = resources[&group]["networkEndpoints"]
                    .as_array()
                    .cloned()
                    .unwrap_or_default();
                endpoints
                    .into_iter()
                    .enumerate()
                    .map(move |(i, endpoint)| EndpointHealth {
                        group: group.clone(),
                        instance: endpoint["instance"].as_str().map(str::to_owned),
                        ip_address: endpoint["ipAddress"]
                            .as_str()
                            .expect("an address")
                            .parse()
                            .expect("an address"),
                        port: Some(80),
                        healthy: i == 0,
                        weight: (i == 0).then_some(EndpointWeight::whole(7)),
                        weight_error: (i != 0).then(|| "UNAVAILABLE_WEIGHT".to_owned()),
                        detail: (i != 0).then(|| "connection refused".to_owned()),
                    })
            })
            .collect();
        ready(Ok(healths))
    }

    /// Whatever was set last, for whichever service there is.
    fn table_slots(&self, service: ResourcePath) -> BoxFuture<'_, Result<TableSlots, ControlError>> {
        if !self.resources().contains_key(&service) {
            return ready(Err(ControlError::not_found(&service)));
        }
        let slots = self.state().table_slots.get(&service).copied().unwrap_or(65_536);
        ready(Ok(TableSlots {
            service,
            slots,
            zones: BTreeMap::new(),
            endpoints: 2,
            note: None,
        }))
    }

    fn set_table_slots(&self, service: ResourcePath, slots: u32) -> BoxFuture<'_, Result<(), ControlError>> {
        if !self.resources().contains_key(&service) {
            return ready(Err(ControlError::not_found(&service)));
        }
        self.state().table_slots.insert(service, slots);
        ready(Ok(()))
    }

    fn verify(&self) -> BoxFuture<'_, Result<Verification, ControlError>> {
        ready(Ok(Verification {
            services: 1,
            members: 2,
            differences: Vec::new(),
        }))
    }

    fn status(&self) -> BoxFuture<'_, Result<Status, ControlError>> {
        ready(Ok(Status {
            version: "1.2.3".to_owned(),
            layout_version: 1,
            pid: 42,
            uptime_sec: 61,
            state_dir: "/var/lib/lb".to_owned(),
            interfaces: Vec::new(),
            resources: BTreeMap::from([("backendServices".to_owned(), 1)]),
            endpoints: 2,
            healthy_endpoints: 1,
            flow_slots: 4096,
            tables: Default::default(),
            default_place: DefaultPlace {
                project: PROJECT.to_owned(),
                region: "r1".to_owned(),
                zone: "r1-a".to_owned(),
            },
            config: ConfigStatus::default(),
            connection_log: Default::default(),
            troubles: Vec::new(),
            vips: Vec::new(),
            mended: 0,
            warnings: Vec::new(),
        }))
    }

    fn stats(&self) -> BoxFuture<'_, Result<Stats, ControlError>> {
        if self.state().detached {
            return ready(Err(ControlError::NotAttached));
        }
        ready(Ok(Stats::default()))
    }

    fn flows(
        &self,
        limit: usize,
        service: Option<ResourcePath>,
    ) -> BoxFuture<'_, Result<FlowList, ControlError>> {
        self.state().flow_queries.push((limit, service));
        let flow = FlowRow {
            service: path(Kind::BackendService, "web"),
            source: Some([192, 0, 2, 1].into()),
            destination: Some([10, 0, 0, 100].into()),
            protocol: Some(6),
            source_port: Some(40000),
            destination_port: Some(80),
            tuple_known: true,
            group: path(Kind::NetworkEndpointGroup, "near"),
            instance: Some("n1".to_owned()),
            ip_address: [10, 0, 0, 1].into(),
            backend_healthy: true,
            confirmed: false,
            expires_in_sec: 60,
        };
        ready(Ok(FlowList {
            flows: vec![flow; 3.min(limit)],
            truncated: limit < 3,
        }))
    }

    fn flow_count(&self) -> BoxFuture<'_, Result<FlowCount, ControlError>> {
        let services = vec![ServiceFlowCount {
            service: path(Kind::BackendService, "web"),
            live: 3,
        }];
        ready(Ok(FlowCount {
            slots: 4096,
            live: 3,
            confirmed: 1,
            services,
        }))
    }

    fn detach(&self) -> BoxFuture<'_, Result<(), ControlError>> {
        self.state().detached = true;
        ready(Ok(()))
    }
}
