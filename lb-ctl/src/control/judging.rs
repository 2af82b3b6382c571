//! The real controller over its seams in memory, for tests of the server: what it holds has been judged, stored and planned
//! as the daemon would do it.

use std::sync::{Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::JoinHandle;

use serde_json::json;
use tokio::sync::watch;

use super::*;
use crate::controller::fake::{self, Stage};
use crate::controller::{Handle, Settings};
use crate::plan::Limits;
use crate::resources::{DefaultSlots, MemoryStore, OwnedChanges, ResourceStore as _, parse};

pub(crate) struct JudgingControl {
    store: MemoryStore,
    running: Mutex<Running>,
}

/// The controller in a thread of its own.
struct Running {
    handle: Handle,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    fn start(store: &MemoryStore) -> Self {
        let (store, (stop, mut stopped)) = (store.clone(), watch::channel(false));
        let (send, started) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async move {
                let stage = Stage::start_on(roomy(), store).await;
                send.send(stage.handle.clone()).expect("the test to wait");
                let _ = stopped.wait_for(|stop| *stop).await;
            });
        });
        Self {
            handle: started.recv().expect("the controller to start"),
            stop,
            thread: Some(thread),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Room for what thousands of requests leave behind.
fn roomy() -> Settings {
    let few = fake::settings();
    Settings {
        scope: Scope {
            project: "acme".to_owned(),
            region: "r1".to_owned(),
            zone: "r1-a".to_owned(),
        },
        limits: Limits {
            services: 4096,
            members: 1 << 16,
            backends: 1 << 16,
            probes: 1 << 16,
            table_slots: 1 << 22,
            table_reserve: Limits::usual_reserve(1 << 22),
            ..few.limits
        },
        default_table_slots: DefaultSlots::Auto,
        inline_work: u64::MAX,
        ..few
    }
}

/// A service with an endpoint group, a check and a rule, the same of an instance group, and spare ones; in the
/// project acme, the region r1 and the zone r1-a.
pub(crate) fn sample() -> JudgingControl {
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
    let store = MemoryStore::default();
    let control = JudgingControl {
        running: Mutex::new(Running::start(&store)),
        store,
    };
    let applied = block_on(control.handle().apply(documents, ApplyOptions::default()));
    applied.expect("the sample to be right");
    control
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.expect("a runtime").block_on(future)
}

impl JudgingControl {
    fn running(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn handle(&self) -> Handle {
        self.running().handle.clone()
    }

    /// As if a file of `--config` defined it: known from the next start on.
    pub(crate) fn own(&self, path: &str, file: &str) {
        let path = ResourcePath::from_canonical(path);
        let stored = self.store.load().expect("memory is read");
        assert!(stored.resources.get(&path).is_some(), "{path}");
        let owned = OwnedChanges {
            owners: vec![(path, Some(file.to_owned()))],
            ..OwnedChanges::default()
        };
        block_on(self.store.propose(owned)).expect("memory is written");
        let mut running = self.running();
        *running = Running::start(&self.store);
    }

    /// How often something was stored.
    pub(crate) fn commits(&self) -> usize {
        self.store.commits()
    }
}

impl Control for JudgingControl {
    fn resources(&self) -> Arc<ResourceMap> {
        self.handle().resources()
    }

    fn apply(
        &self,
        documents: Vec<Document>,
        options: ApplyOptions,
    ) -> BoxFuture<'_, Result<ApplyReport, ControlError>> {
        let handle = self.handle();
        Box::pin(async move { handle.apply(documents, options).await })
    }

    fn delete(&self, path: ResourcePath) -> BoxFuture<'_, Result<(), ControlError>> {
        let handle = self.handle();
        Box::pin(async move { handle.delete(path).await })
    }

    fn iam_policy(&self, path: ResourcePath) -> BoxFuture<'_, Result<Option<Value>, ControlError>> {
        let handle = self.handle();
        Box::pin(async move { handle.iam_policy(path).await })
    }

    fn set_iam_policy(&self, path: ResourcePath, policy: Value) -> BoxFuture<'_, Result<(), ControlError>> {
        let handle = self.handle();
        Box::pin(async move { handle.set_iam_policy(path, policy).await })
    }

    fn endpoint_health(
        &self,
        service: ResourcePath,
        group: Option<ResourcePath>,
    ) -> BoxFuture<'_, Result<Vec<views::EndpointHealth>, ControlError>> {
        let handle = self.handle();
        Box::pin(async move { handle.endpoint_health(service, group).await })
    }

    fn table_slots(&self, service: ResourcePath) -> BoxFuture<'_, Result<views::TableSlots, ControlError>> {
        let handle = self.handle();
        Box::pin(async move { handle.table_slots(service).await })
    }

    fn set_table_slots(&self, service: ResourcePath, slots: u32) -> BoxFuture<'_, Result<(), ControlError>> {
        let handle = self.handle();
        Box::pin(async move { handle.set_table_slots(service, slots).await })
    }

    fn status(&self) -> BoxFuture<'_, Result<views::Status, ControlError>> {
        let handle = self.handle();
        Box::pin(async move { handle.status().await })
    }

    fn verify(&self) -> BoxFuture<'_, Result<views::Verification, ControlError>> {
        let handle = self.handle();
        Box::pin(async move { handle.verify().await })
    }

    fn stats(&self) -> BoxFuture<'_, Result<views::Stats, ControlError>> {
        let handle = self.handle();
        Box::pin(async move { handle.stats().await })
    }

    fn flows(
        &self,
        limit: usize,
        service: Option<ResourcePath>,
    ) -> BoxFuture<'_, Result<views::FlowList, ControlError>> {
        let handle = self.handle();
        Box::pin(async move { handle.flows(limit, service).await })
    }

    fn flow_count(&self) -> BoxFuture<'_, Result<views::FlowCount, ControlError>> {
        let handle = self.handle();
        Box::pin(async move { handle.flow_count().await })
    }

    fn detach(&self) -> BoxFuture<'_, Result<(), ControlError>> {
        let handle = self.handle();
        Box::pin(async move { handle.detach().await })
    }
}
