//! `ForwardingRule` and what it nests.

use super::*;

const PSC: &str = "Private Service Connect does not exist here";
const DNS: &str = "no DNS names are served here";

pub(super) const FIELDS: &[Field] = &[
    KIND,
    ID,
    CREATED,
    NAME,
    DESCRIPTION,
    SELF_LINK,
    output("selfLinkWithId"),
    output("region"),
    FINGERPRINT,
    output("labelFingerprint"),
    output("baseForwardingRule"),
    output("attachedExtensions"),
    output("pscConnectionId"),
    output("pscConnectionStatus"),
    output("serviceName"),
    acts("IPAddress", TEXT).required(),
    acts(
        "IPProtocol",
        Shape::Enum(&["TCP", "UDP", "L3_DEFAULT", "SCTP", "ESP", "AH", "ICMP"], &[]),
    )
    .or(Default::Text("TCP")),
    acts(
        "ipVersion",
        Shape::Enum(&["IPV4", "IPV6", "UNSPECIFIED_VERSION"], &[]),
    ),
    acts("ports", Shape::List(&TEXT, 5)),
    acts("portRange", TEXT),
    acts("allPorts", Shape::Bool),
    acts("sourceIpRanges", Shape::List(&TEXT, 64)),
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
    .or(Default::Text("EXTERNAL")),
    acts("backendService", Shape::Reference(&[Kind::BackendService])).required(),
    stored("labels", Shape::Map),
    stored("network", TEXT),
    stored("subnetwork", TEXT),
    stored(
        "networkTier",
        Shape::Enum(
            &[
                "PREMIUM",
                "STANDARD",
                "FIXED_STANDARD",
                "STANDARD_OVERRIDES_FIXED_STANDARD",
            ],
            &[],
        ),
    ),
    stored("allowGlobalAccess", Shape::Bool),
    stored("ipCollection", TEXT),
    refused(
        "target",
        TEXT,
        "a rule leads to a backendService here; targets are proxies, VPN gateways and the like",
    ),
    refused(
        "isMirroringCollector",
        Shape::Bool,
        "packet mirroring does not exist here",
    ),
    refused(
        "metadataFilters",
        Shape::List(&Shape::Object(METADATA_FILTER), 1024),
        MESH,
    ),
    refused("allowPscGlobalAccess", Shape::Bool, PSC),
    refused("noAutomateDnsZone", Shape::Bool, PSC),
    refused("serviceLabel", TEXT, DNS),
    refused(
        "serviceDirectoryRegistrations",
        Shape::List(&Shape::Object(REGISTRATION), 1024),
        DNS,
    ),
    refused("externalManagedBackendBucketMigrationState", TEXT, PROXY),
    refused(
        "externalManagedBackendBucketMigrationTestingPercentage",
        Shape::Float(0.0, 100.0),
        PROXY,
    ),
];

const METADATA_FILTER: &[Field] = &[
    stored("filterLabels", Shape::List(&Shape::Object(FILTER_LABEL), 1024)),
    stored("filterMatchCriteria", TEXT),
];

const FILTER_LABEL: &[Field] = &[stored("name", TEXT), stored("value", TEXT)];

const REGISTRATION: &[Field] = &[
    stored("namespace", TEXT),
    stored("service", TEXT),
    stored("serviceDirectoryRegion", TEXT),
];
