//! The standard laboratory: a client, the balancer, three primary backends and a failover backend around one switch.
//!
//! ```text
//!   flat                                   routed
//!   client   lb   backend-1 … backend-9    client   lb                backend-1 … backend-9
//!     └───────┴───────┴─── front             └───────┴── front ─ router ─ back ──┴── (decapsulating)
//!
//!   two-armed
//!   client        lb            backend-1 … backend-9
//!     └── front ──┴── back ─────────┴── router ── front
//! ```
//! Every backend owns the VIPs on its loopback, keeps silent about them, and answers the client directly. In the routed
//! laboratory the balancer reaches backends only by encapsulation, and this kernel need not have tunnel devices: the
//! backends' XDP program strips the outer header.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::netns::{self, Namespace};
use crate::xdp::Programs;

pub const CLIENT: &str = "client";
pub const LB: &str = "lb";
pub const ROUTER: &str = "router";
pub const PRIMARIES: [&str; 3] = ["backend-1", "backend-2", "backend-3"];
pub const FAILOVER: &str = "backend-9";
pub const BACKENDS: [&str; 4] = ["backend-1", "backend-2", "backend-3", FAILOVER];

/// Balancers beside the first one, in [`Lab::flooding`].
pub const MORE_BALANCERS: [&str; 4] = ["lb-2", "lb-3", "lb-4", "lb-5"];

pub const VIP4: Ipv4Addr = Ipv4Addr::new(10, 66, 0, 100);
pub const VIP6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x66, 0, 0, 1, 0, 0x100);

const INTERNET_MTU: u32 = 1500;
/// Room for the largest packet of [`INTERNET_MTU`] inside an outer IPv6 header.
const ENCAPSULATION_MTU: u32 = 1600;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    Flat,
    Routed,
    TwoArmed,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Segment {
    Front,
    Back,
}

impl Segment {
    fn bridge(self) -> &'static str {
        match self {
            Self::Front => "front",
            Self::Back => "back",
        }
    }

    fn ipv4(self, host: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 66, self as u8, host)
    }

    fn ipv6(self, host: u8) -> Ipv6Addr {
        // Read as decimal in both families: host 11 ends in .11 and in ::11.
        let written = u16::from(host / 10) * 16 + u16::from(host % 10);
        Ipv6Addr::new(0x2001, 0xdb8, 0x66, self as u16, 0, 0, 0, written)
    }
}

const ROUTER_NUMBER: u8 = 1;

fn number(host: &str) -> u8 {
    match host {
        ROUTER => ROUTER_NUMBER,
        CLIENT => 2,
        LB => 3,
        "lb-2" => 4,
        "lb-3" => 5,
        "lb-4" => 6,
        "lb-5" => 7,
        "backend-1" => 11,
        "backend-2" => 12,
        "backend-3" => 13,
        FAILOVER => 19,
        other => panic!("the laboratory has no host {other}"),
    }
}

pub struct Host {
    pub name: String,
    pub namespace: Namespace,
    pub ipv4: Ipv4Addr,
    pub ipv6: Ipv6Addr,
    /// Of `eth0`.
    pub mac: [u8; 6],
}

impl Host {
    pub fn address(&self, like: IpAddr) -> IpAddr {
        if like.is_ipv4() {
            self.ipv4.into()
        } else {
            self.ipv6.into()
        }
    }
}

/// Everything is gone when this is dropped.
pub struct Lab {
    pub label: String,
    pub shape: Shape,
    hosts: BTreeMap<String, Host>,
    // Dropped after the hosts: nothing is left that could send.
    switch: Namespace,
    programs: Mutex<Programs>,
    mtu: u32,
    forwarder: Option<Programs>,
}

impl Lab {
    /// All hosts on one segment: delivery by MAC address.
    pub fn flat(label: &str) -> Self {
        Self::new(label, Shape::Flat, INTERNET_MTU)
    }

    /// All hosts on one segment, with room for an outer header, which backends strip. What the benchmark's generator makes
    /// comes no further than the port of the balancer, where it is counted.
    pub fn measured(label: &str) -> Self {
        let mut lab = Self::around(label, Shape::Flat, ENCAPSULATION_MTU, Programs::load_with_sink());
        lab.programs().sink(&lab.switch, &port_of(LB, 0));
        lab.decapsulate_at_backends();
        lab
    }

    /// Backends behind a router, on links with room for an outer header.
    pub fn routed(label: &str) -> Self {
        Self::new(label, Shape::Routed, ENCAPSULATION_MTU)
    }

    /// Backends behind a router, on links where a full packet doesn't fit any more after encapsulation.
    pub fn routed_and_narrow(label: &str) -> Self {
        Self::new(label, Shape::Routed, INTERNET_MTU)
    }

