//! What XDP can do with each interface: the kernel's own word (generic netlink, family `netdev`, from Linux 6.3 on), and
//! before there was one, what kind or driver is known for.

mod known;

use std::collections::BTreeMap;
use std::fmt::Debug;

use futures_util::StreamExt as _;
use netlink_packet_generic::ctrl::nlas::GenlCtrlAttrs;
use netlink_packet_generic::ctrl::{GenlCtrl, GenlCtrlCmd};
use netlink_packet_generic::{GenlFamily, GenlHeader, GenlMessage};
use rtnetlink::packet_core::{
    DecodeError, Emitable, NLM_F_REQUEST, NetlinkDeserializable, NetlinkMessage, NetlinkPayload,
    NetlinkSerializable, NlasIterator, ParseableParametrized, parse_u32, parse_u64,
};
use rtnetlink::proto::{ConnectionHandle, new_connection};
use rtnetlink::sys::{SocketAddr, protocols::NETLINK_GENERIC};
use tokio::task::AbortHandle;

pub(super) use self::known::known;
use super::NetError;
use super::netlink::in_time;

/// A set of the bits of `enum netdev_xdp_act`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct XdpFeatures(pub u64);

impl XdpFeatures {
    /// Its driver runs programs, and sends back what they say `XDP_TX` of.
    pub const BASIC: u64 = 1 << 0;
    /// It sends what programs of other interfaces redirect to it.
    pub const TRANSMIT: u64 = 1 << 2;

    pub fn runs_programs(self) -> bool {
        self.0 & Self::BASIC != 0
    }

    pub fn transmits(self) -> bool {
        self.0 & Self::TRANSMIT != 0
    }
}

/// Features by the interface's index.
pub(super) type FeatureMap = BTreeMap<u32, XdpFeatures>;

/// A socket to ask the family's members by.
#[derive(Debug)]
pub(super) struct Devices {
    family: u16,
    socket: Socket<Device>,
}

impl Devices {
    /// Nothing where the kernel is older than the family.
    pub(super) async fn open() -> Result<Option<Self>, NetError> {
        let Some(family) = family_id().await? else {
            return Ok(None);
        };
        Ok(Some(Self {
            family,
            socket: Socket::open()?,
        }))
    }

    /// Of these interfaces, but for those that are gone. Each is asked for: the kernel does not mark the parts of a whole
    /// listing as such.
    pub(super) async fn list(&self, interfaces: &[u32]) -> Result<FeatureMap, NetError> {
        let mut features = FeatureMap::new();
        for some in interfaces.chunks(AT_ONCE) {
            let messages = some.iter().map(|ifindex| {
                let mut message = GenlMessage::from_payload(Device {
                    ifindex: *ifindex,
                    features: 0,
                });
                message.set_resolved_family_id(self.family);
                message
            });
            let devices = self.socket.ask(messages.collect()).await?;
            let of_device = |device: Device| (device.ifindex, XdpFeatures(device.features));
            features.extend(devices.into_iter().map(of_device));
        }
        Ok(features)
    }
}

/// Far fewer than the answers that a socket has room for.
const AT_ONCE: usize = 64;

const DOING: &str = "ask what XDP can do with the interfaces";

async fn family_id() -> Result<Option<u16>, NetError> {
    let request = GenlMessage::from_payload(GenlCtrl {
        cmd: GenlCtrlCmd::GetFamily,
        nlas: vec![GenlCtrlAttrs::FamilyName(Device::family_name().to_owned())],
    });
    let answers: Vec<GenlCtrl> = Socket::open()?.ask(vec![request]).await?;
    let mut attributes = answers.into_iter().flat_map(|answer| answer.nlas);
    Ok(attributes.find_map(|attribute| match attribute {
        GenlCtrlAttrs::FamilyId(id) => Some(id),
        _ => None,
    }))
}

/// A generic netlink socket that speaks one family. Needs a tokio runtime.
#[derive(Debug)]
struct Socket<F: Debug> {
    handle: ConnectionHandle<GenlMessage<F>>,
    task: AbortHandle,
}

