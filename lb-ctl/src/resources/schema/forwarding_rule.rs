//! `ForwardingRule` and what it nests.

use super::*;

const PSC: &str = "Private Service Connect does not exist here";
const REPLACE: &str = "delete the rule and insert it anew, or apply a file";
const DNS: &str = "no DNS names are served here";

pub(super) const FIELDS: &[Field] = &[
    KIND,
    ID,
    CREATED,
    NAME,
    DESCRIPTION.not_by_api(REPLACE),
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
    acts("IPAddress", TEXT).required().fixed(),
    acts(
        "IPProtocol",
        Shape::Enum(&["TCP", "UDP", "L3_DEFAULT", "SCTP", "ESP", "AH", "ICMP"], &[]),
    )
    .or(Default::Text("TCP"))
    .fixed(),
    acts(
        "ipVersion",
        Shape::Enum(&["IPV4", "IPV6", "UNSPECIFIED_VERSION"], &[]),
    )
    .fixed(),
    acts("ports", Shape::List(&TEXT, 5)).fixed(),
    acts("portRange", TEXT).fixed(),
    acts("allPorts", Shape::Bool).fixed(),
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
    .or(Default::Text("EXTERNAL"))
    .fixed(),
    acts("backendService", Shape::Reference(&[Kind::BackendService]))
        .required()
        .not_by_api(REPLACE),
    stored("labels", Shape::Map).not_by_api("the method is setLabels"),
    stored("network", TEXT).fixed(),
    stored("subnetwork", TEXT).fixed(),
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
    stored("ipCollection", TEXT).fixed(),
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
