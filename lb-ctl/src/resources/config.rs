//! Judged resources into the model. By now every value is right; what still can't be converted is a fault of ours,
//! reported like any other rather than panicked on.

use jiff::Timestamp;
use serde_json::Value;

use super::apply::Mode;
use super::document::Document;
use super::draft::{Draft, Drafts, Report};
use super::fault::{Fault, Warning};
use super::kind::{Kind, Scope};
use super::set::{Resources, probe_field};
use super::{link, members, rules, typed};
use crate::model::*;

/// Judges documents by themselves: what they refer to must be among them.
pub fn validate(documents: &[Document], scope: &Scope) -> Result<(Config, Vec<Warning>), Vec<Fault>> {
    let applied = Resources::default().apply(documents, scope, Mode::Additive, Timestamp::UNIX_EPOCH)?;
    Ok((applied.config, applied.warnings))
}

/// Builds the model of drafts that are free of faults; an empty one of others.
pub(super) fn build(drafts: &Drafts, report: &mut Report) -> Config {
    let mut config = Config::default();
    if !report.faults.is_empty() {
        return config;
    }
    for (path, draft) in drafts {
        let path = path.clone();
        let built = match draft.kind {
            Kind::BackendService => backend_service(draft).map(|it| drop(config.services.insert(path, it))),
            Kind::ForwardingRule => forwarding_rule(draft).map(|it| drop(config.rules.insert(path, it))),
            Kind::HealthCheck => health_check(draft).map(|it| drop(config.health_checks.insert(path, it))),
            Kind::NetworkEndpointGroup | Kind::InstanceGroup => {
                group(draft, drafts).map(|it| drop(config.groups.insert(path, it)))
            }
            Kind::Instance => Some(()),
        };
        if built.is_none() {
            report.invalid(
                draft,
                "",
                "passed every rule, yet can't be understood; this is a fault of the load balancer",
            );
        }
    }
    config
}

fn backend_service(draft: &Draft) -> Option<BackendService> {
    let scheme = draft
        .text("loadBalancingScheme")
        .or("EXTERNAL")
        .and_then(Scheme::from_api)?;
    let protocol = match draft.text("protocol").or("TCP")? {
        "TCP" => ServiceProtocol::Tcp,
        "UDP" => ServiceProtocol::Udp,
        "UNSPECIFIED" => ServiceProtocol::Unspecified,
        _ => return None,
    };
    let backends = draft
        .list("backends")
        .iter()
        .map(|entry| backend(draft, entry))
        .collect::<Option<Vec<_>>>()?;
    let tracking = |name: &str| format!("connectionTrackingPolicy.{name}");
    let persistence = draft.text("connectionTrackingPolicy.connectionPersistenceOnUnhealthyBackends");
    let idle = draft
        .int(&tracking("idleTimeoutSec"))
        .or(if scheme == Scheme::Internal { 600 } else { 60 });
    Some(BackendService {
        path: draft.path.clone(),
        protocol,
        scheme,
        affinity: draft
            .text("sessionAffinity")
            .or("NONE")
            .and_then(SessionAffinity::from_api)?,
        tracking: draft
            .text(&tracking("trackingMode"))
            .or("PER_CONNECTION")
            .and_then(TrackingMode::from_api)?,
        persistence: persistence
            .or("DEFAULT_FOR_PROTOCOL")
            .and_then(Persistence::from_api)?,
        idle_timeout_sec: u32::try_from(idle?).ok()?,
        failover: failover(draft, &backends)?,
        draining_timeout_sec: u32::try_from(draft.int("connectionDraining.drainingTimeoutSec").or(0)?)
            .ok()?,
        locality: locality(draft, scheme)?,
        health_check: draft
            .list("healthChecks")
            .first()
            .map(|(_, url)| path_of(url))
            .map_or(Some(None), |p| p.map(Some))?,
        subsetting: draft.text("subsetting.policy").get() == Some("CONSISTENT_HASH_SUBSETTING"),
        zonal_affinity: zonal_affinity(draft)?,
        ha_policy: draft
            .is_present("haPolicy")
            .then(|| ha_policy(draft))
            .map_or(Some(None), |p| p.map(Some))?,
        log: connection_logging(draft)?,
        // Kept beside the resource: whoever knows that puts it here.
        table_slots: TableSlots::default(),
        backends,
    })
}

