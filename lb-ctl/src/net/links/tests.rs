use super::*;
use crate::net::testing::{HERE_MAC, Pair};

#[test]
fn every_attached_program_is_listed_with_its_mode() {
    let mut message = LinkMessage::default();
    message.attributes.push(LinkAttribute::Xdp(vec![
        LinkXdp::Attached(netlink_packet_route::link::XdpAttached::Multiple),
        LinkXdp::DrvProgId(11),
        LinkXdp::SkbProgId(12),
        LinkXdp::HwProgId(0),
    ]));
    assert_eq!(
        from_message(&message).xdp,
        [
            XdpAttachment {
                mode: XdpMode::Native,
                program_id: 11
            },
            XdpAttachment {
                mode: XdpMode::Generic,
                program_id: 12
            },
        ]
    );
}

#[test]
fn links_say_what_the_kernel_knows() {
    let Some(pair) = Pair::new("links") else { return };
    pair.here.run(async || {
        let links = Links::new().unwrap();
        let cable = links.by_name("cable").await.unwrap();
        assert_eq!(
            (cable.mac, cable.mtu, cable.up, cable.carrier),
            (Some(HERE_MAC), 1500, true, true)
        );
        assert!(cable.xdp.is_empty() && !cable.loopback);
        let error = links.by_name("eth7").await.unwrap_err();
        assert_eq!(error.to_string(), "there is no interface named eth7");
        let names: Vec<_> = links
            .list()
            .await
            .unwrap()
            .into_iter()
            .map(|link| link.name)
            .collect();
        assert_eq!(names, ["lo", "cable"]);
        assert!(cable.broadcast && !cable.no_arp);
        assert_eq!(cable.kind.as_deref(), Some("veth"));
        assert_eq!(cable.lower, None, "a peer is nothing that it lies on");
    });
}

#[test]
fn what_lies_on_what_is_known() {
    let Some(pair) = Pair::new("stack") else { return };
    pair.here.ip("link add br0 type bridge");
    pair.here.ip("link set cable master br0");
    pair.here.ip("link add mac0 link br0 type macvlan");
    pair.here.run(async || {
        let state = Links::new().unwrap().state().await.unwrap();
        let link = |name| state.link_named(name).unwrap();
        let bridge = link("br0").index;
        assert_eq!(link("br0").kind.as_deref(), Some("bridge"));
        assert_eq!(link("cable").master, Some(bridge));
        assert_eq!(link("mac0").lower, Some(bridge));
        let reached = state.reached_by(&[link("cable").index].into());
        assert_eq!(
            reached,
            ["cable", "br0", "mac0"].map(|name| link(name).index).into()
        );
    });
}

#[test]
fn an_attached_program_is_seen_with_its_mode() {
    let Some(pair) = Pair::new("xdp") else { return };
    pair.here.run(async || {
        let links = Links::new().unwrap();
        let index = links.by_name("cable").await.unwrap().index;
        for (flag, mode) in [
            (bpf::SKB_MODE, XdpMode::Generic),
            (bpf::DRV_MODE, XdpMode::Native),
        ] {
            let program = bpf::load_xdp_pass();
            let link = bpf::attach(&program, index, flag);
            let seen = links.by_name("cable").await.unwrap().xdp;
            assert_eq!(seen.len(), 1, "{seen:?}");
            assert_eq!(seen[0].mode, mode);
            assert_ne!(seen[0].program_id, 0);
            drop(link);
            assert!(links.by_name("cable").await.unwrap().xdp.is_empty());
        }
    });
}

/// The two calls of bpf(2) that it takes to have a program on an interface.
mod bpf {
    use std::io;
    use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

    const PROG_LOAD: i32 = 5;
    const LINK_CREATE: i32 = 28;
    const PROG_TYPE_XDP: u32 = 6;
    const ATTACH_TYPE_XDP: u32 = 37;
    pub(super) const SKB_MODE: u32 = 2;
    pub(super) const DRV_MODE: u32 = 4;

    /// `union bpf_attr`, long enough for both calls.
    #[repr(C, align(8))]
    struct Attributes([u8; 128]);

    impl Attributes {
        fn new(fields: &[(usize, &[u8])]) -> Self {
            let mut bytes = [0; 128];
            for (offset, field) in fields {
                bytes[*offset..offset + field.len()].copy_from_slice(field);
            }
            Self(bytes)
        }
    }

    pub(super) fn load_xdp_pass() -> OwnedFd {
        // r0 = XDP_PASS; exit
        let program: [[u8; 8]; 2] = [[0xb7, 0, 0, 0, 2, 0, 0, 0], [0x95, 0, 0, 0, 0, 0, 0, 0]];
        let licence = c"GPL";
        let attributes = Attributes::new(&[
            (0, &PROG_TYPE_XDP.to_ne_bytes()),
            (4, &2u32.to_ne_bytes()),
            (8, &program.as_ptr().expose_provenance().to_ne_bytes()),
            (16, &licence.as_ptr().expose_provenance().to_ne_bytes()),
        ]);
        call(PROG_LOAD, &attributes)
    }

    pub(super) fn attach(program: &OwnedFd, ifindex: u32, mode: u32) -> OwnedFd {
        let attributes = Attributes::new(&[
            (0, &program.as_raw_fd().to_ne_bytes()),
            (4, &ifindex.to_ne_bytes()),
            (8, &ATTACH_TYPE_XDP.to_ne_bytes()),
            (12, &mode.to_ne_bytes()),
        ]);
        call(LINK_CREATE, &attributes)
    }

    fn call(command: i32, attributes: &Attributes) -> OwnedFd {
        let size = size_of_val(attributes);
        // SAFETY: the attributes and what they point at live through the call, which does not write to them.
        let fd = unsafe { libc::syscall(libc::SYS_bpf, command, &raw const *attributes, size) };
        assert!(fd >= 0, "bpf(2): {}", io::Error::last_os_error());
        // SAFETY: the descriptor was just made, and nobody else has it.
        unsafe { OwnedFd::from_raw_fd(fd as i32) }
    }
}

#[test]
fn features_are_those_that_the_kernel_tells() {
    let Some(pair) = Pair::new("features") else { return };
    pair.here.ip("link add br0 type bridge");
    pair.here.ip("link add inner type veth peer name outer");
    for mode in ["bridge", "private"] {
        pair.here
            .ip(&format!("link add {mode} link cable type macvlan mode {mode}"));
    }
    pair.here.run(async || {
        let links = Links::new().unwrap();
        let [br0, inner, outer, cable, bridge, private] =
            ["br0", "inner", "outer", "cable", "bridge", "private"].map(|name| links.by_name(name));
        let [br0, inner, outer] = [br0.await.unwrap(), inner.await.unwrap(), outer.await.unwrap()];
        let transmits = |link: &Link| link.features.map(XdpFeatures::transmits);
        let runs = |link: &Link| link.features.map(XdpFeatures::runs_programs);
        assert_eq!((transmits(&br0), runs(&br0)), (Some(false), Some(false)));
        assert_eq!(
            (transmits(&inner), runs(&inner)),
            (Some(false), Some(true)),
            "nothing takes frames at the other end"
        );
        let peer = |link: &Link| Peer {
            index: link.index,
            namespace: None,
        };
        assert_eq!((inner.peer, outer.peer), (Some(peer(&outer)), Some(peer(&inner))));
        let cable = cable.await.unwrap();
        assert!(cable.peer.is_some_and(|peer| peer.namespace.is_some()));
        assert!(bridge.await.unwrap().switches && !private.await.unwrap().switches);
    });
}
