//! `BackendService` and what it nests.

use super::*;

const CAPACITY: &str =
    "a passthrough load balancer knows no capacity: it spreads connections evenly, or by weight";
const MIGRATION: &str = "there is no other load balancer here to migrate to";
const COOKIE: &str = "a cookie needs a proxy load balancer";
const IAP_PROXY: &str = "Identity-Aware Proxy needs a proxy load balancer";
const CDN: &str = "Cloud CDN needs a proxy load balancer";

pub(super) const FIELDS: &[Field] = &[
    KIND,
    ID,
    CREATED,
    NAME,
    DESCRIPTION,
    SELF_LINK,
    output("region"),
    FINGERPRINT,
    output("usedBy"),
    output("securityPolicy"),
    output("edgeSecurityPolicy"),
    acts("backends", Shape::List(&Shape::Object(BACKEND), 100)),
    acts(
        "healthChecks",
        Shape::List(&Shape::Reference(&[Kind::HealthCheck]), 1),
    ),
    acts(
        "protocol",
        Shape::Enum(
            &["TCP", "UDP", "UNSPECIFIED"],
            &[
                ("HTTP", PROXY),
                ("HTTPS", PROXY),
                ("HTTP2", PROXY),
                ("H2C", PROXY),
                ("SSL", PROXY),
                ("GRPC", PROXY),
            ],
        ),
    )
    .or(Default::Text("TCP")),
    acts(
        "sessionAffinity",
        Shape::Enum(
            &[
                "NONE",
                "CLIENT_IP",
                "CLIENT_IP_PROTO",
                "CLIENT_IP_PORT_PROTO",
                "CLIENT_IP_NO_DESTINATION",
            ],
            &[
                ("GENERATED_COOKIE", COOKIE),
                ("HTTP_COOKIE", COOKIE),
                ("STRONG_COOKIE_AFFINITY", COOKIE),
                ("HEADER_FIELD", "affinity by a header needs a proxy load balancer"),
            ],
        ),
    )
    .or(Default::Text("NONE")),
    acts(
        "loadBalancingScheme",
        Shape::Enum(
            &["INTERNAL", "EXTERNAL"],
            &[
                ("EXTERNAL_MANAGED", PROXY),
                ("INTERNAL_MANAGED", PROXY),
                ("INTERNAL_SELF_MANAGED", MESH),
            ],
        ),
    )
    .or(Default::Text("EXTERNAL"))
    .fixed(),
    acts("failoverPolicy", Shape::Object(FAILOVER_POLICY)),
    acts("connectionDraining", Shape::Object(CONNECTION_DRAINING)).or(Default::Object),
    acts(
        "connectionTrackingPolicy",
        Shape::Object(CONNECTION_TRACKING_POLICY),
    ),
    acts(
        "localityLbPolicy",
        Shape::Enum(
            &[
                "MAGLEV",
                "WEIGHTED_MAGLEV",
                "GCP_RENDEZVOUS",
                "WEIGHTED_GCP_RENDEZVOUS",
            ],
            &[
                ("ROUND_ROBIN", PROXY),
                ("WEIGHTED_ROUND_ROBIN", PROXY),
                ("LEAST_REQUEST", PROXY),
                ("RING_HASH", PROXY),
                ("RANDOM", PROXY),
                ("ORIGINAL_DESTINATION", MESH),
            ],
        ),
    ),
    acts("subsetting", Shape::Object(SUBSETTING)),
    acts("networkPassThroughLbTrafficPolicy", Shape::Object(TRAFFIC_POLICY)),
    acts("haPolicy", Shape::Object(HA_POLICY)),
    acts("logConfig", Shape::Object(LOG_CONFIG)),
    stored("network", TEXT).fixed(),
    stored("metadatas", Shape::Map),
    stored("params", Shape::Object(PARAMS)),
    stored("timeoutSec", COUNT).or(Default::Int(30)),
    refused("affinityCookieTtlSec", COUNT, COOKIE).or(Default::Int(0)),
    refused(
        "orchestrationInfo",
        Shape::Object(ORCHESTRATION_INFO),
        "no other system manages a service here",
    ),
    refused(
        "tlsSettings",
        Shape::Object(TLS_SETTINGS),
        "TLS to the backends needs a proxy load balancer",
    ),
    stored("iap", Shape::Object(IAP)),
    refused("enableCDN", Shape::Bool, CDN),
    refused("cdnPolicy", Shape::Object(CDN_POLICY), CDN),
    refused("customRequestHeaders", TEXTS, PROXY),
    refused("customResponseHeaders", TEXTS, PROXY),
    refused("compressionMode", Shape::Enum(&["DISABLED"], &[]), PROXY),
    refused("circuitBreakers", Shape::Object(CIRCUIT_BREAKERS), PROXY),
    refused("consistentHash", Shape::Object(CONSISTENT_HASH), MESH),
    refused("outlierDetection", Shape::Object(OUTLIER_DETECTION), PROXY),
    refused("maxStreamDuration", Shape::Object(DURATION), PROXY),
    refused("securitySettings", Shape::Object(SECURITY_SETTINGS), MESH),
    refused("serviceBindings", TEXTS, MESH),
    refused("serviceLbPolicy", TEXT, PROXY),
    refused(
        "localityLbPolicies",
        Shape::List(&Shape::Object(LOCALITY_POLICY), 1024),
        MESH,
    ),
    refused(
        "customMetrics",
        Shape::List(&Shape::Object(CUSTOM_METRIC), 1024),
        PROXY,
    ),
    refused(
        "ipAddressSelectionPolicy",
        Shape::Enum(&["IP_ADDRESS_SELECTION_POLICY_UNSPECIFIED"], &[]),
        PROXY,
    ),
    refused(
        "strongSessionAffinityCookie",
        Shape::Object(COOKIE_FIELDS),
        COOKIE,
    ),
    refused("externalManagedMigrationState", TEXT, MIGRATION),
    refused(
        "externalManagedMigrationTestingPercentage",
        Shape::Float(0.0, 100.0),
        MIGRATION,
    ),
    refused(
        "port",
        Shape::Int(0, 65535),
        "packets keep their destination port",
    ),
    refused("portName", TEXT, "packets keep their destination port"),
];

