//! What the way of probes is made of, and how it is looked at and mended.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netlink_packet_route::AddressFamily;
use netlink_packet_route::link::{
    AfSpecInet6, AfSpecUnspec, In6AddrGenMode, InfoKind, LinkAttribute, LinkFlags, LinkInfo, LinkMessage,
};
use netlink_packet_route::route::{RouteAttribute, RouteMessage, RouteScope, RouteType};
use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleMessage};
use rtnetlink::{IpVersion, LinkUnspec, LinkVeth, RouteMessageBuilder};

use super::ProbeDevice;
use crate::net::netlink::{Netlink, collect, in_time, refused};
use crate::net::{Mark, NetError};

/// Packets of every path fit with any outer header: 1280 bytes is what all of IPv6 carries.
pub(super) const MTU: u32 = 1280;
pub(super) const PEER: &str = "lb-probe-end";
/// Behind the local addresses' rule only: one of another's that takes every packet would take probes too.
pub(super) const PREFERENCE: u32 = 5;
pub(super) const TABLE: u32 = 12_386;
/// Of documentation: nobody's addresses, to see which way marked packets take.
const NOBODY: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(203, 0, 113, 254)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0xfe)),
];

pub(super) struct Way {
    netlink: Netlink,
    mark: Mark,
    /// The host may have been started without IPv6.
    has_ipv6: bool,
}

impl Way {
    pub(super) fn open(mark: Mark) -> Result<Self, NetError> {
        Ok(Self {
            netlink: Netlink::open()?,
            mark,
            has_ipv6: std::path::Path::new("/proc/thread-self/net/if_inet6").exists(),
        })
    }

    pub(super) async fn make(&self) -> Result<(), NetError> {
        let name = ProbeDevice::NAME;
        let device = LinkVeth::new(name, PEER)
            .mtu(MTU)
            .append_extra_attribute(LinkAttribute::GsoMaxSegs(1))
            .build();
        self.done(
            &format!("make the device {name}"),
            self.netlink.links_handle().add(device).execute(),
        )
        .await?;
        for name in [name, PEER] {
            self.set_up(name).await?;
        }
        self.route().await
    }

    /// Up, without addresses of its own, and without neighbours.
    async fn set_up(&self, name: &str) -> Result<(), NetError> {
        let mut link = LinkUnspec::new_with_name(name).arp(false).up();
        if self.has_ipv6 {
            let no_address = AfSpecInet6::AddrGenMode(In6AddrGenMode::None);
            let spec = LinkAttribute::AfSpecUnspec(vec![AfSpecUnspec::Inet6(vec![no_address])]);
            link = link.append_extra_attribute(spec);
            enable_ipv6(name)?;
        }
        self.done(
            &format!("set the device {name} up"),
            self.netlink
                .links_handle()
                .change(link.build())
                .set_flags(SET)
                .execute(),
        )
        .await
    }

    /// Sets the routes and rules.
    async fn route(&self) -> Result<(), NetError> {
        let device = self.device(ProbeDevice::NAME).await?;
        let index = device.map_or(0, |device| device.header.index);
        for route in [default_v4(index), refusal_v4()] {
            self.set_route(route).await?;
        }
        self.add_rule(rule(IpVersion::V4, self.mark)).await?;
        if self.has_ipv6 {
            for route in [default_v6(index), refusal_v6()] {
                self.set_route(route).await?;
            }
            self.add_rule(rule(IpVersion::V6, self.mark)).await?;
        }
        Ok(())
    }

    async fn set_route(&self, route: RouteMessage) -> Result<(), NetError> {
        let doing = format!("set a route by {}", ProbeDevice::NAME);
        let request = self.netlink.routes_handle().add(route).replace();
        self.done(&doing, request.execute()).await
    }

    async fn add_rule(&self, rule: RuleMessage) -> Result<(), NetError> {
        let doing = format!("add a routing rule for the mark {}", self.mark);
        let mut request = self.netlink.rules_handle().add();
        *request.message_mut() = rule;
        match self.done(&doing, request.execute()).await {
            Err(error) if error.raw_os_error() == Some(libc::EEXIST) => Ok(()),
            done => done,
        }
    }

    /// Removes the device, and with it its routes, the other routes of the table, and the rules to it.
    pub(super) async fn clear(&self) -> Result<(), NetError> {
        if let Some(device) = self.device(ProbeDevice::NAME).await? {
            if !is_veth(&device) {
                return Err(NetError::Taken {
                    name: ProbeDevice::NAME.to_owned(),
                });
            }
            let index = device.header.index;
            self.done(
                &format!("remove the device {}", ProbeDevice::NAME),
                self.netlink.links_handle().del(index).execute(),
            )
            .await?;
        }
        self.clear_route(refusal_v4()).await?;
        if self.has_ipv6 {
            self.clear_route(refusal_v6()).await?;
        }
        for version in [IpVersion::V4, IpVersion::V6] {
            if matches!(version, IpVersion::V6) && !self.has_ipv6 {
                continue;
            }
            let rules = self.netlink.rules_handle().get(version).execute();
            for rule in collect("list the routing rules", rules).await? {
                if is_ours(&rule) {
                    let removed = self.netlink.rules_handle().del(rule).execute();
                    self.done("remove a routing rule", removed).await?;
                }
            }
        }
        Ok(())
    }

    async fn clear_route(&self, route: RouteMessage) -> Result<(), NetError> {
        let removed = self.netlink.routes_handle().del(route).execute();
        match self.done("remove a route for probes", removed).await {
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(()),
            done => done,
        }
    }