    /// Clients on one interface of the balancer, backends on the other.
    pub fn two_armed(label: &str) -> Self {
        Self::new(label, Shape::TwoArmed, INTERNET_MTU)
    }

    /// The same, and the far end of the balancer's way to the backends takes no frames from XDP.
    pub fn two_armed_and_deaf(label: &str) -> Self {
        let lab = Self::around(label, Shape::TwoArmed, INTERNET_MTU, Programs::load());
        lab.programs().pass(&lab.switch, &port_of(LB, 0));
        lab
    }

    /// One segment, and the far end of the balancer's cable takes no frames from XDP.
    pub fn flat_and_deaf(label: &str) -> Self {
        Self::around(label, Shape::Flat, INTERNET_MTU, Programs::load())
    }

    /// The far end takes them from now on.
    pub fn hear(&self) {
        self.switch.enable_gro(&port_of(LB, 1));
    }

    /// The balancer has its second address on a device that lies on its second interface: `device` is what `ip link add`
    /// makes it by. `more` comes before it is up.
    pub fn put_upon_the_second(&self, name: &str, device: &str, more: &[String]) {
        let number = number(LB);
        let address = shown(mac(number, 9));
        let mut lines = vec![
            "address flush dev eth1".to_owned(),
            format!("link add {device}"),
            format!("link set {name} address {address}"),
        ];
        lines.extend_from_slice(more);
        lines.extend([
            format!("address add {}/24 dev {name}", Segment::Back.ipv4(number)),
            format!("address add {}/64 dev {name} nodad", Segment::Back.ipv6(number)),
            format!("link set {name} up"),
        ]);
        self.lb().ip(&lines);
    }

    /// All hosts on one segment that brings every frame to everybody, five balancers among them.
    pub fn flooding(label: &str) -> Self {
        let mut lab = Self::flat(label);
        for name in MORE_BALANCERS {
            let host = lab.host_of(label, name, lab.mtu);
            lab.hosts.insert(name.to_owned(), host);
            lab.programs().pass(&lab.switch, &port_of(name, 0));
        }
        // A bridge that learns nothing knows nobody's port.
        let deaf = |name: &String| format!("link set {} type bridge_slave learning off", port_of(name, 0));
        let ports: Vec<String> = lab.hosts.keys().map(deaf).collect();
        lab.switch.ip(&ports);
        lab.switch
            .ip(&["link set front type bridge fdb_flush".to_owned()]);
        lab
    }

    /// The same, and the balancer's way to the backends is narrower than the clients'.
    pub fn two_armed_and_narrow(label: &str, mtu: u32) -> Self {
        let lab = Self::two_armed(label);
        // A veth end takes what fits its own MTU, whatever its peer sends.
        lab.lb().ip(&[format!("link set eth1 mtu {mtu}")]);
        lab
    }

    /// The router's way to the client carries no more than this, and it says so.
    pub fn narrow_the_clients_path(&self, mtu: u32) {
        let client = self.host(CLIENT);
        self.host(ROUTER).namespace.ip(&[
            format!("route add {}/32 dev eth0 mtu lock {mtu}", client.ipv4),
            format!("route add {}/128 dev eth0 mtu lock {mtu}", client.ipv6),
        ]);
    }

    /// What backends send to the client expires at the router, which says so.
    pub fn expire_answers(&self) {
        let client = self.host(CLIENT);
        let [via4, via6] = [
            Segment::Back.ipv4(ROUTER_NUMBER).to_string(),
            Segment::Back.ipv6(ROUTER_NUMBER).to_string(),
        ];
        for name in BACKENDS {
            self.host(name).namespace.ip(&[
                format!("route add {}/32 via {via4} hoplimit 1", client.ipv4),
                format!("route add {}/128 via {via6} hoplimit 1", client.ipv6),
            ]);
        }
    }

    /// More addresses for the client, of the family of `like`.
    pub fn client_addresses(&self, like: IpAddr, count: u8) -> Vec<IpAddr> {
        let addresses: Vec<IpAddr> = (0..count)
            .map(|index| match like {
                IpAddr::V4(_) => Ipv4Addr::new(10, 66, 0, 200 + index).into(),
                IpAddr::V6(_) => Ipv6Addr::new(0x2001, 0xdb8, 0x66, 0, 0, 0, 2, index.into()).into(),
            })
            .collect();
        let lines: Vec<String> = addresses
            .iter()
            .map(|address| match address {
                IpAddr::V4(_) => format!("address add {address}/24 dev eth0"),
                IpAddr::V6(_) => format!("address add {address}/64 dev eth0 nodad"),
            })
            .collect();
        self.client().ip(&lines);
        addresses
    }