const BACKEND: &[Field] = &[
    acts(
        "group",
        Shape::Reference(&[Kind::NetworkEndpointGroup, Kind::InstanceGroup]),
    )
    .required(),
    stored("description", TEXT),
    acts("failover", Shape::Bool),
    acts(
        "balancingMode",
        Shape::Enum(
            &["CONNECTION"],
            &[
                ("UTILIZATION", CAPACITY),
                ("RATE", CAPACITY),
                ("IN_FLIGHT", CAPACITY),
                ("CUSTOM_METRICS", CAPACITY),
            ],
        ),
    )
    .or(Default::Text("CONNECTION")),
    forbidden("capacityScaler", Shape::Float(0.0, 1.0), CAPACITY),
    refused(
        "customMetrics",
        Shape::List(&Shape::Object(BACKEND_METRIC), 1024),
        CAPACITY,
    ),
    refused("maxConnections", COUNT, CAPACITY),
    refused("maxConnectionsPerEndpoint", COUNT, CAPACITY),
    refused("maxConnectionsPerInstance", COUNT, CAPACITY),
    refused("maxInFlightRequests", COUNT, CAPACITY),
    refused("maxInFlightRequestsPerEndpoint", COUNT, CAPACITY),
    refused("maxInFlightRequestsPerInstance", COUNT, CAPACITY),
    refused("maxRate", COUNT, CAPACITY),
    refused("maxRatePerEndpoint", Shape::Float(0.0, f64::MAX), CAPACITY),
    refused("maxRatePerInstance", Shape::Float(0.0, f64::MAX), CAPACITY),
    refused("maxUtilization", Shape::Float(0.0, 1.0), CAPACITY),
    refused(
        "orchestrationInfo",
        Shape::Object(ORCHESTRATION_INFO),
        "no other system manages a backend here",
    ),
    refused(
        "preference",
        Shape::Enum(&["PREFERENCE_UNSPECIFIED"], &[]),
        CAPACITY,
    ),
    refused(
        "trafficDuration",
        Shape::Enum(&["TRAFFIC_DURATION_UNSPECIFIED"], &[]),
        CAPACITY,
    ),
];