    pub(super) async fn device(&self, name: &str) -> Result<Option<LinkMessage>, NetError> {
        let links = self.netlink.links_handle().get().match_name(name.to_owned());
        let found = collect(&format!("look for the device {name}"), links.execute()).await;
        match found {
            Ok(links) => Ok(links.into_iter().next()),
            Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Why packets with the mark would not leave by the device now, if so; else its index.
    pub(super) async fn look(&self) -> Result<Result<u32, String>, NetError> {
        let name = ProbeDevice::NAME;
        let Some(device) = self.device(name).await? else {
            return Ok(Err(format!("there is no device {name}")));
        };
        let index = device.header.index;
        if !is_veth(&device) {
            return Ok(Err(NetError::Taken {
                name: name.to_owned(),
            }
            .to_string()));
        }
        if !device.header.flags.contains(LinkFlags::Up | LinkFlags::LowerUp) {
            return Ok(Err(format!("the device {name} is down")));
        }
        for nobody in NOBODY.iter().filter(|nobody| nobody.is_ipv4() || self.has_ipv6) {
            if !self.leaves_by(*nobody, index).await? {
                return Ok(Err(format!(
                    "packets with the mark {} don't leave by {name}: its routing table or rule was changed, or another \
                     rule comes before it",
                    self.mark
                )));
            }
        }
        Ok(Ok(index))
    }

    async fn leaves_by(&self, nobody: IpAddr, index: u32) -> Result<bool, NetError> {
        match self.netlink.route_to_marked(nobody, self.mark.value).await {
            // The host itself has the address: then it says nothing.
            Ok(route) if route.header.kind == RouteType::Local => Ok(true),
            Ok(route) => Ok(route.attributes.contains(&RouteAttribute::Oif(index))),
            Err(error) if error.raw_os_error().is_some() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Makes what is missing of it, and leaves what is there.
    pub(super) async fn mend(&self) -> Result<(), NetError> {
        match self.device(ProbeDevice::NAME).await? {
            None => return self.make().await,
            Some(device) if !is_veth(&device) => {
                return Err(NetError::Taken {
                    name: ProbeDevice::NAME.to_owned(),
                });
            }
            Some(_) => {}
        }
        for name in [ProbeDevice::NAME, PEER] {
            self.set_up(name).await?;
        }
        self.route().await
    }

    async fn done(
        &self,
        doing: &str,
        request: impl Future<Output = Result<(), rtnetlink::Error>>,
    ) -> Result<(), NetError> {
        in_time(doing, async {
            request.await.map_err(|error| refused(doing, error))
        })
        .await
    }
}

/// Flags of a request that changes what exists.
const SET: u16 = rtnetlink::packet_core::NLM_F_REQUEST | rtnetlink::packet_core::NLM_F_ACK;

/// Behind the device's: without that, packets with the mark are refused instead of taking the way of all others, by which
/// somebody else might answer.
fn refusal_v4() -> RouteMessage {
    RouteMessageBuilder::<Ipv4Addr>::new()
        .kind(RouteType::Prohibit)
        .priority(LAST)
        .table_id(TABLE)
        .build()
}

fn refusal_v6() -> RouteMessage {
    RouteMessageBuilder::<Ipv6Addr>::new()
        .kind(RouteType::Prohibit)
        .priority(LAST)
        .table_id(TABLE)
        .build()
}

const LAST: u32 = u32::MAX - 1;

fn default_v4(device: u32) -> RouteMessage {
    RouteMessageBuilder::<Ipv4Addr>::new()
        .output_interface(device)
        .table_id(TABLE)
        .scope(RouteScope::Link)
        .build()
}

fn default_v6(device: u32) -> RouteMessage {
    RouteMessageBuilder::<Ipv6Addr>::new()
        .output_interface(device)
        .table_id(TABLE)
        .build()
}

fn rule(version: IpVersion, mark: Mark) -> RuleMessage {
    let mut rule = RuleMessage::default();
    rule.header.family = match version {
        IpVersion::V4 => AddressFamily::Inet,
        IpVersion::V6 => AddressFamily::Inet6,
    };
    rule.header.action = RuleAction::ToTable;
    rule.attributes = vec![
        RuleAttribute::Priority(PREFERENCE),
        RuleAttribute::FwMark(mark.value),
        RuleAttribute::FwMask(mark.mask),
        RuleAttribute::Table(TABLE),
    ];
    rule
}

fn is_veth(device: &LinkMessage) -> bool {
    device.attributes.iter().any(|attribute| match attribute {
        LinkAttribute::LinkInfo(infos) => infos.contains(&LinkInfo::Kind(InfoKind::Veth)),
        _ => false,
    })
}

fn is_ours(rule: &RuleMessage) -> bool {
    rule.attributes.contains(&RuleAttribute::Table(TABLE))
        && rule.attributes.contains(&RuleAttribute::Priority(PREFERENCE))
}

/// New devices may be made without IPv6, by a setting of the host for those that it knows nothing about.
fn enable_ipv6(name: &str) -> Result<(), NetError> {
    let path = format!("/proc/sys/net/ipv6/conf/{name}/disable_ipv6");
    let failed = |error| NetError::io(format!("enable IPv6 on {name} by {path}"), error);
    let disabled = std::fs::read_to_string(&path).map_err(failed)?;
    if disabled.trim() != "0" {
        std::fs::write(&path, "0").map_err(failed)?;
    }
    Ok(())
}
