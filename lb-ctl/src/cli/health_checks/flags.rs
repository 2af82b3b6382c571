//! The flags of a check by its protocol, and the fields that they set.

use clap::Args;

use super::super::values::{EnumName, Fields, seconds, switch};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Tcp,
    Ssl,
    Http,
    Https,
    Http2,
    Grpc,
    GrpcWithTls,
}

impl Protocol {
    /// The value of `type`.
    pub(super) fn as_api(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Ssl => "SSL",
            Self::Http => "HTTP",
            Self::Https => "HTTPS",
            Self::Http2 => "HTTP2",
            Self::Grpc => "GRPC",
            Self::GrpcWithTls => "GRPC_WITH_TLS",
        }
    }

    /// The field that holds what is special to the protocol.
    pub(super) fn field(self) -> &'static str {
        match self {
            Self::Tcp => "tcpHealthCheck",
            Self::Ssl => "sslHealthCheck",
            Self::Http => "httpHealthCheck",
            Self::Https => "httpsHealthCheck",
            Self::Http2 => "http2HealthCheck",
            Self::Grpc => "grpcHealthCheck",
            Self::GrpcWithTls => "grpcTlsHealthCheck",
        }
    }
}

/// The flags of one family of protocols. Absent ones set nothing; an empty text removes a field, in an update.
pub(in crate::cli) trait ProtocolFlags: Args + std::fmt::Debug {
    fn set(&self, fields: &mut Fields, object: &str);

    fn port(&self) -> PortChoice;
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::cli) struct PortChoice {
    port: Option<u16>,
    name: Option<String>,
    serving: bool,
}

#[derive(Debug, Default, Args)]
pub(in crate::cli) struct CommonFlags {
    /// A text of one's own.
    #[arg(long)]
    description: Option<String>,
    /// From the start of one probe to the start of the next.
    #[arg(long, value_name = "DURATION", value_parser = seconds)]
    check_interval: Option<u64>,
    /// How long to wait for an answer.
    #[arg(long, value_name = "DURATION", value_parser = seconds)]
    timeout: Option<u64>,
    /// So many good probes in a row make an endpoint healthy.
    #[arg(long, value_name = "COUNT")]
    healthy_threshold: Option<u32>,
    /// So many bad probes in a row make an endpoint unhealthy.
    #[arg(long, value_name = "COUNT")]
    unhealthy_threshold: Option<u32>,
    /// Log changes of health.
    #[arg(long, overrides_with = "no_enable_logging")]
    enable_logging: bool,
    /// Log no changes of health; the default.
    #[arg(long, overrides_with = "enable_logging")]
    no_enable_logging: bool,
}

#[derive(Debug, Default, Args)]
pub(in crate::cli) struct PortFlags {
    /// The port to probe.
    #[arg(long)]
    port: Option<u16>,
    /// The port to probe, by a name that the group gives it.
    #[arg(long, value_name = "NAME")]
    port_name: Option<String>,
    /// Probe the port that a proxy would use.
    #[arg(long, conflicts_with_all = ["port", "port_name"])]
    use_serving_port: bool,
}

/// Of checks that send bytes and compare bytes.
#[derive(Debug, Default, Args)]
pub(in crate::cli) struct StreamFlags {
    #[command(flatten)]
    port: PortFlags,
    /// What to send.
    #[arg(long)]
    request: Option<String>,
    /// What the answer must begin with.
    #[arg(long)]
    response: Option<String>,
    /// What to say of the connection before anything is sent.
    #[arg(long, value_parser = EnumName(&["NONE", "PROXY_V1"]))]
    proxy_header: Option<String>,
}

#[derive(Debug, Default, Args)]
pub(in crate::cli) struct HttpFlags {
    #[command(flatten)]
    port: PortFlags,
    /// The Host header; the endpoint's address by default.
    #[arg(long)]
    host: Option<String>,
    /// The path to get.
    #[arg(long, value_name = "PATH")]
    request_path: Option<String>,
    /// What the body must begin with.
    #[arg(long)]
    response: Option<String>,
    /// What to say of the connection before anything is sent.
    #[arg(long, value_parser = EnumName(&["NONE", "PROXY_V1"]))]
    proxy_header: Option<String>,
}

#[derive(Debug, Default, Args)]
pub(in crate::cli) struct GrpcFlags {
    /// The port to probe.
    #[arg(long)]
    port: Option<u16>,
    /// Probe the port that a proxy would use.
    #[arg(long, conflicts_with = "port")]
    use_serving_port: bool,
    /// The service to ask for.
    #[arg(long, value_name = "NAME")]
    grpc_service_name: Option<String>,
}

impl CommonFlags {
    pub(super) fn set(&self, fields: &mut Fields) {
        fields.set_or_clear("description", self.description.as_ref());
        fields.set("checkIntervalSec", self.check_interval);
        fields.set("timeoutSec", self.timeout);
        fields.set("healthyThreshold", self.healthy_threshold);
        fields.set("unhealthyThreshold", self.unhealthy_threshold);
        fields.set(
            "logConfig.enable",
            switch(self.enable_logging, self.no_enable_logging),
        );
    }
}

impl PortChoice {
    /// A fixed port wins over a name, as in gcloud.
    pub(super) fn set(&self, fields: &mut Fields, object: &str) {
        let specification = match (self.port, &self.name) {
            _ if self.serving => Some("USE_SERVING_PORT"),
            (Some(_), _) => Some("USE_FIXED_PORT"),
            (None, Some(name)) if !name.is_empty() => Some("USE_NAMED_PORT"),
            (None, _) => None,
        };
        fields.set(&format!("{object}.port"), self.port);
        if self.port.is_none() {
            fields.set_or_clear(&format!("{object}.portName"), self.name.as_ref());
        }
        fields.set(&format!("{object}.portSpecification"), specification);
    }

    /// A new check that says nothing of its port probes this one.
    pub(super) fn or_port(mut self, port: u16) -> Self {
        if self == Self::default() {
            self.port = Some(port);
        }
        self
    }
}

impl PortFlags {
    fn choice(&self) -> PortChoice {
        PortChoice {
            port: self.port,
            name: self.port_name.clone(),
            serving: self.use_serving_port,
        }
    }
}

impl ProtocolFlags for StreamFlags {
    fn set(&self, fields: &mut Fields, object: &str) {
        fields.set_or_clear(&format!("{object}.request"), self.request.as_ref());
        fields.set_or_clear(&format!("{object}.response"), self.response.as_ref());
        fields.set(&format!("{object}.proxyHeader"), self.proxy_header.clone());
    }

    fn port(&self) -> PortChoice {
        self.port.choice()
    }
}

impl ProtocolFlags for HttpFlags {
    fn set(&self, fields: &mut Fields, object: &str) {
        fields.set_or_clear(&format!("{object}.host"), self.host.as_ref());
        fields.set_or_clear(&format!("{object}.requestPath"), self.request_path.as_ref());
        fields.set_or_clear(&format!("{object}.response"), self.response.as_ref());
        fields.set(&format!("{object}.proxyHeader"), self.proxy_header.clone());
    }

    fn port(&self) -> PortChoice {
        self.port.choice()
    }
}

impl ProtocolFlags for GrpcFlags {
    fn set(&self, fields: &mut Fields, object: &str) {
        fields.set_or_clear(
            &format!("{object}.grpcServiceName"),
            self.grpc_service_name.as_ref(),
        );
    }

    fn port(&self) -> PortChoice {
        PortChoice {
            port: self.port,
            name: None,
            serving: self.use_serving_port,
        }
    }
}
