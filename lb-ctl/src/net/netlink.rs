//! Requests to the kernel's routing netlink, and its notifications: the socket side of this module.
//!
//! Requests and notifications have a socket each, so that a burst of notifications can't cost a reply.

use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use futures_util::{Stream, StreamExt, TryStreamExt};
use netlink_packet_route::address::AddressMessage;
use netlink_packet_route::link::LinkMessage;
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourExtFlags, NeighbourFlags, NeighbourMessage,
};
use netlink_packet_route::route::{RouteAttribute, RouteMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use rtnetlink::packet_core::{NLM_F_ACK, NLM_F_CREATE, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use rtnetlink::sys::AsyncSocket;
use rtnetlink::{Handle, LinkHandle, MulticastGroup, RouteHandle, RuleHandle};
use tokio::sync::OnceCell;
use tokio::task::AbortHandle;

use super::NetError;
use super::features::{Devices, FeatureMap};

/// Longer than the kernel ever takes: a reply that can't be decoded would otherwise be awaited for ever.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The kernel caps this at its own limit.
const EVENT_BUFFER: usize = 4 << 20;

#[cfg(test)]
thread_local! {
    static REQUESTS: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

/// How many requests this thread has made.
#[cfg(test)]
pub(super) fn requests_made() -> u64 {
    REQUESTS.get()
}

/// A socket for requests. Needs a tokio runtime.
#[derive(Debug)]
pub(super) struct Netlink {
    handle: Handle,
    task: AbortHandle,
    /// Nothing where the kernel is older than what answers there.
    devices: OnceCell<Option<Devices>>,
}

impl Drop for Netlink {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Netlink {
    pub(super) fn open() -> Result<Self, NetError> {
        let (connection, handle, _) =
            rtnetlink::new_connection().map_err(|error| NetError::io("open a netlink socket", error))?;
        Ok(Self {
            handle,
            task: tokio::spawn(connection).abort_handle(),
            devices: OnceCell::new(),
        })
    }

    /// For one request.
    fn handle(&self) -> Handle {
        #[cfg(test)]
        REQUESTS.set(REQUESTS.get() + 1);
        self.handle.clone()
    }

    pub(super) fn links_handle(&self) -> LinkHandle {
        self.handle().link()
    }

    pub(super) fn routes_handle(&self) -> RouteHandle {
        self.handle().route()
    }

    pub(super) fn rules_handle(&self) -> RuleHandle {
        self.handle().rule()
    }

    pub(super) async fn links(&self) -> Result<Vec<LinkMessage>, NetError> {
        collect("list the interfaces", self.handle().link().get().execute()).await
    }

    /// What XDP can do with each interface; nothing where the kernel can't be asked.
    pub(super) async fn features(&self, interfaces: &[u32]) -> Result<Option<FeatureMap>, NetError> {
        match self.devices.get_or_try_init(Devices::open).await? {
            Some(devices) => devices.list(interfaces).await.map(Some),
            None => Ok(None),
        }
    }

    /// What bridges have learnt.
    pub(super) async fn bridge_entries(&self) -> Result<Vec<NeighbourMessage>, NetError> {
        let request = self
            .handle()
            .neighbours()
            .get()
            .set_address_family(AddressFamily::Bridge);
        collect("list what bridges have learnt", request.execute()).await
    }

    pub(super) async fn addresses(&self) -> Result<Vec<AddressMessage>, NetError> {
        collect("list the addresses", self.handle().address().get().execute()).await
    }

    pub(super) async fn neighbours(&self) -> Result<Vec<NeighbourMessage>, NetError> {
        collect("list the neighbours", self.handle().neighbours().get().execute()).await
    }

    /// The route that the kernel takes to `destination`.
    pub(super) async fn route_to(&self, destination: IpAddr) -> Result<RouteMessage, NetError> {
        self.route(destination, None).await
    }

    /// The same for packets with a mark.
    pub(super) async fn route_to_marked(
        &self,
        destination: IpAddr,
        mark: u32,
    ) -> Result<RouteMessage, NetError> {
        self.route(destination, Some(mark)).await
    }

    async fn route(&self, destination: IpAddr, mark: Option<u32>) -> Result<RouteMessage, NetError> {
        let mut message = RouteMessage::default();
        message.header.address_family = family(destination);
        message.header.destination_prefix_length = if destination.is_ipv4() { 32 } else { 128 };
        message
            .attributes
            .push(RouteAttribute::Destination(destination.into()));
        message.attributes.extend(mark.map(RouteAttribute::Mark));
        let doing = format!("look up the route to {destination}");
        let mut routes = collect(&doing, self.handle().route().get(message).execute()).await?;
        routes.pop().ok_or_else(|| NetError::Unexpected {
            doing,
            answer: "nothing".to_owned(),
        })
    }

    /// Has the kernel resolve the neighbour now, and keep it resolved from now on (where it knows how to, 5.16).
    pub(super) async fn manage_neighbour(&self, ifindex: u32, address: IpAddr) -> Result<(), NetError> {
        let mut message = neighbour_in_use(ifindex, address);
        message
            .attributes
            .push(NeighbourAttribute::ExtFlags(NeighbourExtFlags::Managed));
        self.change(format!("resolve the neighbour {address}"), message, NLM_F_CREATE)
            .await
    }

    /// Takes back [`Self::manage_neighbour`]; the entry then ages like any other.
    pub(super) async fn release_neighbour(&self, ifindex: u32, address: IpAddr) -> Result<(), NetError> {
        let message = neighbour_in_use(ifindex, address);
        self.change(format!("release the neighbour {address}"), message, 0)
            .await
    }

    async fn change(&self, doing: String, message: NeighbourMessage, flags: u16) -> Result<(), NetError> {
        let mut request = NetlinkMessage::from(RouteNetlinkMessage::NewNeighbour(message));
        request.header.flags = NLM_F_REQUEST | NLM_F_ACK | flags;
        let mut handle = self.handle();
        let replies = handle.request(request).map_err(|error| refused(&doing, error))?;
        in_time(&doing, async {
            let mut replies = std::pin::pin!(replies);
            while let Some(reply) = replies.next().await {
                if let NetlinkPayload::Error(error) = reply.payload {
                    return Err(NetError::io(doing.as_str(), error.to_io()));
                }
            }
            Ok(())
        })
        .await
    }
}

fn neighbour_in_use(ifindex: u32, address: IpAddr) -> NeighbourMessage {
    let mut message = NeighbourMessage::default();
    message.header.family = family(address);
    message.header.ifindex = ifindex;
    message.header.flags = NeighbourFlags::Use;
    message
        .attributes
        .push(NeighbourAttribute::Destination(NeighbourAddress::from(address)));
    message
}

fn family(address: IpAddr) -> AddressFamily {
    match address {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    }
}

pub(super) async fn collect<T>(
    doing: &str,
    replies: impl Stream<Item = Result<T, rtnetlink::Error>>,
) -> Result<Vec<T>, NetError> {
    let all = async { replies.try_collect().await.map_err(|error| refused(doing, error)) };
    in_time(doing, all).await
}

pub(super) async fn in_time<T>(
    doing: &str,
    work: impl Future<Output = Result<T, NetError>>,
) -> Result<T, NetError> {
    tokio::time::timeout(TIMEOUT, work)
        .await
        .unwrap_or_else(|_elapsed| {
            Err(NetError::NoAnswer {
                doing: doing.to_owned(),
            })
        })
}

pub(super) fn refused(doing: &str, error: rtnetlink::Error) -> NetError {
    match error {
        rtnetlink::Error::NetlinkError(error) => NetError::io(doing, error.to_io()),
        rtnetlink::Error::RequestFailed => {
            NetError::io(doing, io::Error::other("the netlink socket was closed"))
        }
        other => NetError::Unexpected {
            doing: doing.to_owned(),
            answer: other.to_string(),
        },
    }
}

/// What the kernel tells unasked.
#[derive(Debug)]
pub(super) enum Event {
    Message(RouteNetlinkMessage),
    /// Messages were lost: whatever is known may be wrong.
    Lost,
}

/// A socket for notifications. Needs a tokio runtime.
pub(super) struct Events {
    messages: std::pin::Pin<Box<dyn Stream<Item = NetlinkMessage<RouteNetlinkMessage>> + Send>>,
    task: AbortHandle,
}

impl Drop for Events {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Events {
    /// About links, addresses, routes, rules and neighbours.
    pub(super) fn open() -> Result<Self, NetError> {
        Self::of(&[
            MulticastGroup::Link,
            MulticastGroup::Neigh,
            MulticastGroup::Ipv4Ifaddr,
            MulticastGroup::Ipv6Ifaddr,
            MulticastGroup::Ipv4Route,
            MulticastGroup::Ipv6Route,
            MulticastGroup::Ipv4Rule,
            MulticastGroup::Ipv6Rule,
        ])
    }

    pub(super) fn of_links_and_rules() -> Result<Self, NetError> {
        Self::of(&[
            MulticastGroup::Link,
            MulticastGroup::Ipv4Rule,
            MulticastGroup::Ipv6Rule,
        ])
    }

    fn of(groups: &[MulticastGroup]) -> Result<Self, NetError> {
        let failed = |error| NetError::io("subscribe to netlink notifications", error);
        let (mut connection, _, messages) = rtnetlink::new_multicast_connection(groups).map_err(failed)?;
        connection
            .socket_mut()
            .socket_mut()
            .set_rx_buf_sz(EVENT_BUFFER)
            .map_err(failed)?;
        let messages = Box::pin(messages.map(|(message, _)| message));
        Ok(Self {
            messages,
            task: tokio::spawn(connection).abort_handle(),
        })
    }

    /// None when the socket is gone.
    pub(super) async fn next(&mut self) -> Option<Event> {
        loop {
            match self.messages.next().await?.payload {
                NetlinkPayload::InnerMessage(message) => return Some(Event::Message(message)),
                NetlinkPayload::Overrun(_) => return Some(Event::Lost),
                _ => {}
            }
        }
    }
}
