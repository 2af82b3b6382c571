//! Arguments that several verbs share.

use clap::Args;
use serde::Serialize;

use super::Streams;
use super::exit::Failure;
use crate::client::{Client, Endpoint, Token};
use crate::control::ApplyOptions;
use crate::output::{Data, Format, Listing};
use crate::resources::Scope;

/// The daemon's standard socket.
pub(super) const DEFAULT_ENDPOINT: &str = "unix:/run/lb/lb.sock";

#[derive(Debug, Args)]
pub(super) struct Connection {
    /// Where the daemon is: unix:PATH or http://HOST:PORT.
    #[arg(long, env = "LB_ENDPOINT", default_value = DEFAULT_ENDPOINT)]
    pub(super) endpoint: Endpoint,
    /// The token to show to a daemon that knows its callers by tokens: a file whose first word is the token.
    #[arg(long = "token-file", env = "LB_TOKEN_FILE", value_name = "FILE", value_parser = Token::read)]
    pub(super) token: Option<Token>,
}

impl Connection {
    pub(super) fn client(&self) -> Client {
        Client::new(self.endpoint.clone()).with_token(self.token.clone())
    }
}

#[derive(Debug, Args)]
pub(super) struct Shape {
    /// How to print: table, json, yaml, none, or with columns value(name,…), csv(name,…), table(name,…).
    #[arg(long, value_name = "FORMAT")]
    pub(super) format: Option<Format>,
}

impl Shape {
    /// Prints one of the daemon's own views: as a page made by `render`, unless another format is asked for.
    pub(super) fn print<T: Serialize>(
        &self,
        streams: &mut Streams<'_>,
        value: &T,
        render: impl FnOnce(&mut dyn std::io::Write, &T) -> std::io::Result<()>,
    ) -> Result<(), Failure> {
        match &self.format {
            Some(format) if !format.is_default_table() => {
                let value =
                    serde_json::to_value(value).map_err(|error| Failure::failed(error.to_string()))?;
                format.print(streams.out, Data::of(&value))?;
            }
            _ => render(streams.out, value)?,
        }
        Ok(())
    }

    /// Prints what the API answered, by `default` when no format is asked for.
    pub(super) fn print_data(
        &self,
        streams: &mut Streams<'_>,
        data: Data<'_>,
        listing: Listing,
        default: Format,
    ) -> Result<(), Failure> {
        let format = self.format.clone().unwrap_or(default);
        Ok(format
            .or_columns_of(&listing.columns())
            .print(streams.out, data)?)
    }
}

/// Where resources are whose documents do not say.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct DefaultPlace {
    /// The project of resources that do not name one.
    #[arg(long)]
    pub project: Option<String>,
    /// The region of resources that do not name one.
    #[arg(long)]
    pub region: Option<String>,
    /// The zone of resources that do not name one.
    #[arg(long)]
    pub zone: Option<String>,
}

impl DefaultPlace {
    pub(super) fn options(&self) -> ApplyOptions {
        ApplyOptions {
            project: self.project.clone(),
            region: self.region.clone(),
            zone: self.zone.clone(),
            ..ApplyOptions::default()
        }
    }

    /// What is given here, and the rest of `defaults`.
    pub fn scope(&self, defaults: &Scope) -> Scope {
        self.options().scope(defaults)
    }
}
