//! `backend-services add-backend`, `update-backend` and `remove-backend`: another list of backends, sent whole.

use clap::Args;
use serde_json::{Value, json};

use super::super::options::Shape;
use super::super::resource::{GroupFlags, NameArgs, Target, update as send_update};
use super::super::scope::Regional;
use super::super::values::{EnumName, Fields, nothing_given, switch};
use super::super::{Failure, Streams};
use crate::control::place::canonical;
use crate::resources::Kind;

#[derive(Debug, Args)]
pub(in crate::cli) struct AddArgs {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    flags: BackendFlags,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct UpdateArgs {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    flags: BackendFlags,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct RemoveArgs {
    #[command(flatten)]
    which: Which,
}

#[derive(Debug, Args)]
struct Which {
    #[command(flatten)]
    service: NameArgs<Regional>,
    #[command(flatten)]
    group: GroupFlags,
    #[command(flatten)]
    shape: Shape,
}

#[derive(Debug, Default, Args)]
pub(super) struct BackendFlags {
    /// A text of one's own.
    #[arg(long)]
    description: Option<String>,
    /// The group is used when too few of the others are healthy.
    #[arg(long, overrides_with = "no_failover")]
    failover: bool,
    /// The group is a primary one; the default.
    #[arg(long, overrides_with = "failover")]
    no_failover: bool,
    /// How load is measured.
    #[arg(long, value_parser = EnumName(&["CONNECTION"]))]
    balancing_mode: Option<String>,
}

impl BackendFlags {
    fn fields(&self) -> Fields {
        let mut fields = Fields::default();
        fields.set("description", self.description.clone());
        fields.set("failover", switch(self.failover, self.no_failover));
        fields.set("balancingMode", self.balancing_mode.clone());
        fields
    }
}

pub(super) async fn add(args: &AddArgs, streams: &mut Streams<'_>) -> Result<(), Failure> {
    change(&args.which, streams, |service, group| {
        added(service, group, args.flags.fields())
    })
    .await
}

pub(super) async fn update(args: &UpdateArgs, streams: &mut Streams<'_>) -> Result<(), Failure> {
    let fields = args.flags.fields();
    if fields.is_empty() {
        return Err(nothing_given::<BackendFlags>());
    }
    change(&args.which, streams, |service, group| {
        updated(service, group, fields)
    })
    .await
}

pub(super) async fn remove(args: &RemoveArgs, streams: &mut Streams<'_>) -> Result<(), Failure> {
    change(&args.which, streams, removed).await
}

async fn change(
    which: &Which,
    streams: &mut Streams<'_>,
    backends: impl FnOnce(&Value, &str) -> Result<Vec<Value>, Failure>,
) -> Result<(), Failure> {
    let target = Target::read(Kind::BackendService, &which.service).await?;
    let group = which.group.url(&target.references())?;
    let mut patch = Fields::default();
    patch.set("backends", Some(backends(target.resource(), &group)?));
    send_update(&target, patch, &which.shape, streams).await
}

pub(super) fn added(service: &Value, group: &str, fields: Fields) -> Result<Vec<Value>, Failure> {
    let mut backends = backends(service);
    if position(&backends, group).is_some() {
        return Err(Failure::failed(format!("'{group}' is a backend already")));
    }
    let mut backend = json!({ "group": group });
    merge(&mut backend, fields);
    backends.push(backend);
    Ok(backends)
}

pub(super) fn updated(service: &Value, group: &str, fields: Fields) -> Result<Vec<Value>, Failure> {
    let mut backends = backends(service);
    let at = position(&backends, group).ok_or_else(|| no_backend(group))?;
    merge(&mut backends[at], fields);
    Ok(backends)
}

pub(super) fn removed(service: &Value, group: &str) -> Result<Vec<Value>, Failure> {
    let mut backends = backends(service);
    let at = position(&backends, group).ok_or_else(|| no_backend(group))?;
    backends.remove(at);
    Ok(backends)
}

fn backends(service: &Value) -> Vec<Value> {
    service["backends"].as_array().cloned().unwrap_or_default()
}

/// By the group's path: its URL may be of another API version.
fn position(backends: &[Value], group: &str) -> Option<usize> {
    let path = canonical(group);
    backends
        .iter()
        .position(|backend| backend["group"].as_str().and_then(canonical) == path)
}

fn merge(backend: &mut Value, fields: Fields) {
    if let (Value::Object(backend), Value::Object(fields)) = (backend, fields.into()) {
        backend.extend(fields);
    }
}

fn no_backend(group: &str) -> Failure {
    Failure::failed(format!("'{group}' is not a backend of the service"))
}
