//! `health-checks update tcp|ssl|http|https|http2|grpc|grpc-with-tls`.

use clap::{Args, Subcommand};

use super::super::options::Shape;
use super::super::resource::{NameArgs, Target, update as send_update};
use super::super::scope::RegionalOrGlobal;
use super::super::values::{Fields, nothing_given};
use super::super::{Failure, Streams};
use super::flags::{CommonFlags, GrpcFlags, HttpFlags, Protocol, ProtocolFlags, StreamFlags};
use crate::resources::Kind;

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Update {
    /// Of a TCP check.
    Tcp(Box<UpdateArgs<StreamFlags>>),
    /// Of an SSL check.
    Ssl(Box<UpdateArgs<StreamFlags>>),
    /// Of an HTTP check.
    Http(Box<UpdateArgs<HttpFlags>>),
    /// Of an HTTPS check.
    Https(Box<UpdateArgs<HttpFlags>>),
    /// Of an HTTP/2 check.
    Http2(Box<UpdateArgs<HttpFlags>>),
    /// Of a gRPC check.
    Grpc(Box<UpdateArgs<GrpcFlags>>),
    /// Of a gRPC check with TLS.
    GrpcWithTls(Box<UpdateArgs<GrpcFlags>>),
}

#[derive(Debug, Args)]
pub(in crate::cli) struct UpdateArgs<F: ProtocolFlags> {
    #[command(flatten)]
    check: NameArgs<RegionalOrGlobal>,
    #[command(flatten)]
    flags: UpdateFlags<F>,
    #[command(flatten)]
    shape: Shape,
}

#[derive(Debug, Args)]
pub(super) struct UpdateFlags<F: ProtocolFlags> {
    #[command(flatten)]
    common: CommonFlags,
    #[command(flatten)]
    protocol: F,
}

impl<F: ProtocolFlags> UpdateFlags<F> {
    /// As a merge patch.
    pub(super) fn fields(&self, protocol: Protocol) -> Result<Fields, Failure> {
        let mut fields = Fields::default();
        self.common.set(&mut fields);
        self.protocol.port().set(&mut fields, protocol.field());
        self.protocol.set(&mut fields, protocol.field());
        match fields.is_empty() {
            true => Err(nothing_given::<Self>()),
            false => Ok(fields),
        }
    }
}

pub(super) async fn run(verb: &Update, streams: &mut Streams<'_>) -> Result<(), Failure> {
    match verb {
        Update::Tcp(args) => update(args, Protocol::Tcp, streams).await,
        Update::Ssl(args) => update(args, Protocol::Ssl, streams).await,
        Update::Http(args) => update(args, Protocol::Http, streams).await,
        Update::Https(args) => update(args, Protocol::Https, streams).await,
        Update::Http2(args) => update(args, Protocol::Http2, streams).await,
        Update::Grpc(args) => update(args, Protocol::Grpc, streams).await,
        Update::GrpcWithTls(args) => update(args, Protocol::GrpcWithTls, streams).await,
    }
}

async fn update<F: ProtocolFlags>(
    args: &UpdateArgs<F>,
    protocol: Protocol,
    streams: &mut Streams<'_>,
) -> Result<(), Failure> {
    let fields = args.flags.fields(protocol)?;
    let target = Target::read(Kind::HealthCheck, &args.check).await?;
    let found = target.resource()["type"].as_str().unwrap_or_default();
    if found != protocol.as_api() {
        return Err(Failure::Usage(format!(
            "'{}' is a check by {found}, not by {}",
            target.path.name(),
            protocol.as_api()
        )));
    }
    send_update(&target, fields, &args.shape, streams).await
}
