use serde_json::{Value, json};

use super::super::resource::References;
use super::super::tests::{flags, told};
use super::create::CreateFlags;
use super::update::UpdateFlags;
use crate::control::Control;
use crate::control::fake::{path, sample};
use crate::resources::Kind;

const BASE: &str = "https://www.googleapis.com/compute/v1/projects/acme";

/// What flags set besides the service and the scheme, which every rule has.
fn create(args: &[&str]) -> Value {
    let resources = sample().resources();
    let references = References {
        resources: &resources,
        path: &path(Kind::ForwardingRule, "x"),
    };
    let args = [&["--backend-service=web"], args].concat();
    let fields = flags::<CreateFlags>(&args).fields(&references);
    let mut rule = Value::from(fields.unwrap_or_else(|failure| panic!("{}", told(failure))));
    let service = rule["backendService"].take();
    assert_eq!(service, format!("{BASE}/regions/r1/backendServices/web"));
    rule.as_object_mut()
        .expect("an object")
        .shift_remove("backendService");
    rule
}

#[test]
fn each_flag_sets_its_field() {
    for (args, expected) in [
        (&[][..], json!({"loadBalancingScheme": "EXTERNAL"})),
        (
            &["--load-balancing-scheme=internal"],
            json!({"loadBalancingScheme": "INTERNAL"}),
        ),
        (
            &[
                "--address=10.0.0.9",
                "--ip-protocol=udp",
                "--ip-version=ipv4",
                "--description=d",
                "--network-tier=premium",
            ],
            json!({"loadBalancingScheme": "EXTERNAL", "IPAddress": "10.0.0.9", "IPProtocol": "UDP",
                   "ipVersion": "IPV4", "description": "d", "networkTier": "PREMIUM"}),
        ),
        (
            &["--ports=ALL"],
            json!({"loadBalancingScheme": "EXTERNAL", "allPorts": true}),
        ),
        (
            &["--ports=80"],
            json!({"loadBalancingScheme": "EXTERNAL", "portRange": "80"}),
        ),
        (
            &["--ports=80-90"],
            json!({"loadBalancingScheme": "EXTERNAL", "portRange": "80-90"}),
        ),
        (
            &["--port-range=80-90"],
            json!({"loadBalancingScheme": "EXTERNAL", "portRange": "80-90"}),
        ),
        (
            &["--ports=80,443-444"],
            json!({"loadBalancingScheme": "EXTERNAL", "ports": ["80", "443", "444"]}),
        ),
        (
            &["--ports=80", "--load-balancing-scheme=INTERNAL"],
            json!({"loadBalancingScheme": "INTERNAL", "ports": ["80"]}),
        ),
        (
            &["--source-ip-ranges=10.0.0.0/8,192.0.2.0/24"],
            json!({"loadBalancingScheme": "EXTERNAL", "sourceIpRanges": ["10.0.0.0/8", "192.0.2.0/24"]}),
        ),
        (
            &["--allow-global-access"],
            json!({"loadBalancingScheme": "EXTERNAL", "allowGlobalAccess": true}),
        ),
        (
            &["--no-allow-global-access"],
            json!({"loadBalancingScheme": "EXTERNAL", "allowGlobalAccess": false}),
        ),
        (
            &["--network=n", "--subnet=s"],
            json!({"loadBalancingScheme": "EXTERNAL", "network": format!("{BASE}/global/networks/n"),
                   "subnetwork": format!("{BASE}/regions/r1/subnetworks/s")}),
        ),
        (
            &["--subnet=s", "--subnet-region=r2"],
            json!({"loadBalancingScheme": "EXTERNAL", "subnetwork": format!("{BASE}/regions/r2/subnetworks/s")}),
        ),
    ] {
        assert_eq!(create(args), expected, "{args:?}");
    }
}

#[test]
fn an_update_is_a_patch_and_labels() {
    for (args, expected) in [
        (
            &["--source-ip-ranges=10.0.0.0/8,192.0.2.0/24"][..],
            json!({"sourceIpRanges": ["10.0.0.0/8", "192.0.2.0/24"]}),
        ),
        (&["--source-ip-ranges="], json!({"sourceIpRanges": []})),
        (&["--no-allow-global-access"], json!({"allowGlobalAccess": false})),
        (&["--network-tier=standard"], json!({"networkTier": "STANDARD"})),
    ] {
        let flags = flags::<UpdateFlags>(args);
        assert_eq!(Value::from(flags.fields()), expected, "{args:?}");
        assert_eq!(flags.labels(&json!({})), None);
    }
    let rule = json!({"labels": {"a": "1", "b": "2"}});
    for (args, expected) in [
        (
            &["--update-labels=b=3,c=4"][..],
            json!({"a": "1", "b": "3", "c": "4"}),
        ),
        (&["--remove-labels=a,x"], json!({"b": "2"})),
        (&["--clear-labels"], json!({})),
        (&["--clear-labels", "--update-labels=c=4"], json!({"c": "4"})),
    ] {
        let flags = flags::<UpdateFlags>(args);
        assert_eq!(json!(flags.labels(&rule)), expected, "{args:?}");
        assert!(flags.fields().is_empty());
    }
}