    /// Another's XDP program on an interface.
    pub fn occupy(&mut self, name: &str, interface: &str) {
        let namespace = &self.hosts[name].namespace;
        self.programs().pass(namespace, interface);
    }

    fn new(label: &str, shape: Shape, mtu: u32) -> Self {
        let mut lab = Self::around(label, shape, mtu, Programs::load());
        for index in 0..segments(shape, LB).len() {
            lab.programs().pass(&lab.switch, &port_of(LB, index));
        }
        if shape == Shape::Routed {
            lab.decapsulate_at_backends();
        }
        lab
    }

    fn decapsulate_at_backends(&mut self) {
        for name in BACKENDS {
            self.programs().decapsulate(&self.hosts[name].namespace, "eth0");
        }
    }

    /// Hosts and cables; the balancer's port has no program yet.
    fn around(label: &str, shape: Shape, mtu: u32, programs: Programs) -> Self {
        let switch = Namespace::new(&format!("{label}-switch"));
        switch.sysctl(&[
            ("ipv6/conf/all/disable_ipv6", "1"),
            ("ipv6/conf/default/disable_ipv6", "1"),
        ]);
        switch.ip(&bridges(shape));
        let mut lab = Self {
            label: label.to_owned(),
            shape,
            hosts: BTreeMap::new(),
            switch,
            programs: Mutex::new(programs),
            mtu,
            forwarder: None,
        };
        let mut names = vec![CLIENT, LB];
        names.extend(BACKENDS);
        if shape != Shape::Flat {
            names.push(ROUTER);
        }
        for name in names {
            let host = lab.host_of(label, name, mtu);
            lab.hosts.insert(name.to_owned(), host);
        }
        lab
    }

    pub fn host(&self, name: &str) -> &Host {
        self.hosts
            .get(name)
            .unwrap_or_else(|| panic!("the laboratory has no host {name}"))
    }

    pub fn client(&self) -> &Namespace {
        &self.host(CLIENT).namespace
    }

    pub fn lb(&self) -> &Namespace {
        &self.host(LB).namespace
    }

    pub fn switch(&self) -> &Namespace {
        &self.switch
    }

    /// What came to the port of the balancer in [`Lab::measured`].
    pub(crate) fn sink(&mut self) -> &mut Programs {
        self.programs.get_mut().unwrap_or_else(PoisonError::into_inner)
    }

    fn programs(&self) -> MutexGuard<'_, Programs> {
        self.programs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The switch's end of the balancer's cable.
    pub(crate) fn balancer_port() -> String {
        port_of(LB, 0)
    }

    /// Takes an interface of the balancer away, as its driver does when it is unloaded.
    pub fn unplug(&self, index: usize) {
        self.lb().ip(&[format!("link delete eth{index}")]);
    }

    /// Makes it again, with the MAC address, the addresses and the routes that it had, and another number.
    pub fn plug_again(&self, index: usize) {
        let segments = segments(self.shape, LB);
        self.plug(self.lb(), LB, index, segments[index], self.mtu);
        self.programs().pass(&self.switch, &port_of(LB, index));
        let interface = format!("dev eth{index}");
        let lines = addresses_and_routes(self.shape, LB, &segments).into_iter();
        let is_of_it = |line: &String| line.contains(&interface) || (index == 0 && line.starts_with("route"));
        self.lb().ip(&lines.filter(is_of_it).collect::<Vec<_>>());
    }

    /// Makes the client send to the VIPs by this host's MAC address, whoever answers for them otherwise.
    pub fn point_vips_at(&self, name: &str) {
        self.point_at(VIP4.into(), name);
        self.point_at(VIP6.into(), name);
    }

    /// Makes the client send to this address by the host's MAC address.
    pub fn point_at(&self, address: IpAddr, name: &str) {
        self.point_at_mac(address, self.host(name).mac);
    }

    /// Makes the client send to this address by that MAC address.
    pub fn point_at_mac(&self, address: IpAddr, mac: [u8; 6]) {
        let mac = shown(mac);
        let line = format!("neigh replace {address} lladdr {mac} dev eth0 nud permanent");
        self.client().ip(&[line]);
    }

    /// Puts the smallest balancer in place of the real one: everything goes to this backend. The VIPs are pointed at it.
    pub fn forward_everything_to(&mut self, name: &str) {
        let mut forwarder = Programs::load_forwarder(self.host(name).mac);
        forwarder.forward(self.lb(), "eth0");
        self.forwarder = Some(forwarder);
        self.point_vips_at(LB);
    }

