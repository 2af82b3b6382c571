//! The way out for health probes: rules that lead marked packets to a routing table of our own, whose default routes lead
//! to a device of our own. At its egress a program delivers them, so nothing ever arrives at its other end.
//!
//! Contract: [`ProbeDevice::create`] first removes what a killed run has left; what others remove of it is put back;
//! [`ProbeDevice::remove`] leaves nothing behind.

#[cfg(test)]
mod tests;

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use netlink_packet_route::AddressFamily;
use netlink_packet_route::link::{
    AfSpecInet6, AfSpecUnspec, In6AddrGenMode, InfoKind, LinkAttribute, LinkInfo, LinkMessage,
};
use netlink_packet_route::route::{RouteMessage, RouteScope};
use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleMessage};
use rtnetlink::{IpVersion, LinkUnspec, LinkVeth, RouteMessageBuilder};
use tokio::task::AbortHandle;
use tokio::time::{MissedTickBehavior, interval};

use super::netlink::{Netlink, collect, in_time, refused};
use super::{Mark, NetError};

/// Packets of every path fit with any outer header: 1280 bytes is what all of IPv6 carries.
const MTU: u32 = 1280;
const PEER: &str = "lb-probe-end";
/// Behind the local addresses' rule only: one of another's that takes every packet would take probes too.
const PREFERENCE: u32 = 5;
const TABLE: u32 = 12_386;
const REPAIR_INTERVAL: Duration = Duration::from_secs(2);

/// The device with its routes and rules. They stay when it is dropped.
#[derive(Debug)]
pub struct ProbeDevice {
    repair: Mutex<Option<AbortHandle>>,
}

impl ProbeDevice {
    pub const NAME: &str = "lb-probe";

    /// Makes it, for packets with this mark, in the network namespace of the calling thread. Needs a tokio runtime.
    pub async fn create(mark: Mark) -> Result<Self, NetError> {
        let way = Way::open(mark)?;
        way.clear().await?;
        if let Err(error) = way.make().await {
            // What is there of it is of no use; the first error is the one to tell.
            let _ = way.clear().await;
            return Err(error);
        }
        let repair = tokio::spawn(repair(way)).abort_handle();
        Ok(Self {
            repair: Mutex::new(Some(repair)),
        })
    }

    pub async fn remove(&self) -> Result<(), NetError> {
        self.stop_repairing();
        Self::remove_leftovers().await
    }

    /// Removes what a run has left that is no more.
    pub async fn remove_leftovers() -> Result<(), NetError> {
        Way::open(Mark::DEFAULT)?.clear().await
    }

    fn stop_repairing(&self) {
        let repair = self.repair.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = repair {
            task.abort();
        }
    }
}

impl Drop for ProbeDevice {
    fn drop(&mut self) {
        self.stop_repairing();
    }
}

/// Rules are fair game for network managers; what was there once is put back.
async fn repair(way: Way) {
    let mut ticks = interval(REPAIR_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut told = None;
    loop {
        ticks.tick().await;
        match way.route().await {
            Ok(false) => told = None,
            Ok(true) => tracing::warn!(
                "routes or rules for health probes by {} had been removed, and are back",
                ProbeDevice::NAME
            ),
            Err(error) => {
                let error = error.to_string();
                if told.as_ref() != Some(&error) {
                    tracing::error!(
                        "health probes to VIPs can't leave: {error}; start lb-ctl again to mend that"
                    );
                }
                told = Some(error);
            }
        }
    }
}

struct Way {
    netlink: Netlink,
    mark: Mark,
    /// The host may have been started without IPv6.
    has_ipv6: bool,
}

impl Way {
    fn open(mark: Mark) -> Result<Self, NetError> {
        Ok(Self {
            netlink: Netlink::open()?,
            mark,
            has_ipv6: std::path::Path::new("/proc/thread-self/net/if_inet6").exists(),
        })
    }

    async fn make(&self) -> Result<(), NetError> {
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
        self.route().await.map(drop)
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

    /// Adds the routes and rules that are missing; whether there were any.
    async fn route(&self) -> Result<bool, NetError> {
        let device = self.device(ProbeDevice::NAME).await?;
        let index = device.map_or(0, |device| device.header.index);
        let mut added = self.add_route(default_v4(index)).await?;
        added |= self.add_rule(rule(IpVersion::V4, self.mark)).await?;
        if self.has_ipv6 {
            added |= self.add_route(default_v6(index)).await?;
            added |= self.add_rule(rule(IpVersion::V6, self.mark)).await?;
        }
        Ok(added)
    }

    async fn add_route(&self, route: RouteMessage) -> Result<bool, NetError> {
        let doing = format!("add a route by {}", ProbeDevice::NAME);
        let added = self.done(&doing, self.netlink.routes_handle().add(route).execute());
        unless_present(added.await)
    }

    async fn add_rule(&self, rule: RuleMessage) -> Result<bool, NetError> {
        let doing = format!("add a routing rule for the mark {}", self.mark);
        let mut request = self.netlink.rules_handle().add();
        *request.message_mut() = rule;
        unless_present(self.done(&doing, request.execute()).await)
    }

    /// Removes the device, and with it its routes, and the rules to the table.
    async fn clear(&self) -> Result<(), NetError> {
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

    async fn device(&self, name: &str) -> Result<Option<LinkMessage>, NetError> {
        let has_name =
            |attribute: &LinkAttribute| matches!(attribute, LinkAttribute::IfName(of) if of == name);
        let links = self.netlink.links().await?;
        Ok(links
            .into_iter()
            .find(|link| link.attributes.iter().any(has_name)))
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

fn unless_present(added: Result<(), NetError>) -> Result<bool, NetError> {
    match added {
        Ok(()) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::EEXIST) => Ok(false),
        Err(error) => Err(error),
    }
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
