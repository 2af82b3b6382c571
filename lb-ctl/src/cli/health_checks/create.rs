//! `health-checks create tcp|ssl|http|https|http2|grpc|grpc-with-tls`.

use clap::{Args, Subcommand};

use super::super::resource::NewArgs;
use super::super::scope::RegionalOrGlobal;
use super::super::values::Fields;
use super::super::{Failure, Streams};
use super::flags::{CommonFlags, GrpcFlags, HttpFlags, Protocol, ProtocolFlags, StreamFlags};
use crate::resources::Kind;

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Create {
    /// A connection is made, and bytes compared if any are given.
    Tcp(Box<CreateArgs<StreamFlags>>),
    /// The same with TLS, whose certificates are not verified.
    Ssl(Box<CreateArgs<StreamFlags>>),
    /// The answer to a GET is 200.
    Http(Box<CreateArgs<HttpFlags>>),
    /// The same with TLS, whose certificates are not verified.
    Https(Box<CreateArgs<HttpFlags>>),
    /// The same by HTTP/2 with TLS.
    Http2(Box<CreateArgs<HttpFlags>>),
    /// The gRPC health service says SERVING.
    Grpc(Box<CreateArgs<GrpcFlags>>),
    /// The same with TLS.
    GrpcWithTls(Box<CreateArgs<GrpcFlags>>),
}

#[derive(Debug, Args)]
pub(in crate::cli) struct CreateArgs<F: ProtocolFlags> {
    #[command(flatten)]
    new: NewArgs<RegionalOrGlobal>,
    #[command(flatten)]
    flags: CreateFlags<F>,
}

#[derive(Debug, Args)]
pub(super) struct CreateFlags<F: ProtocolFlags> {
    #[command(flatten)]
    common: CommonFlags,
    #[command(flatten)]
    protocol: F,
}

/// What gcloud sends when it is not told which; a gRPC check must be told.
const DEFAULT_PORT: u16 = 80;

impl<F: ProtocolFlags> CreateFlags<F> {
    pub(super) fn fields(&self, protocol: Protocol) -> Fields {
        let mut fields = Fields::default();
        fields.set("type", Some(protocol.as_api()));
        fields.set("checkIntervalSec", Some(5));
        fields.set("timeoutSec", Some(5));
        fields.set("healthyThreshold", Some(2));
        fields.set("unhealthyThreshold", Some(2));
        self.common.set(&mut fields);
        let object = protocol.field();
        let port = match protocol {
            Protocol::Grpc | Protocol::GrpcWithTls => self.protocol.port(),
            Protocol::Http | Protocol::Https | Protocol::Http2 => {
                fields.set(&format!("{object}.requestPath"), Some("/"));
                fields.set(&format!("{object}.proxyHeader"), Some("NONE"));
                self.protocol.port().or_port(DEFAULT_PORT)
            }
            Protocol::Tcp | Protocol::Ssl => {
                fields.set(&format!("{object}.proxyHeader"), Some("NONE"));
                self.protocol.port().or_port(DEFAULT_PORT)
            }
        };
        port.set(&mut fields, object);
        self.protocol.set(&mut fields, object);
        fields
    }
}

pub(super) async fn run(verb: &Create, streams: &mut Streams<'_>) -> Result<(), Failure> {
    match verb {
        Create::Tcp(args) => create(args, Protocol::Tcp, streams).await,
        Create::Ssl(args) => create(args, Protocol::Ssl, streams).await,
        Create::Http(args) => create(args, Protocol::Http, streams).await,
        Create::Https(args) => create(args, Protocol::Https, streams).await,
        Create::Http2(args) => create(args, Protocol::Http2, streams).await,
        Create::Grpc(args) => create(args, Protocol::Grpc, streams).await,
        Create::GrpcWithTls(args) => create(args, Protocol::GrpcWithTls, streams).await,
    }
}

async fn create<F: ProtocolFlags>(
    args: &CreateArgs<F>,
    protocol: Protocol,
    streams: &mut Streams<'_>,
) -> Result<(), Failure> {
    let kind = Kind::HealthCheck;
    let client = args.new.connection.client();
    let path = args.new.path(&client, kind).await?;
    let fields = args.flags.fields(protocol);
    args.new.insert(&client, kind, &path, fields, streams).await
}