const FAILOVER_POLICY: &[Field] = &[
    acts("failoverRatio", Shape::Float(0.0, 1.0)),
    acts("dropTrafficIfUnhealthy", Shape::Bool),
    acts("disableConnectionDrainOnFailover", Shape::Bool),
];

const CONNECTION_DRAINING: &[Field] = &[acts("drainingTimeoutSec", Shape::Int(0, 3600)).or(Default::Int(0))];

const CONNECTION_TRACKING_POLICY: &[Field] = &[
    acts(
        "trackingMode",
        Shape::Enum(&["PER_CONNECTION", "PER_SESSION"], &[]),
    ),
    acts(
        "connectionPersistenceOnUnhealthyBackends",
        Shape::Enum(&["DEFAULT_FOR_PROTOCOL", "NEVER_PERSIST", "ALWAYS_PERSIST"], &[]),
    ),
    acts("enableStrongAffinity", Shape::Bool),
    acts("idleTimeoutSec", COUNT),
];

const SUBSETTING: &[Field] = &[acts(
    "policy",
    Shape::Enum(&["NONE", "CONSISTENT_HASH_SUBSETTING"], &[]),
)];

const TRAFFIC_POLICY: &[Field] = &[acts("zonalAffinity", Shape::Object(ZONAL_AFFINITY))];

const ZONAL_AFFINITY: &[Field] = &[
    acts(
        "spillover",
        Shape::Enum(
            &[
                "ZONAL_AFFINITY_DISABLED",
                "ZONAL_AFFINITY_STAY_WITHIN_ZONE",
                "ZONAL_AFFINITY_SPILL_CROSS_ZONE",
            ],
            &[],
        ),
    ),
    acts("spilloverRatio", Shape::Float(0.0, 1.0)),
];

const HA_POLICY: &[Field] = &[
    acts(
        "fastIPMove",
        Shape::Enum(
            &["DISABLED"],
            &[(
                "GARP_RA",
                "the leader is moved by haPolicy.leader only, not by its own ARP",
            )],
        ),
    ),
    acts("leader", Shape::Object(HA_LEADER)),
];

const HA_LEADER: &[Field] = &[
    acts("backendGroup", Shape::Reference(&[Kind::NetworkEndpointGroup])).required(),
    acts("networkEndpoint", Shape::Object(HA_LEADER_ENDPOINT)),
];

const HA_LEADER_ENDPOINT: &[Field] = &[acts("instance", TEXT)];

const LOG_CONFIG: &[Field] = &[
    acts("enable", Shape::Bool),
    acts("sampleRate", Shape::Float(0.0, 1.0)),
    acts(
        "optionalMode",
        Shape::Enum(&["INCLUDE_ALL_OPTIONAL", "EXCLUDE_ALL_OPTIONAL", "CUSTOM"], &[]),
    ),
    acts("optionalFields", TEXTS),
    refused(
        "loggingHttpRequestHeaders",
        Shape::List(&Shape::Object(HEADER_NAME), 1024),
        PROXY,
    ),
    refused(
        "loggingHttpResponseHeaders",
        Shape::List(&Shape::Object(HEADER_NAME), 1024),
        PROXY,
    ),
];

const PARAMS: &[Field] = &[stored("resourceManagerTags", Shape::Map)];

const ORCHESTRATION_INFO: &[Field] = &[stored("resourceUri", TEXT)];

/// Described services carry these with IAP off; then the client's id and digest are without effect.
const IAP: &[Field] = &[
    refused("enabled", Shape::Bool, IAP_PROXY),
    stored("oauth2ClientId", TEXT),
    refused("oauth2ClientSecret", TEXT, IAP_PROXY),
    stored("oauth2ClientSecretSha256", TEXT),
];

const HEADER_NAME: &[Field] = &[stored("headerName", TEXT)];

const TLS_SETTINGS: &[Field] = &[
    stored("authenticationConfig", TEXT),
    stored("identity", TEXT),
    stored("sni", TEXT),
    stored(
        "subjectAltNames",
        Shape::List(&Shape::Object(SUBJECT_ALT_NAME), 1024),
    ),
];

