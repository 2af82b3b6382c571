//! `backend-services create`.

use clap::Args;

use super::super::resource::{NewArgs, References, load};
use super::super::scope::Regional;
use super::super::values::{EnumName, Fields};
use super::super::{Failure, Streams};
use super::flags::PolicyFlags;
use crate::resources::Kind;

#[derive(Debug, Args)]
pub(in crate::cli) struct CreateArgs {
    #[command(flatten)]
    new: NewArgs<Regional>,
    #[command(flatten)]
    pub(super) flags: CreateFlags,
}

#[derive(Debug, Args)]
pub(super) struct CreateFlags {
    /// Where clients are.
    #[arg(long, value_name = "SCHEME", default_value = "EXTERNAL", value_parser = EnumName(&["INTERNAL", "EXTERNAL"]))]
    load_balancing_scheme: String,
    /// The network of an internal service.
    #[arg(long)]
    network: Option<String>,
    #[command(flatten)]
    policy: PolicyFlags,
}

/// Those of gcloud, for what it sends without having been asked.
const DEFAULT_TIMEOUT: u64 = 30;
const DEFAULT_PROTOCOL: &str = "TCP";

impl CreateFlags {
    pub(super) fn fields(&self, references: &References<'_>) -> Result<Fields, Failure> {
        let mut fields = self.policy.fields(references)?;
        fields.set("loadBalancingScheme", Some(self.load_balancing_scheme.clone()));
        fields.set(
            "network",
            self.network.as_ref().map(|name| references.network(name)),
        );
        if self.policy.protocol.is_none() {
            fields.set("protocol", Some(DEFAULT_PROTOCOL));
        }
        if self.policy.timeout.is_none() {
            fields.set("timeoutSec", Some(DEFAULT_TIMEOUT));
        }
        Ok(fields)
    }
}

pub(super) async fn run(args: &CreateArgs, streams: &mut Streams<'_>) -> Result<(), Failure> {
    let kind = Kind::BackendService;
    let client = args.new.connection.client();
    let path = args.new.path(&client, kind).await?;
    let resources = load(&client).await?;
    let references = References {
        resources: &resources,
        path: &path,
    };
    let fields = args.flags.fields(&references)?;
    args.new.insert(&client, kind, &path, fields, streams).await
}
