//! `network-endpoint-groups create`.

use clap::Args;
use serde_json::json;

use super::super::resource::{NewArgs, References};
use super::super::scope::Zonal;
use super::super::values::{EnumName, Fields, KeyValues};
use super::super::{Failure, Streams};
use crate::control::ResourceMap;
use crate::resources::Kind;

#[derive(Debug, Args)]
pub(in crate::cli) struct CreateArgs {
    #[command(flatten)]
    new: NewArgs<Zonal>,
    #[command(flatten)]
    pub(super) flags: CreateFlags,
}

#[derive(Debug, Args)]
pub(super) struct CreateFlags {
    /// What endpoints are: interfaces of instances, or addresses of hosts outside a cloud.
    #[arg(long, value_name = "TYPE", default_value = "GCE_VM_IP",
          value_parser = EnumName(&["GCE_VM_IP", "NON_GCP_PRIVATE_IP_PORT"]))]
    network_endpoint_type: String,
    /// The port of endpoints that name none; stored, as packets keep their port.
    #[arg(long, value_name = "PORT")]
    default_port: Option<u16>,
    /// The network.
    #[arg(long)]
    network: Option<String>,
    /// The subnetwork.
    #[arg(long)]
    subnet: Option<String>,
    /// A text of one's own.
    #[arg(long)]
    description: Option<String>,
    /// Choices for the group, such as lb/delivery=ipip.
    #[arg(long, value_name = "KEY=VALUE,…")]
    annotations: Option<KeyValues>,
}

impl CreateFlags {
    pub(super) fn fields(&self, references: &References<'_>) -> Fields {
        let mut fields = Fields::default();
        fields.set("networkEndpointType", Some(self.network_endpoint_type.clone()));
        fields.set("defaultPort", self.default_port);
        fields.set(
            "network",
            self.network.as_ref().map(|name| references.network(name)),
        );
        let subnet = self.subnet.as_ref();
        fields.set("subnetwork", subnet.map(|name| references.subnetwork(name, None)));
        fields.set("description", self.description.clone());
        let annotations = self.annotations.as_ref();
        fields.set("annotations", annotations.map(|KeyValues(pairs)| json!(pairs)));
        fields
    }
}

pub(super) async fn run(args: &CreateArgs, streams: &mut Streams<'_>) -> Result<(), Failure> {
    let kind = Kind::NetworkEndpointGroup;
    let client = args.new.connection.client();
    let path = args.new.path(&client, kind).await?;
    let references = References {
        resources: &ResourceMap::new(),
        path: &path,
    };
    let fields = args.flags.fields(&references);
    args.new.insert(&client, kind, &path, fields, streams).await
}