impl<F: Debug> Drop for Socket<F> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl<F> Socket<F>
where
    F: Debug + Send + Unpin + 'static,
    GenlMessage<F>: NetlinkSerializable + NetlinkDeserializable,
{
    fn open() -> Result<Self, NetError> {
        let (connection, handle, _) = new_connection(NETLINK_GENERIC)
            .map_err(|error| NetError::io("open a generic netlink socket", error))?;
        Ok(Self {
            handle,
            task: tokio::spawn(connection).abort_handle(),
        })
    }

    /// Each message has one answer, or none where there is nothing of what it names.
    async fn ask(&self, messages: Vec<GenlMessage<F>>) -> Result<Vec<F>, NetError> {
        let requests = messages.into_iter().map(|message| {
            let mut request = NetlinkMessage::from(message);
            request.header.flags = NLM_F_REQUEST;
            request.finalize();
            request
        });
        let closed = |error| NetError::io(DOING, std::io::Error::other(error));
        let answers = self
            .handle
            .request_batch(requests, SocketAddr::new(0, 0))
            .map_err(closed)?;
        in_time(DOING, async {
            let mut answers = std::pin::pin!(answers);
            let mut found = Vec::new();
            while let Some(answer) = answers.next().await {
                match answer.payload {
                    NetlinkPayload::InnerMessage(message) => found.push(message.into_parts().1),
                    NetlinkPayload::Error(error) if !is_absence(error.raw_code()) => {
                        return Err(NetError::io(DOING, error.to_io()));
                    }
                    _ => {}
                }
            }
            Ok(found)
        })
        .await
    }
}

fn is_absence(code: i32) -> bool {
    [0, -libc::ENOENT, -libc::ENODEV].contains(&code)
}

const NETDEV_CMD_DEV_GET: u8 = 1;
const NETDEV_A_DEV_IFINDEX: u16 = 1;
const NETDEV_A_DEV_XDP_FEATURES: u16 = 3;

/// A message of the family: with its number alone it asks for a device.
#[derive(Clone, Copy, Debug, Default)]
struct Device {
    ifindex: u32,
    features: u64,
}

impl GenlFamily for Device {
    fn family_name() -> &'static str {
        "netdev"
    }

    fn command(&self) -> u8 {
        NETDEV_CMD_DEV_GET
    }

    fn version(&self) -> u8 {
        1
    }
}

impl Emitable for Device {
    fn buffer_len(&self) -> usize {
        8
    }

    fn emit(&self, buffer: &mut [u8]) {
        buffer[..2].copy_from_slice(&8u16.to_ne_bytes());
        buffer[2..4].copy_from_slice(&NETDEV_A_DEV_IFINDEX.to_ne_bytes());
        buffer[4..8].copy_from_slice(&self.ifindex.to_ne_bytes());
    }
}

impl ParseableParametrized<[u8], GenlHeader> for Device {
    fn parse_with_param(attributes: &[u8], _header: GenlHeader) -> Result<Self, DecodeError> {
        let mut device = Self::default();
        for attribute in NlasIterator::new(attributes) {
            let attribute = attribute?;
            match attribute.kind() {
                NETDEV_A_DEV_IFINDEX => device.ifindex = parse_u32(attribute.value())?,
                NETDEV_A_DEV_XDP_FEATURES => device.features = parse_u64(attribute.value())?,
                _ => {}
            }
        }
        Ok(device)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_that_nobody_knows_are_passed_over() {
        let mut attributes = vec![8, 0, 1, 0, 7, 0, 0, 0];
        attributes.extend([12, 0, 9, 0, 1, 2, 3, 4, 5, 6, 7, 8]);
        attributes.extend([12, 0, 3, 0, 0x47, 0, 0, 0, 0, 0, 0, 0]);
        let header = GenlHeader { cmd: 1, version: 1 };
        let device = Device::parse_with_param(&attributes, header).expect("a device");
        let features = XdpFeatures(device.features);
        assert_eq!(device.ifindex, 7);
        assert!(features.runs_programs() && features.transmits());
        assert!(!XdpFeatures(XdpFeatures::BASIC).transmits());
    }
}