const SUBJECT_ALT_NAME: &[Field] = &[stored("dnsName", TEXT), stored("uniformResourceIdentifier", TEXT)];

const DURATION: &[Field] = &[stored("nanos", COUNT), stored("seconds", Shape::Long)];

const COOKIE_FIELDS: &[Field] = &[
    stored("name", TEXT),
    stored("path", TEXT),
    stored("ttl", Shape::Object(DURATION)),
];

const CDN_POLICY: &[Field] = &[
    stored(
        "bypassCacheOnRequestHeaders",
        Shape::List(&Shape::Object(HEADER_NAME), 1024),
    ),
    stored("cacheKeyPolicy", Shape::Object(CACHE_KEY_POLICY)),
    stored("cacheMode", TEXT),
    stored("clientTtl", COUNT),
    stored("defaultTtl", COUNT),
    stored("maxTtl", COUNT),
    stored("negativeCaching", Shape::Bool),
    stored(
        "negativeCachingPolicy",
        Shape::List(&Shape::Object(NEGATIVE_CACHING), 1024),
    ),
    stored("requestCoalescing", Shape::Bool),
    stored("serveWhileStale", COUNT),
    stored("signedUrlCacheMaxAgeSec", Shape::Long),
    stored("signedUrlKeyNames", TEXTS),
];

const CACHE_KEY_POLICY: &[Field] = &[
    stored("includeHost", Shape::Bool),
    stored("includeHttpHeaders", TEXTS),
    stored("includeNamedCookies", TEXTS),
    stored("includeProtocol", Shape::Bool),
    stored("includeQueryString", Shape::Bool),
    stored("queryStringBlacklist", TEXTS),
    stored("queryStringWhitelist", TEXTS),
];

const NEGATIVE_CACHING: &[Field] = &[stored("code", COUNT), stored("ttl", COUNT)];

const CIRCUIT_BREAKERS: &[Field] = &[
    stored("maxConnections", COUNT),
    stored("maxPendingRequests", COUNT),
    stored("maxRequests", COUNT),
    stored("maxRequestsPerConnection", COUNT),
    stored("maxRetries", COUNT),
];

const CONSISTENT_HASH: &[Field] = &[
    stored("httpCookie", Shape::Object(COOKIE_FIELDS)),
    stored("httpHeaderName", TEXT),
    stored("minimumRingSize", Shape::Long),
];

const OUTLIER_DETECTION: &[Field] = &[
    stored("baseEjectionTime", Shape::Object(DURATION)),
    stored("consecutiveErrors", COUNT),
    stored("consecutiveGatewayFailure", COUNT),
    stored("enforcingConsecutiveErrors", COUNT),
    stored("enforcingConsecutiveGatewayFailure", COUNT),
    stored("enforcingSuccessRate", COUNT),
    stored("interval", Shape::Object(DURATION)),
    stored("maxEjectionPercent", COUNT),
    stored("successRateMinimumHosts", COUNT),
    stored("successRateRequestVolume", COUNT),
    stored("successRateStdevFactor", COUNT),
];

const SECURITY_SETTINGS: &[Field] = &[
    stored("awsV4Authentication", Shape::Object(AWS_V4)),
    stored("clientTlsPolicy", TEXT),
    stored("subjectAltNames", TEXTS),
];

const AWS_V4: &[Field] = &[
    stored("accessKey", TEXT),
    stored("accessKeyId", TEXT),
    stored("accessKeyVersion", TEXT),
    stored("originRegion", TEXT),
];

const LOCALITY_POLICY: &[Field] = &[
    stored("customPolicy", Shape::Object(CUSTOM_POLICY)),
    stored("policy", Shape::Object(POLICY_NAME)),
];

const CUSTOM_POLICY: &[Field] = &[stored("data", TEXT), stored("name", TEXT)];

const POLICY_NAME: &[Field] = &[stored("name", TEXT)];

const CUSTOM_METRIC: &[Field] = &[stored("dryRun", Shape::Bool), stored("name", TEXT)];

const BACKEND_METRIC: &[Field] = &[
    stored("dryRun", Shape::Bool),
    stored("maxUtilization", Shape::Float(0.0, 1.0)),
    stored("name", TEXT),
];