    fn host_of(&mut self, label: &str, name: &str, mtu: u32) -> Host {
        let namespace = Namespace::new(&format!("{label}-{name}"));
        namespace.sysctl(&settings(name));
        let segments = segments(self.shape, name);
        // The client keeps to the internet's MTU: what grows by encapsulation is not its business.
        let mtu = if name == CLIENT { INTERNET_MTU } else { mtu };
        for (index, segment) in segments.iter().enumerate() {
            self.plug(&namespace, name, index, *segment, mtu);
        }
        namespace.ip(&addresses_and_routes(self.shape, name, &segments));
        let home = segments[0];
        let number = number(name);
        let (ipv4, ipv6) = (home.ipv4(number), home.ipv6(number));
        Host {
            name: name.to_owned(),
            namespace,
            ipv4,
            ipv6,
            mac: mac(number, 0),
        }
    }

    /// A cable from the host to the switch.
    fn plug(&self, namespace: &Namespace, host: &str, index: usize, segment: Segment, mtu: u32) {
        let (port, mac) = (port_of(host, index), shown(mac(number(host), index)));
        netns::ip(&[format!(
            "link add eth{index} netns {} mtu {mtu} address {mac} type veth peer name {port} netns {} mtu {mtu}",
            namespace.name(),
            self.switch.name(),
        )]);
        self.switch
            .ip(&[format!("link set {port} master {} up", segment.bridge())]);
        self.switch.disable_tx_offload(&port);
        namespace.disable_tx_offload(&format!("eth{index}"));
        namespace.ip(&[format!("link set eth{index} up")]);
    }
}

fn port_of(host: &str, index: usize) -> String {
    format!("p-{host}-{index}")
}

fn mac(number: u8, index: usize) -> [u8; 6] {
    [0x02, 0, 0, 0, index as u8, number]
}

fn shown(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

fn segments(shape: Shape, host: &str) -> Vec<Segment> {
    match (shape, host) {
        (Shape::Flat, _) => vec![Segment::Front],
        (_, ROUTER) | (Shape::TwoArmed, LB) => vec![Segment::Front, Segment::Back],
        (_, name) if BACKENDS.contains(&name) => vec![Segment::Back],
        _ => vec![Segment::Front],
    }
}

fn bridges(shape: Shape) -> Vec<String> {
    let segments: &[Segment] = match shape {
        Shape::Flat => &[Segment::Front],
        Shape::Routed | Shape::TwoArmed => &[Segment::Front, Segment::Back],
    };
    segments
        .iter()
        .flat_map(|segment| {
            let name = segment.bridge();
            // Without snooping, neighbour solicitations reach everybody at once.
            [
                format!("link add {name} type bridge stp_state 0 mcast_snooping 0"),
                format!("link set {name} up"),
            ]
        })
        .collect()
}

fn settings(host: &str) -> Vec<(&'static str, &'static str)> {
    let mut settings = vec![
        ("ipv4/conf/all/rp_filter", "0"),
        ("ipv4/conf/default/rp_filter", "0"),
        ("ipv4/icmp_ratelimit", "0"),
        ("ipv6/icmp/ratelimit", "0"),
        ("ipv6/conf/default/accept_dad", "0"),
        ("ipv6/conf/default/accept_ra", "0"),
        ("ipv4/ip_forward", "0"),
    ];
    if BACKENDS.contains(&host) {
        settings.extend([
            ("ipv4/conf/all/arp_ignore", "1"),
            ("ipv4/conf/all/arp_announce", "2"),
        ]);
    }
    if host == ROUTER {
        settings.extend([("ipv4/ip_forward", "1"), ("ipv6/conf/all/forwarding", "1")]);
    }
    settings
}

fn addresses_and_routes(shape: Shape, host: &str, segments: &[Segment]) -> Vec<String> {
    let mut lines = vec!["link set lo up".to_owned()];
    for (index, segment) in segments.iter().enumerate() {
        let number = number(host);
        lines.push(format!("address add {}/24 dev eth{index}", segment.ipv4(number)));
        lines.push(format!(
            "address add {}/64 dev eth{index} nodad",
            segment.ipv6(number)
        ));
    }
    if BACKENDS.contains(&host) {
        lines.push(format!("address add {VIP4}/32 dev lo"));
        lines.push(format!("address add {VIP6}/128 dev lo nodad"));
    }
    if shape != Shape::Flat && host != ROUTER {
        // Only what is encapsulated needs the room beyond the internet's MTU, and backends don't encapsulate.
        let limit = if BACKENDS.contains(&host) {
            format!(" mtu {INTERNET_MTU}")
        } else {
            String::new()
        };
        let segment = segments[0];
        lines.push(format!(
            "route add default via {}{limit}",
            segment.ipv4(ROUTER_NUMBER)
        ));
        lines.push(format!(
            "route add default via {}{limit}",
            segment.ipv6(ROUTER_NUMBER)
        ));
    }
    lines
}
