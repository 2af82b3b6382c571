//! The flags of a service's policy, and the fields that they set.

use clap::Args;
use serde_json::{Value, json};

use super::super::Failure;
use super::super::resource::References;
use super::super::values::{EnumName, Fields, KeyValues, seconds, switch};
use crate::control::place::Location;
use crate::resources::Kind;

#[derive(Debug, Default, Args)]
pub(super) struct PolicyFlags {
    /// A text of one's own.
    #[arg(long)]
    description: Option<String>,
    /// The protocol that rules may lead here.
    #[arg(long, value_parser = EnumName(&["TCP", "UDP", "UNSPECIFIED"]))]
    pub(super) protocol: Option<String>,
    /// Which parts of a packet choose its backend.
    #[arg(long, value_parser = EnumName(&[
        "NONE", "CLIENT_IP", "CLIENT_IP_PROTO", "CLIENT_IP_PORT_PROTO", "CLIENT_IP_NO_DESTINATION"]))]
    session_affinity: Option<String>,
    /// How a backend is chosen; the weighted ones need an HTTP, HTTPS or HTTP2 health check.
    #[arg(long, value_parser = EnumName(&[
        "MAGLEV", "WEIGHTED_MAGLEV", "GCP_RENDEZVOUS", "WEIGHTED_GCP_RENDEZVOUS"]))]
    locality_lb_policy: Option<String>,
    /// The health check; at most one.
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    health_checks: Vec<String>,
    /// The region of the health check.
    #[arg(long, value_name = "REGION", requires = "health_checks")]
    health_checks_region: Option<String>,
    /// The health check is global.
    #[arg(long, requires = "health_checks", conflicts_with = "health_checks_region")]
    global_health_checks: bool,
    /// Stored; packets know no timeout.
    #[arg(long, value_name = "DURATION", value_parser = seconds)]
    pub(super) timeout: Option<u64>,
    /// How long the flows of a backend that was removed live on.
    #[arg(long, value_name = "DURATION", value_parser = seconds)]
    connection_draining_timeout: Option<u64>,
    /// Flows live on after a failover, and after a failback; the default.
    #[arg(long, overrides_with = "no_connection_drain_on_failover")]
    connection_drain_on_failover: bool,
    /// A failover or failback breaks the flows.
    #[arg(long, overrides_with = "connection_drain_on_failover")]
    no_connection_drain_on_failover: bool,
    /// Without any healthy backend, drop packets.
    #[arg(long, overrides_with = "no_drop_traffic_if_unhealthy")]
    drop_traffic_if_unhealthy: bool,
    /// Without any healthy backend, use all primary ones; the default.
    #[arg(long, overrides_with = "drop_traffic_if_unhealthy")]
    no_drop_traffic_if_unhealthy: bool,
    /// The least part of the primary backends that must be healthy, 0 to 1, for them to stay in use.
    #[arg(long, value_name = "RATIO")]
    failover_ratio: Option<f64>,
    /// What a flow is: a connection, or whatever the session affinity holds together.
    #[arg(long, value_parser = EnumName(&["PER_CONNECTION", "PER_SESSION"]))]
    tracking_mode: Option<String>,
    /// Whether flows stay with a backend that is unhealthy.
    #[arg(long, value_name = "WHEN", value_parser = EnumName(&[
        "DEFAULT_FOR_PROTOCOL", "NEVER_PERSIST", "ALWAYS_PERSIST"]))]
    connection_persistence_on_unhealthy_backends: Option<String>,
    /// How long a flow without packets lives.
    #[arg(long, value_name = "DURATION", value_parser = seconds)]
    idle_timeout_sec: Option<u64>,
    /// Hold on to a session's backend as long as its flow lives.
    #[arg(long, overrides_with = "no_enable_strong_affinity")]
    enable_strong_affinity: bool,
    /// Let sessions move when the backends change.
    #[arg(long, overrides_with = "enable_strong_affinity")]
    no_enable_strong_affinity: bool,
    /// Let each client have a part of the backends only.
    #[arg(long, value_parser = EnumName(&["NONE", "CONSISTENT_HASH_SUBSETTING"]))]
    subsetting_policy: Option<String>,
    /// Whether packets go to backends of the client's own zone.
    #[arg(long, value_name = "WHERE", value_parser = EnumName(&[
        "ZONAL_AFFINITY_DISABLED", "ZONAL_AFFINITY_STAY_WITHIN_ZONE", "ZONAL_AFFINITY_SPILL_CROSS_ZONE"]))]
    zonal_affinity_spillover: Option<String>,
    /// The least part of a zone's backends that must be healthy, 0 to 1, for packets to stay in it.
    #[arg(long, value_name = "RATIO")]
    zonal_affinity_spillover_ratio: Option<f64>,
    /// Whether the leader is announced by the backends themselves.
    #[arg(long, value_name = "HOW", value_parser = EnumName(&["DISABLED", "GARP_RA"]))]
    ha_policy_fast_ip_move: Option<String>,
    /// The group of the endpoint that gets all packets; a name or a URL.
    #[arg(long, value_name = "NAME")]
    ha_policy_leader_backend_group: Option<String>,
    /// The endpoint that gets all packets: instance=NAME.
    #[arg(long, value_name = "instance=NAME")]
    ha_policy_leader_network_endpoint: Option<KeyValues>,
    /// Log flows.
    #[arg(long, overrides_with = "no_enable_logging")]
    enable_logging: bool,
    /// Log no flows; the default.
    #[arg(long, overrides_with = "enable_logging")]
    no_enable_logging: bool,
    /// The part of the flows that is logged, 0 to 1.
    #[arg(long, value_name = "RATIO")]
    logging_sample_rate: Option<f64>,
    /// Which optional fields a log entry has.
    #[arg(long, value_name = "WHICH", value_parser = EnumName(&[
        "EXCLUDE_ALL_OPTIONAL", "INCLUDE_ALL_OPTIONAL", "CUSTOM"]))]
    logging_optional: Option<String>,
    /// The optional fields, with CUSTOM.
    #[arg(long, value_name = "FIELD,…", value_delimiter = ',')]
    logging_optional_fields: Vec<String>,
}

