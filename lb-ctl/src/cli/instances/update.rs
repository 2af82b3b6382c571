//! `instances update`: by `apply`, as the API has no method that changes an instance's address.

use clap::Args;
use serde_json::{Value, json};

use super::super::options::Shape;
use super::super::resource::{NameArgs, Target, apply};
use super::super::scope::Zonal;
use super::super::values::{Fields, nothing_given};
use super::super::{Failure, Streams};
use super::flags::AddressFlags;
use crate::resources::Kind;

#[derive(Debug, Args)]
pub(in crate::cli) struct UpdateArgs {
    #[command(flatten)]
    instance: NameArgs<Zonal>,
    #[command(flatten)]
    flags: UpdateFlags,
    #[command(flatten)]
    shape: Shape,
}

#[derive(Debug, Args)]
struct UpdateFlags {
    /// A text of one's own.
    #[arg(long)]
    description: Option<String>,
    #[command(flatten)]
    addresses: AddressFlags,
}

pub(super) async fn run(args: &UpdateArgs, streams: &mut Streams<'_>) -> Result<(), Failure> {
    let target = Target::read(Kind::Instance, &args.instance).await?;
    let interface = args.flags.addresses.interface(&target.references());
    if interface.is_empty() && args.flags.description.is_none() {
        return Err(nothing_given::<UpdateFlags>());
    }
    let instance = changed(target.resource(), interface, args.flags.description.as_deref());
    apply(
        &target.client,
        target.kind,
        &target.path,
        &instance,
        "instances update",
        streams,
    )
    .await?;
    target.updated(&args.shape, streams).await
}

/// The instance with other fields of its first interface, where null removes one.
pub(super) fn changed(instance: &Value, interface: Fields, description: Option<&str>) -> Value {
    let mut instance = instance.clone();
    if let Some(description) = description {
        instance["description"] = json!(description);
    }
    if !instance["networkInterfaces"][0].is_object() {
        instance["networkInterfaces"] = json!([{}]);
    }
    if let (Some(first), Value::Object(fields)) =
        (instance["networkInterfaces"][0].as_object_mut(), interface.into())
    {
        for (name, value) in fields {
            match value {
                Value::Null => drop(first.shift_remove(&name)),
                value => drop(first.insert(name, value)),
            }
        }
    }
    instance
}
