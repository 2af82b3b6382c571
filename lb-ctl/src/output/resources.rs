//! What lists of the API's things show: gcloud's columns, in its own format language.

use super::format::Format;
use crate::resources::Kind;

/// What a list is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listing {
    Resources(Kind),
    /// What `listNetworkEndpoints` answers.
    NetworkEndpoints,
    /// What `listInstances` answers.
    Instances,
    Operations,
}

impl Listing {
    pub fn columns(self) -> Format {
        let text = match self {
            Self::Resources(kind) => columns_of(kind),
            Self::NetworkEndpoints => {
                "table(networkEndpoint.instance.basename(),networkEndpoint.ipAddress,networkEndpoint.ipv6Address,\
                 networkEndpoint.port)"
            }
            Self::Instances => "table(instance.basename():label=NAME,status)",
            Self::Operations => {
                "table(name,operationType:label=TYPE,targetLink.scope():label=TARGET,\
                 httpErrorStatusCode:label=HTTP_STATUS,status,insertTime:label=TIMESTAMP)"
            }
        };
        text.parse().expect("our own columns are well-formed")
    }
}

fn columns_of(kind: Kind) -> &'static str {
    match kind {
        Kind::BackendService => {
            "table(name,backends[].group.scoped_suffixes().list():label=BACKENDS,protocol,loadBalancingScheme,\
             healthChecks.map().basename().list())"
        }
        Kind::ForwardingRule => {
            "table(name,region.basename(),IPAddress,IPProtocol,backendService.scope():label=TARGET)"
        }
        Kind::HealthCheck => "table(name,region.basename(),type:label=PROTOCOL)",
        Kind::NetworkEndpointGroup => {
            "table(name,zone.basename():label=LOCATION,networkEndpointType:label=ENDPOINT_TYPE,size)"
        }
        Kind::InstanceGroup => {
            "table(name,zone.basename():label=LOCATION,zone.yesno(yes=zone):label=SCOPE,network.basename(),\
             isManaged.yesno(yes=Yes,no=No):label=MANAGED,size:label=INSTANCES)"
        }
        Kind::Instance => {
            "table(name,zone.basename(),networkInterfaces[].networkIP.list():label=INTERNAL_IP,\
             networkInterfaces[].ipv6Address.list():label=INTERNAL_IPV6)"
        }
    }
}
