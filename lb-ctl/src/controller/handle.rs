//! The controller's clients: requests by a channel, resources from a snapshot.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use serde_json::Value;
use tokio::sync::{mpsc, oneshot, watch};

use super::change::{Asker, Change};
use crate::control::{ApplyOptions, ApplyReport, Control, ControlError, ResourceMap};
use crate::model::ResourcePath;
use crate::resources::Document;
use crate::views;

pub(super) type Reply<T> = oneshot::Sender<Result<T, ControlError>>;

pub(super) enum Request {
    Change(Change, Asker),
    IamPolicy(ResourcePath, Reply<Option<Value>>),
    EndpointHealth(
        ResourcePath,
        Option<ResourcePath>,
        Reply<Vec<views::EndpointHealth>>,
    ),
    Status(Reply<views::Status>),
    Verify(Reply<views::Verification>),
    TableSlots(ResourcePath, Reply<views::TableSlots>),
    Stats(Reply<views::Stats>),
    Flows(usize, Option<ResourcePath>, Reply<views::FlowList>),
    FlowCount(Reply<views::FlowCount>),
    Detach(Reply<()>),
}

#[derive(Clone)]
pub struct Handle {
    requests: mpsc::Sender<Request>,
    resources: watch::Receiver<Arc<ResourceMap>>,
}

impl Handle {
    pub(super) fn new(requests: mpsc::Sender<Request>, resources: watch::Receiver<Arc<ResourceMap>>) -> Self {
        Self { requests, resources }
    }

    fn ask<T: Send + 'static>(
        &self,
        request: impl FnOnce(Reply<T>) -> Request + Send + 'static,
    ) -> BoxFuture<'_, Result<T, ControlError>> {
        let stopping = || ControlError::Internal("the daemon is stopping".to_owned());
        Box::pin(async move {
            let (reply, answer) = oneshot::channel();
            self.requests.send(request(reply)).await.map_err(|_| stopping())?;
            answer.await.map_err(|_| stopping())?
        })
    }
}

impl Control for Handle {
    fn resources(&self) -> Arc<ResourceMap> {
        self.resources.borrow().clone()
    }

    fn apply(
        &self,
        documents: Vec<Document>,
        options: ApplyOptions,
    ) -> BoxFuture<'_, Result<ApplyReport, ControlError>> {
        self.ask(|reply| Request::Change(Change::Apply(documents, options), Asker::Apply(reply)))
    }

    fn delete(&self, path: ResourcePath) -> BoxFuture<'_, Result<(), ControlError>> {
        self.ask(|reply| Request::Change(Change::Delete(path), Asker::Other(reply)))
    }

    fn iam_policy(&self, path: ResourcePath) -> BoxFuture<'_, Result<Option<Value>, ControlError>> {
        self.ask(|reply| Request::IamPolicy(path, reply))
    }

    fn set_iam_policy(&self, path: ResourcePath, policy: Value) -> BoxFuture<'_, Result<(), ControlError>> {
        self.ask(|reply| Request::Change(Change::SetIamPolicy(path, policy), Asker::Other(reply)))
    }

    fn endpoint_health(
        &self,
        service: ResourcePath,
        group: Option<ResourcePath>,
    ) -> BoxFuture<'_, Result<Vec<views::EndpointHealth>, ControlError>> {
        self.ask(|reply| Request::EndpointHealth(service, group, reply))
    }

    fn status(&self) -> BoxFuture<'_, Result<views::Status, ControlError>> {
        self.ask(Request::Status)
    }

    fn table_slots(&self, service: ResourcePath) -> BoxFuture<'_, Result<views::TableSlots, ControlError>> {
        self.ask(|reply| Request::TableSlots(service, reply))
    }

    fn set_table_slots(&self, service: ResourcePath, slots: u32) -> BoxFuture<'_, Result<(), ControlError>> {
        self.ask(move |reply| Request::Change(Change::TableSlots(service, slots), Asker::Other(reply)))
    }

    fn verify(&self) -> BoxFuture<'_, Result<views::Verification, ControlError>> {
        self.ask(Request::Verify)
    }

    fn stats(&self) -> BoxFuture<'_, Result<views::Stats, ControlError>> {
        self.ask(Request::Stats)
    }

    fn flows(
        &self,
        limit: usize,
        service: Option<ResourcePath>,
    ) -> BoxFuture<'_, Result<views::FlowList, ControlError>> {
        self.ask(move |reply| Request::Flows(limit, service, reply))
    }

    fn flow_count(&self) -> BoxFuture<'_, Result<views::FlowCount, ControlError>> {
        self.ask(Request::FlowCount)
    }

    fn detach(&self) -> BoxFuture<'_, Result<(), ControlError>> {
        self.ask(Request::Detach)
    }
}
