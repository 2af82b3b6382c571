//! `detach`: by the daemon when it runs, else on the pinned state itself.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use super::options::Connection;
use super::run::DEFAULT_PIN_DIR;
use super::{Failure, Streams};
use crate::client::ClientError;

#[derive(Debug, Args)]
pub(super) struct DetachArgs {
    #[command(flatten)]
    connection: Connection,
    /// Where the kernel state is pinned, when no daemon runs.
    #[arg(long, value_name = "DIR", default_value = DEFAULT_PIN_DIR)]
    pin_dir: PathBuf,
}

pub(super) async fn run(args: &DetachArgs, streams: &mut Streams<'_>) -> Result<(), Failure> {
    match args
        .connection
        .client()
        .post::<Value>("/lb/v1/detach", &json!({}))
        .await
    {
        Ok(_) => writeln!(streams.err, "The daemon has detached.")?,
        Err(ClientError::Unreachable {
            reason, absent: true, ..
        }) => {
            writeln!(
                streams.err,
                "No daemon answers ({reason}): detaching what is pinned."
            )?;
            crate::daemon::detach_offline(&args.pin_dir).await?;
        }
        Err(error) => return Err(error.into()),
    }
    Ok(())
}