fn path_of(url: &Value) -> Option<ResourcePath> {
    link::resolved(url.as_str()?)
}

fn backend(draft: &Draft, entry: &(String, &Value)) -> Option<Backend> {
    let group = path_of(draft.member(entry, "group")?)?;
    Some(Backend {
        group,
        failover: draft.member(entry, "failover") == Some(&Value::Bool(true)),
    })
}

/// A failover backend without a policy acts as under an empty policy.
fn failover(draft: &Draft, backends: &[Backend]) -> Option<Option<FailoverPolicy>> {
    if !draft.is_present("failoverPolicy") && !backends.iter().any(|backend| backend.failover) {
        return Some(None);
    }
    Some(Some(FailoverPolicy {
        ratio: ratio(draft, "failoverPolicy.failoverRatio")?,
        drop_traffic_if_unhealthy: draft.flag("failoverPolicy.dropTrafficIfUnhealthy"),
        disable_connection_drain_on_failover: draft.flag("failoverPolicy.disableConnectionDrainOnFailover"),
    }))
}

fn ratio(draft: &Draft, field: &str) -> Option<Ratio> {
    draft.get(field).get().map_or(
        Some(Ratio {
            numerator: 0,
            denominator: 1,
        }),
        typed::ratio,
    )
}

fn locality(draft: &Draft, scheme: Scheme) -> Option<LocalityPolicy> {
    let default = if scheme == Scheme::Internal {
        "GCP_RENDEZVOUS"
    } else {
        "MAGLEV"
    };
    Some(match draft.text("localityLbPolicy").or(default)? {
        "MAGLEV" => LocalityPolicy::Maglev,
        "WEIGHTED_MAGLEV" => LocalityPolicy::WeightedMaglev,
        "GCP_RENDEZVOUS" => LocalityPolicy::Rendezvous,
        "WEIGHTED_GCP_RENDEZVOUS" => LocalityPolicy::WeightedRendezvous,
        _ => return None,
    })
}

fn zonal_affinity(draft: &Draft) -> Option<Option<ZonalAffinity>> {
    let at = "networkPassThroughLbTrafficPolicy.zonalAffinity";
    Some(
        match draft
            .text(&format!("{at}.spillover"))
            .or("ZONAL_AFFINITY_DISABLED")?
        {
            "ZONAL_AFFINITY_DISABLED" => None,
            "ZONAL_AFFINITY_STAY_WITHIN_ZONE" => Some(ZonalAffinity::StayWithinZone),
            "ZONAL_AFFINITY_SPILL_CROSS_ZONE" => Some(ZonalAffinity::SpillCrossZone(ratio(
                draft,
                &format!("{at}.spilloverRatio"),
            )?)),
            _ => return None,
        },
    )
}

fn connection_logging(draft: &Draft) -> Option<Option<ConnectionLogging>> {
    if !draft.flag("logConfig.enable") {
        return Some(None);
    }
    let all = Ratio {
        numerator: 1,
        denominator: 1,
    };
    let rate = draft.get(rules::SAMPLE_RATE).get();
    Some(Some(ConnectionLogging {
        sample_rate: rate.map_or(Some(all), typed::ratio)?,
        fields: rules::chosen_log_fields(draft)?,
    }))
}

fn ha_policy(draft: &Draft) -> Option<HaPolicy> {
    let Some(group) = draft.get("haPolicy.leader.backendGroup").get() else {
        return Some(HaPolicy { leader: None });
    };
    let instance = draft.text("haPolicy.leader.networkEndpoint.instance").get();
    let instance = instance.map(|text| text.rsplit('/').next().unwrap_or(text).to_owned());
    Some(HaPolicy {
        leader: Some(HaLeader {
            group: path_of(group)?,
            instance,
        }),
    })
}

