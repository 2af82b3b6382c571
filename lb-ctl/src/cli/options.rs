//! Arguments that several verbs share.

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::Streams;
use super::exit::Failure;
use crate::client::{Client, Endpoint, Token};
use crate::control::ApplyOptions;
use crate::output;
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

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    Table,
    Json,
}

#[derive(Debug, Args)]
pub(super) struct Shape {
    /// How to print: a table for people, JSON for programs.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub(super) format: Format,
}

impl Shape {
    /// Prints the value as JSON, or with `render` as a table.
    pub(super) fn print<T: Serialize>(
        &self,
        streams: &mut Streams<'_>,
        value: &T,
        render: impl FnOnce(&mut dyn std::io::Write, &T) -> std::io::Result<()>,
    ) -> Result<(), Failure> {
        match self.format {
            Format::Table => render(streams.out, value)?,
            Format::Json => output::render_json(streams.out, value)?,
        }
        Ok(())
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
