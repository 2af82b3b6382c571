//! An event as a line of JSON, with the cloud's names for its fields.

use jiff::Timestamp;
use serde::Serialize;

use super::event::{Event, EventKind};
use super::snapshot::Endpoint;
use crate::dataplane::{TrackedTuple, now};
use crate::model::{InstanceField, ResourcePath};

/// From the data plane's clock to the time of day. It follows steps of the system's clock, and is otherwise the same
/// from scan to scan, so that a connection's lines tell one start.
#[derive(Debug, Default)]
pub(super) struct Calendar {
    boot: i64,
}

impl Calendar {
    pub(super) fn adjust(&mut self) {
        let boot = Timestamp::now().as_second() - i64::from(now());
        if boot.abs_diff(self.boot) > 1 {
            self.boot = boot;
        }
    }

    fn time(&self, second: u32) -> String {
        let time = Timestamp::from_second(self.boot + i64::from(second));
        time.unwrap_or(Timestamp::UNIX_EPOCH).to_string()
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    timestamp: String,
    event: &'static str,
    connection: IpConnection,
    #[serde(skip_serializing_if = "Option::is_none")]
    start_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_time: Option<String>,
    endpoint: EndpointName<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    previous_endpoint: Option<EndpointName<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    server_instance: Option<InstanceDetails<'a>>,
    resource: Resource<'a>,
}

/// Parts that the connection is not tracked by are left out.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct IpConnection {
    client_ip: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_port: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    server_ip: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    server_port: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    protocol: Option<u8>,
}

impl From<&TrackedTuple> for IpConnection {
    fn from(tuple: &TrackedTuple) -> Self {
        const TCP_UDP_SCTP: [u8; 3] = [6, 17, 132];
        let has_ports = tuple.protocol.is_some_and(|it| TCP_UDP_SCTP.contains(&it));
        let ports = tuple.ports.filter(|_| has_ports);
        Self {
            client_ip: tuple.source.to_string(),
            client_port: ports.map(|(client, _)| client),
            server_ip: tuple.destination.map(|address| address.to_string()),
            server_port: ports.map(|(_, server)| server),
            protocol: tuple.protocol,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct EndpointName<'a> {
    ip_address: String,
    group: &'a str,
    zone: &'a str,
}

impl<'a> From<&'a Endpoint> for EndpointName<'a> {
    fn from(endpoint: &'a Endpoint) -> Self {
        Self {
            ip_address: endpoint.id.address.to_string(),
            group: endpoint.id.group.name(),
            zone: &endpoint.zone,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct InstanceDetails<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    project_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    region: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    vm: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    vm_ip: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    zone: Option<&'a str>,
}

impl<'a> InstanceDetails<'a> {
    /// An endpoint that names no instance has no details.
    fn of(endpoint: &'a Endpoint) -> Option<Self> {
        let service = &endpoint.service;
        let vm = endpoint.id.instance.as_deref()?;
        let chosen = |field| service.logging.fields.contains(&field);
        (!service.logging.fields.is_empty()).then(|| Self {
            project_id: chosen(InstanceField::ProjectId).then(|| segment(&endpoint.id.group, 1)),
            region: chosen(InstanceField::Region).then(|| segment(&service.path, 3)),
            vm: chosen(InstanceField::Vm).then_some(vm),
            vm_ip: chosen(InstanceField::VmIp).then(|| endpoint.id.address.to_string()),
            zone: chosen(InstanceField::Zone).then_some(endpoint.zone.as_str()),
        })
    }
}

/// The cloud's monitored resource.
#[derive(Serialize)]
struct Resource<'a> {
    labels: Labels<'a>,
}

#[derive(Serialize)]
struct Labels<'a> {
    project_id: &'a str,
    region: &'a str,
    backend_service_name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    forwarding_rule_name: Option<&'a str>,
}

/// `projects/{1}/regions/{3}/…`
fn segment(path: &ResourcePath, index: usize) -> &str {
    path.as_str().split('/').nth(index).unwrap_or_default()
}

/// Appends the event and a line feed.
pub(super) fn append(lines: &mut Vec<u8>, event: &Event<'_>, calendar: &Calendar) {
    let endpoint = event.endpoint;
    let tuple = TrackedTuple::from(event.tuple);
    let (name, end_time, moved) = match event.kind {
        EventKind::Begin => ("BEGIN", None, None),
        EventKind::End => ("END", Some(calendar.time(event.last)), None),
        EventKind::Moved { from, reason } => ("MOVED", None, Some((from, reason))),
    };
    let line = Line {
        timestamp: Timestamp::now().to_string(),
        event: name,
        connection: IpConnection::from(&tuple),
        start_time: event.start.map(|start| calendar.time(start)),
        end_time,
        endpoint: endpoint.into(),
        previous_endpoint: moved.map(|(from, _)| from.into()),
        reason: moved
            .and_then(|(_, reason)| reason)
            .map(super::MoveReason::as_str),
        server_instance: InstanceDetails::of(endpoint),
        resource: Resource {
            labels: Labels {
                project_id: segment(&endpoint.service.path, 1),
                region: segment(&endpoint.service.path, 3),
                backend_service_name: endpoint.service.path.name(),
                forwarding_rule_name: endpoint.service.rule_of(&tuple).map(|rule| rule.path.name()),
            },
        },
    };
    if serde_json::to_writer(&mut *lines, &line).is_ok() {
        lines.push(b'\n');
    }
}