impl PolicyFlags {
    pub(super) fn fields(&self, references: &References<'_>) -> Result<Fields, Failure> {
        let mut fields = Fields::default();
        fields.set("description", self.description.clone());
        fields.set("protocol", self.protocol.clone());
        fields.set("sessionAffinity", self.session_affinity.clone());
        fields.set("localityLbPolicy", self.locality_lb_policy.clone());
        fields.set("timeoutSec", self.timeout);
        fields.set(
            "connectionDraining.drainingTimeoutSec",
            self.connection_draining_timeout,
        );
        fields.set("subsetting.policy", self.subsetting_policy.clone());
        self.health_checks(&mut fields, references)?;
        self.failover(&mut fields);
        self.tracking(&mut fields);
        self.zonal_affinity(&mut fields);
        self.ha_policy(&mut fields, references)?;
        self.logging(&mut fields);
        Ok(fields)
    }

    fn health_checks(&self, fields: &mut Fields, references: &References<'_>) -> Result<(), Failure> {
        let location = match (&self.health_checks_region, self.global_health_checks) {
            (Some(region), _) => Some(Location::Region(region.clone())),
            (None, true) => Some(Location::Global),
            (None, false) => None,
        };
        let flags = "--health-checks-region or --global-health-checks";
        let find = |name: &String| references.find(Kind::HealthCheck, name, location.clone(), flags);
        let urls = self
            .health_checks
            .iter()
            .map(find)
            .collect::<Result<Vec<_>, _>>()?;
        fields.set("healthChecks", (!urls.is_empty()).then_some(urls));
        Ok(())
    }

    fn failover(&self, fields: &mut Fields) {
        let drain = switch(
            self.connection_drain_on_failover,
            self.no_connection_drain_on_failover,
        );
        let drop = switch(self.drop_traffic_if_unhealthy, self.no_drop_traffic_if_unhealthy);
        fields.set(
            "failoverPolicy.disableConnectionDrainOnFailover",
            drain.map(|drain| !drain),
        );
        fields.set("failoverPolicy.dropTrafficIfUnhealthy", drop);
        fields.set("failoverPolicy.failoverRatio", self.failover_ratio);
    }

    fn tracking(&self, fields: &mut Fields) {
        let strong = switch(self.enable_strong_affinity, self.no_enable_strong_affinity);
        fields.set(
            "connectionTrackingPolicy.trackingMode",
            self.tracking_mode.clone(),
        );
        fields.set(
            "connectionTrackingPolicy.connectionPersistenceOnUnhealthyBackends",
            self.connection_persistence_on_unhealthy_backends.clone(),
        );
        fields.set("connectionTrackingPolicy.idleTimeoutSec", self.idle_timeout_sec);
        fields.set("connectionTrackingPolicy.enableStrongAffinity", strong);
    }

    fn zonal_affinity(&self, fields: &mut Fields) {
        fields.set(
            "networkPassThroughLbTrafficPolicy.zonalAffinity.spillover",
            self.zonal_affinity_spillover.clone(),
        );
        fields.set(
            "networkPassThroughLbTrafficPolicy.zonalAffinity.spilloverRatio",
            self.zonal_affinity_spillover_ratio,
        );
    }

    fn ha_policy(&self, fields: &mut Fields, references: &References<'_>) -> Result<(), Failure> {
        fields.set("haPolicy.fastIPMove", self.ha_policy_fast_ip_move.clone());
        if let Some(group) = &self.ha_policy_leader_backend_group {
            let url = references.find(Kind::NetworkEndpointGroup, group, None, "a URL")?;
            fields.set("haPolicy.leader.backendGroup", Some(url));
        }
        let endpoint = self.ha_policy_leader_network_endpoint.as_ref();
        let endpoint = endpoint.map(|KeyValues(pairs)| Value::from_iter(pairs.clone()));
        fields.set("haPolicy.leader.networkEndpoint", endpoint);
        Ok(())
    }

    fn logging(&self, fields: &mut Fields) {
        fields.set(
            "logConfig.enable",
            switch(self.enable_logging, self.no_enable_logging),
        );
        fields.set("logConfig.sampleRate", self.logging_sample_rate);
        fields.set("logConfig.optionalMode", self.logging_optional.clone());
        let optional = &self.logging_optional_fields;
        fields.set(
            "logConfig.optionalFields",
            (!optional.is_empty()).then(|| json!(optional)),
        );
    }
}
