use serde_json::{Value, json};

use super::super::resource::References;
use super::super::tests::flags;
use super::flags::AddressFlags;
use super::update::changed;
use crate::control::ResourceMap;
use crate::control::fake::path;
use crate::resources::Kind;

fn after(instance: &Value, args: &[&str]) -> Value {
    let references = References {
        resources: &ResourceMap::new(),
        path: &path(Kind::Instance, "x"),
    };
    changed(instance, flags::<AddressFlags>(args).interface(&references), None)
}

#[test]
fn an_update_changes_the_first_interface_only() {
    let instance = json!({"name": "x", "networkInterfaces": [
        {"networkIP": "10.0.0.1", "ipv6Address": "2001:db8::1"}, {"networkIP": "10.1.0.1"}]});
    assert_eq!(
        after(
            &instance,
            &["--private-network-ip=10.0.0.2", "--internal-ipv6-address="]
        ),
        json!({"name": "x", "networkInterfaces": [{"networkIP": "10.0.0.2"}, {"networkIP": "10.1.0.1"}]})
    );
    assert_eq!(
        after(&json!({"name": "x"}), &["--network=n"]),
        json!({"name": "x", "networkInterfaces": [
            {"network": "https://www.googleapis.com/compute/v1/projects/acme/global/networks/n"}]})
    );
}
