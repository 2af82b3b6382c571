//! The flags of an instance's addresses, and the fields of its first interface that they set.

use clap::Args;

use super::super::resource::References;
use super::super::values::Fields;

#[derive(Debug, Default, Args)]
pub(super) struct AddressFlags {
    /// The IPv4 address.
    #[arg(long, value_name = "ADDRESS")]
    private_network_ip: Option<String>,
    /// The IPv6 address.
    #[arg(long, value_name = "ADDRESS")]
    internal_ipv6_address: Option<String>,
    /// The network; stored.
    #[arg(long)]
    network: Option<String>,
    /// The subnetwork; stored.
    #[arg(long)]
    subnet: Option<String>,
}

impl AddressFlags {
    pub(super) fn interface(&self, references: &References<'_>) -> Fields {
        let mut fields = Fields::default();
        fields.set_or_clear("networkIP", self.private_network_ip.as_ref());
        fields.set_or_clear("ipv6Address", self.internal_ipv6_address.as_ref());
        fields.set(
            "network",
            self.network.as_ref().map(|name| references.network(name)),
        );
        let subnet = self.subnet.as_ref();
        fields.set("subnetwork", subnet.map(|name| references.subnetwork(name, None)));
        fields
    }
}
