//! `NetworkEndpointGroup`, `InstanceGroup`, and `Instance` reduced to its name and addresses.

use super::*;

const SERVERLESS: &str = "serverless backends need a proxy load balancer";
const PSC: &str = "Private Service Connect does not exist here";
const NO_PORT: &str = "needs a proxy load balancer or port mapping; packets keep their destination port here";
const INTERNET: &str = "backends on the Internet need a proxy load balancer";

pub(super) const NETWORK_ENDPOINT_GROUP: &[Field] = &[
    KIND,
    ID,
    CREATED,
    NAME,
    DESCRIPTION,
    SELF_LINK,
    output("zone"),
    output("size"),
    acts(
        "networkEndpointType",
        Shape::Enum(
            &["GCE_VM_IP", "NON_GCP_PRIVATE_IP_PORT"],
            &[
                ("GCE_VM_IP_PORT", NO_PORT),
                ("GCE_VM_IP_PORTMAP", NO_PORT),
                (
                    "GCE_VM_IP_DEDICATED_BACKEND",
                    "dedicated backends do not exist here; use GCE_VM_IP",
                ),
                ("INTERNET_FQDN_PORT", INTERNET),
                ("INTERNET_IP_PORT", INTERNET),
                ("SERVERLESS", SERVERLESS),
                ("PRIVATE_SERVICE_CONNECT", PSC),
            ],
        ),
    )
    .required()
    .fixed(),
    acts(
        "networkEndpoints",
        Shape::List(&Shape::Object(NETWORK_ENDPOINT), 10_000),
    ),
    acts("annotations", Shape::Map),
    stored("defaultPort", PORT).fixed(),
    stored("network", TEXT).fixed(),
    stored("subnetwork", TEXT).fixed(),
    refused(
        "region",
        TEXT,
        "a regional network endpoint group needs a proxy load balancer; set zone",
    ),
    refused("appEngine", Shape::Object(APP_ENGINE), SERVERLESS),
    refused("cloudFunction", Shape::Object(CLOUD_FUNCTION), SERVERLESS),
    refused("cloudRun", Shape::Object(CLOUD_RUN), SERVERLESS),
    refused("pscData", Shape::Object(PSC_DATA), PSC),
    refused("pscTargetService", TEXT, PSC),
];

const NETWORK_ENDPOINT: &[Field] = &[
    acts("instance", TEXT),
    acts("ipAddress", TEXT),
    acts("ipv6Address", TEXT),
    stored("port", PORT),
    acts("annotations", Shape::Map),
    refused("fqdn", TEXT, INTERNET),
    refused("clientDestinationPort", COUNT, NO_PORT),
];

const APP_ENGINE: &[Field] = &[
    stored("service", TEXT),
    stored("urlMask", TEXT),
    stored("version", TEXT),
];
const CLOUD_FUNCTION: &[Field] = &[stored("function", TEXT), stored("urlMask", TEXT)];
const CLOUD_RUN: &[Field] = &[
    stored("service", TEXT),
    stored("tag", TEXT),
    stored("urlMask", TEXT),
];
const PSC_DATA: &[Field] = &[
    stored("consumerPscAddress", TEXT),
    stored("producerPort", COUNT),
    stored("pscConnectionId", Shape::Long),
    stored("pscConnectionStatus", TEXT),
];

pub(super) const INSTANCE_GROUP: &[Field] = &[
    KIND,
    ID,
    CREATED,
    NAME,
    DESCRIPTION,
    SELF_LINK,
    output("zone"),
    FINGERPRINT,
    output("size"),
    acts(
        "instances",
        Shape::List(&Shape::Object(INSTANCE_REFERENCE), 10_000),
    ),
    stored("namedPorts", Shape::List(&Shape::Object(NAMED_PORT), 1024)),
    stored("network", TEXT).fixed(),
    stored("subnetwork", TEXT).fixed(),
    refused(
        "region",
        TEXT,
        "a regional instance group is a managed one, and nothing here manages instances; set zone",
    ),
];

const INSTANCE_REFERENCE: &[Field] = &[acts("instance", Shape::Reference(&[Kind::Instance])).required()];
const NAMED_PORT: &[Field] = &[stored("name", TEXT), stored("port", PORT)];

/// Only the first interface counts, as in the cloud for a group without a network of its own.
pub(super) const INSTANCE: &[Field] = &[
    KIND,
    ID,
    CREATED,
    NAME,
    DESCRIPTION,
    SELF_LINK,
    output("zone"),
    FINGERPRINT,
    output("labelFingerprint"),
    output("cpuPlatform"),
    output("lastStartTimestamp"),
    output("lastStopTimestamp"),
    output("lastSuspendedTimestamp"),
    output("resourceStatus"),
    output("satisfiesPzi"),
    output("satisfiesPzs"),
    output("startRestricted"),
    output("status"),
    output("statusMessage"),
    acts(
        "networkInterfaces",
        Shape::List(&Shape::Object(NETWORK_INTERFACE), 16),
    )
    .required(),
    kept("advancedMachineFeatures"),
    kept("canIpForward"),
    kept("confidentialInstanceConfig"),
    kept("deletionProtection"),
    kept("disks"),
    kept("displayDevice"),
    kept("guestAccelerators"),
    kept("hostname"),
    kept("instanceEncryptionKey"),
    kept("keyRevocationActionType"),
    kept("labels"),
    kept("localSsdEncryptionMode"),
    kept("machineType"),
    kept("metadata"),
    kept("minCpuPlatform"),
    kept("networkPerformanceConfig"),
    kept("params"),
    kept("privateIpv6GoogleAccess"),
    kept("reservationAffinity"),
    kept("resourcePolicies"),
    kept("scheduling"),
    kept("serviceAccounts"),
    kept("shieldedInstanceConfig"),
    kept("shieldedInstanceIntegrityPolicy"),
    kept("sourceMachineImage"),
    kept("sourceMachineImageEncryptionKey"),
    kept("tags"),
    kept("workloadIdentityConfig"),
];

const NETWORK_INTERFACE: &[Field] = &[
    KIND,
    FINGERPRINT,
    stored("name", TEXT),
    acts("networkIP", TEXT),
    acts("ipv6Address", TEXT),
    stored("network", TEXT),
    stored("subnetwork", TEXT),
    kept("accessConfigs"),
    kept("aliasIpRanges"),
    kept("aliasIpv6Ranges"),
    kept("enableVpcScopedDns"),
    kept("igmpQuery"),
    kept("internalIpv6PrefixLength"),
    kept("ipv6AccessConfigs"),
    kept("ipv6AccessType"),
    kept("networkAttachment"),
    kept("nicType"),
    kept("parentNicName"),
    kept("queueCount"),
    kept("serviceClassId"),
    kept("stackType"),
    kept("vlan"),
];

/// A part of a virtual machine that has no bearing on where its packets go.
const fn kept(name: &'static str) -> Field {
    stored(name, Shape::Any)
}
