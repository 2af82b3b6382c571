//! Interfaces that XDP can't send by, each with what would help.

use super::{Undeliverable, WayInputs};
use crate::net::Link;

/// Why nothing leaves by `link`, if so.
pub(super) fn closed(inputs: &WayInputs<'_>, link: &Link) -> Option<Undeliverable> {
    let reason = match link.kind.as_deref() {
        Some("vlan") => vlan(inputs, link),
        _ => without_transmission(inputs, link).or_else(|| broken(inputs, link)),
    }?;
    Some(Undeliverable {
        device: link.name.clone(),
        reason,
    })
}

/// Tags are pushed by nobody, unless the packets come by the VLAN device too.
fn vlan(inputs: &WayInputs<'_>, link: &Link) -> Option<String> {
    if inputs.arms.is_empty() || inputs.is_only_arm(link) {
        return None;
    }
    let name = &link.name;
    Some(format!(
        "{name} is a VLAN device, by which XDP can't send: reach the endpoint by an interface without a tag, or balance in \
         that VLAN only (`--interface {name} --xdp-mode generic`)"
    ))
}

/// It should have sent, and did not.
fn broken(inputs: &WayInputs<'_>, link: &Link) -> Option<String> {
    let error = inputs.broken.get(&link.index)?;
    Some(format!(
        "{} did not send what XDP gave it ({error}); it is tried again after a minute, or when the interface changes",
        link.name
    ))
}

fn without_transmission(inputs: &WayInputs<'_>, link: &Link) -> Option<String> {
    let features = link.features?;
    if !inputs.must_transmit(link) || features.transmits() {
        return None;
    }
    let name = &link.name;
    let (what, helps) = match link.kind.as_deref() {
        Some("bridge") => bridge(inputs, link),
        Some("macvlan") => (
            "is a macvlan device in bridge mode, so it may have the endpoint itself".to_owned(),
            format!(
                "`ip link set dev {name} type macvlan mode private`, with which all frames leave by its lower interface"
            ),
        ),
        Some("veth") => (
            "is a veth whose peer takes no frames from XDP".to_owned(),
            match inputs.arms.contains_key(&link.index) {
                true => format!("an XDP program at the peer, which may pass everything, or {GENERIC}"),
                false => "`ethtool -K PEER gro on` in the peer's namespace".to_owned(),
            },
        ),
        _ if features.runs_programs() => (
            "takes frames from XDP only while it carries a program itself".to_owned(),
            format!("`--interface {name}` beside the others"),
        ),
        kind => {
            let kind = kind.map_or_else(String::new, |kind| format!(" ({kind})"));
            (
                format!("can't send what XDP redirects to it{kind}"),
                GENERIC.to_owned(),
            )
        }
    };
    Some(format!("{name} {what}; what helps: {helps}"))
}

const GENERIC: &str = "`--xdp-mode generic`";

fn bridge(inputs: &WayInputs<'_>, link: &Link) -> (String, String) {
    let filters = inputs
        .network
        .ports
        .iter()
        .any(|((bridge, _), port)| *bridge == link.index && port.filtered);
    let why = match filters {
        true => "is a bridge that filters VLANs, which XDP can't follow",
        false => "is a bridge that has not learnt behind which port the endpoint is",
    };
    (why.to_owned(), GENERIC.to_owned())
}
