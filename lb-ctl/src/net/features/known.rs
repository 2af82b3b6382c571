//! What kinds of devices and drivers are known for, where the kernel can't be asked yet (before Linux 6.3).

use std::os::fd::AsRawFd as _;

use super::XdpFeatures;
use crate::net::links::{Link, XdpMode};

/// Kinds that have no `ndo_xdp_xmit` and run no programs natively.
const NEITHER: [&str; 12] = [
    "bridge", "vlan", "macvlan", "macvtap", "ipvlan", "ipvtap", "vxlan", "geneve", "dummy", "team", "vrf",
    "ifb",
];

/// Drivers of hardware that transmit what is redirected to them, up to Linux 6.2.
const TRANSMITTING: [&str; 26] = [
    "atlantic",
    "bnxt_en",
    "cpsw",
    "cpsw-switch",
    "ena",
    "fec",
    "fsl_dpaa2_eth",
    "fsl_enetc",
    "hv_netvsc",
    "i40e",
    "ice",
    "igb",
    "igc",
    "ixgbe",
    "lan966x-switch",
    "mana",
    "mlx5_core",
    "mtk_soc_eth",
    "mvneta",
    "mvpp2",
    "netsec",
    "qede",
    "sfc",
    "stmmac",
    "tsnep",
    "vif",
];

/// Nothing where nobody knows.
pub(crate) fn known(link: &Link) -> Option<XdpFeatures> {
    match link.kind.as_deref() {
        Some(kind) => of_kind(kind),
        None => of_driver(&driver(&link.name)?, link),
    }
}

fn of_kind(kind: &str) -> Option<XdpFeatures> {
    match kind {
        // A tap has both; of a veth and a bond the other ends decide.
        "tun" => Some(XdpFeatures(XdpFeatures::BASIC | XdpFeatures::TRANSMIT)),
        kind if NEITHER.contains(&kind) => Some(XdpFeatures::default()),
        _ => None,
    }
}

fn of_driver(driver: &str, link: &Link) -> Option<XdpFeatures> {
    let both = XdpFeatures(XdpFeatures::BASIC | XdpFeatures::TRANSMIT);
    match driver {
        "virtio_net" => {
            let carries_one = link.xdp.iter().any(|xdp| xdp.mode == XdpMode::Native);
            Some(if carries_one {
                both
            } else {
                XdpFeatures(XdpFeatures::BASIC)
            })
        }
        "e1000" | "e1000e" | "r8169" | "tg3" | "vmxnet3" => Some(XdpFeatures::default()),
        driver if TRANSMITTING.contains(&driver) => Some(both),
        _ => None,
    }
}

/// The driver of an interface in the caller's namespace.
fn driver(interface: &str) -> Option<String> {
    let socket = std::net::UdpSocket::bind("[::]:0").or_else(|_| std::net::UdpSocket::bind("0.0.0.0:0"));
    let socket = socket.ok()?;
    // SAFETY: all zeros is a value of either.
    let (mut request, mut info): (libc::ifreq, DriverInfo) = unsafe { std::mem::zeroed() };
    info.command = ETHTOOL_GDRVINFO;
    if interface.len() >= request.ifr_name.len() {
        return None;
    }
    for (to, from) in request.ifr_name.iter_mut().zip(interface.bytes()) {
        *to = from as libc::c_char;
    }
    request.ifr_ifru.ifru_data = (&raw mut info).cast();
    // SAFETY: the request names an interface and points to a value of the size that the command fills, which outlives
    // the call.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCETHTOOL as _, &raw mut request) };
    let name = info.driver.split(|byte| *byte == 0).next()?;
    (result == 0).then(|| String::from_utf8_lossy(name).into_owned())
}

const ETHTOOL_GDRVINFO: u32 = 0x3;

/// `struct ethtool_drvinfo`.
#[repr(C)]
struct DriverInfo {
    command: u32,
    driver: [u8; 32],
    rest: [u8; 160],
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::links::XdpAttachment;

    #[test]
    fn kinds_and_drivers_are_known_for_what_they_do() {
        let kind = |kind: &str| of_kind(kind).map(XdpFeatures::transmits);
        assert_eq!(kind("bridge"), Some(false));
        assert_eq!(kind("macvlan"), Some(false));
        assert_eq!(kind("tun"), Some(true));
        assert_eq!(kind("veth"), None, "its peer decides");
        let driver = |driver: &str| of_driver(driver, &Link::default()).map(XdpFeatures::transmits);
        assert_eq!(driver("ixgbe"), Some(true));
        assert_eq!(driver("e1000e"), Some(false));
        assert_eq!(driver("a-new-one"), None);
    }

    #[test]
    fn virtio_transmits_while_it_carries_a_program() {
        let mut link = Link::default();
        assert_eq!(
            of_driver("virtio_net", &link),
            Some(XdpFeatures(XdpFeatures::BASIC))
        );
        link.xdp.push(XdpAttachment {
            mode: XdpMode::Native,
            program_id: 7,
        });
        assert!(of_driver("virtio_net", &link).is_some_and(XdpFeatures::transmits));
    }

    #[test]
    fn the_kernel_names_no_driver_of_an_interface_that_is_not_there() {
        assert_eq!(driver("nowhere0"), None);
        assert_eq!(driver("a-name-that-is-far-too-long"), None);
    }

    #[test]
    fn the_structure_is_as_large_as_the_kernels() {
        assert_eq!(size_of::<DriverInfo>(), 196);
    }
}
