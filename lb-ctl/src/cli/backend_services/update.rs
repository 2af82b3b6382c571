//! `backend-services update`.

use clap::Args;

use super::super::options::Shape;
use super::super::resource::{NameArgs, References, Target, update};
use super::super::scope::Regional;
use super::super::values::{EnumName, Fields, nothing_given};
use super::super::{Failure, Streams};
use super::flags::PolicyFlags;
use crate::resources::Kind;

#[derive(Debug, Args)]
pub(in crate::cli) struct UpdateArgs {
    #[command(flatten)]
    service: NameArgs<Regional>,
    #[command(flatten)]
    pub(super) flags: UpdateFlags,
    #[command(flatten)]
    shape: Shape,
}

#[derive(Debug, Args)]
pub(super) struct UpdateFlags {
    /// Where clients are.
    #[arg(long, value_name = "SCHEME", value_parser = EnumName(&["INTERNAL", "EXTERNAL"]))]
    load_balancing_scheme: Option<String>,
    /// Without a health check every endpoint counts as healthy.
    #[arg(long, conflicts_with = "health_checks")]
    no_health_checks: bool,
    #[command(flatten)]
    policy: PolicyFlags,
}

impl UpdateFlags {
    /// As a merge patch.
    pub(super) fn fields(&self, references: &References<'_>) -> Result<Fields, Failure> {
        let mut fields = self.policy.fields(references)?;
        fields.set("loadBalancingScheme", self.load_balancing_scheme.clone());
        if self.no_health_checks {
            fields.set("healthChecks", Some(Vec::<String>::new()));
        }
        match fields.is_empty() {
            true => Err(nothing_given::<Self>()),
            false => Ok(fields),
        }
    }
}

pub(super) async fn run(args: &UpdateArgs, streams: &mut Streams<'_>) -> Result<(), Failure> {
    let target = Target::read(Kind::BackendService, &args.service).await?;
    let patch = args.flags.fields(&target.references())?;
    update(&target, patch, &args.shape, streams).await
}
