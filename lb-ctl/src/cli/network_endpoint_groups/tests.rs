use serde_json::{Value, json};

use super::super::resource::References;
use super::super::tests::flags;
use super::create::CreateFlags;
use super::endpoints::Endpoint;
use crate::control::ResourceMap;
use crate::control::fake::path;
use crate::resources::Kind;

#[test]
fn each_flag_sets_its_field() {
    let base = "https://www.googleapis.com/compute/v1/projects/acme";
    for (args, expected) in [
        (&[][..], json!({"networkEndpointType": "GCE_VM_IP"})),
        (
            &[
                "--network-endpoint-type=non-gcp-private-ip-port",
                "--default-port=80",
                "--description=d",
            ],
            json!({"networkEndpointType": "NON_GCP_PRIVATE_IP_PORT", "defaultPort": 80, "description": "d"}),
        ),
        (
            &["--network=n", "--subnet=s", "--annotations=lb/delivery=ipip"],
            json!({"networkEndpointType": "GCE_VM_IP", "network": format!("{base}/global/networks/n"),
                   "subnetwork": format!("{base}/regions/r1/subnetworks/s"),
                   "annotations": {"lb/delivery": "ipip"}}),
        ),
    ] {
        let references = References {
            resources: &ResourceMap::new(),
            path: &path(Kind::NetworkEndpointGroup, "x"),
        };
        let fields = flags::<CreateFlags>(args).fields(&references);
        assert_eq!(Value::from(fields), expected, "{args:?}");
    }
}

#[test]
fn an_endpoint_is_keys_and_values() {
    for (text, expected) in [
        ("instance=vm", json!({"instance": "vm"})),
        (
            "instance=vm,ip=10.0.0.1,ipv6=2001:db8::1,port=80",
            json!({"instance": "vm", "ipAddress": "10.0.0.1", "ipv6Address": "2001:db8::1", "port": 80}),
        ),
        (
            "fqdn=h,client-destination-port=1",
            json!({"fqdn": "h", "clientDestinationPort": 1}),
        ),
    ] {
        assert_eq!(text.parse(), Ok(Endpoint(expected)), "{text}");
    }
    for (text, message) in [
        ("", "expected instance=, ip=, ipv6= or port="),
        ("vm", "expected KEY=VALUE, not 'vm'"),
        ("host=x", "'host' is none of instance, ip, ipv6 and port"),
        ("port=x", "'x' is not a port"),
        ("ip=a,ip=b", "'ip' is given twice"),
    ] {
        assert_eq!(text.parse::<Endpoint>(), Err(message.to_owned()), "{text}");
    }
}