fn forwarding_rule(draft: &Draft) -> Option<ForwardingRule> {
    Some(ForwardingRule {
        path: draft.path.clone(),
        vip: rules::vip(draft)?,
        protocol: draft
            .text("IPProtocol")
            .or("TCP")
            .and_then(RuleProtocol::from_api)?,
        ports: rules::ports(draft)?,
        source_ranges: rules::source_ranges(draft),
        scheme: draft
            .text("loadBalancingScheme")
            .or("EXTERNAL")
            .and_then(Scheme::from_api)?,
        service: path_of(draft.get("backendService").get()?)?,
    })
}

fn group(draft: &Draft, drafts: &Drafts) -> Option<Group> {
    let annotation = draft
        .value
        .get("annotations")
        .and_then(|annotations| annotations.get("lb/delivery"));
    let delivery = match annotation.and_then(Value::as_str).unwrap_or("auto") {
        "auto" => Delivery::Auto,
        "l2" => Delivery::L2,
        "ipip" => Delivery::Ipip,
        "gue" => Delivery::Gue,
        _ => return None,
    };
    Some(Group {
        path: draft.path.clone(),
        zone: link::location_name(&draft.path)?.to_owned(),
        delivery,
        endpoints: members::endpoints(draft, drafts)
            .into_iter()
            .map(|(_, endpoint)| endpoint)
            .collect(),
    })
}

fn health_check(draft: &Draft) -> Option<HealthCheck> {
    let number = |field: &str, default| {
        draft
            .int(field)
            .or(default)
            .and_then(|number| u32::try_from(number).ok())
    };
    Some(HealthCheck {
        path: draft.path.clone(),
        check_interval_sec: number("checkIntervalSec", 5)?,
        timeout_sec: number("timeoutSec", 5)?,
        healthy_threshold: number("healthyThreshold", 2)?,
        unhealthy_threshold: number("unhealthyThreshold", 2)?,
        log: draft.flag("logConfig.enable"),
        probe: probe(draft, draft.text("type").get()?)?,
    })
}

fn probe(draft: &Draft, probe: &str) -> Option<Probe> {
    let settings = probe_field(probe)?;
    let at = |name: &str| format!("{settings}.{name}");
    let text = |name: &str, default: &str| draft.text(&at(name)).get().unwrap_or(default).to_owned();
    let bytes = |name: &str| text(name, "").into_bytes();
    let port = |default| {
        draft
            .int(&at("port"))
            .or(default)
            .and_then(|port| u16::try_from(port).ok())
    };
    let proxy_header = match text("proxyHeader", "NONE").as_str() {
        "PROXY_V1" => ProxyHeader::ProxyV1,
        _ => ProxyHeader::None,
    };
    let stream = |tls, default| {
        Some(Probe::Tcp {
            tls,
            port: port(default)?,
            proxy_header,
            request: bytes("request"),
            response: bytes("response"),
        })
    };
    let http = |version, default| {
        Some(Probe::Http {
            version,
            port: port(default)?,
            proxy_header,
            host: text("host", ""),
            request_path: text("requestPath", "/"),
            response: bytes("response"),
        })
    };
    match probe {
        "TCP" => stream(false, 80),
        "SSL" => stream(true, 443),
        "HTTP" => http(HttpVersion::Http, 80),
        "HTTPS" => http(HttpVersion::Https, 443),
        "HTTP2" => http(HttpVersion::Http2, 443),
        _ => Some(Probe::Grpc {
            tls: probe == "GRPC_WITH_TLS",
            port: draft
                .int(&at("port"))
                .get()
                .and_then(|port| u16::try_from(port).ok())?,
            service_name: text("grpcServiceName", ""),
        }),
    }
}
