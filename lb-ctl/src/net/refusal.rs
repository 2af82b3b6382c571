//! What the kernel says when it refuses to attach an XDP program: its own sentence, which only netlink carries.

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{LinkAttribute, LinkMessage, LinkXdp};
use rtnetlink::packet_core::{
    ErrorMessage, NLM_F_ACK, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload, NlasIterator,
};
use rtnetlink::sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

const XDP_FLAGS_UPDATE_IF_NOEXIST: u32 = 1 << 0;
const XDP_FLAGS_DRV_MODE: u32 = 1 << 2;
/// Of the request, which every answer repeats.
const HEADER: usize = 16;
const NLMSGERR_ATTR_MSG: u16 = 1;

/// Why the driver of an interface takes no program natively, in its own words, if it has any: asked by an attachment of
/// another kind than the one that was refused, which leaves nothing behind. Answered at once.
pub fn native_refusal(ifindex: u32, program: BorrowedFd<'_>) -> Option<String> {
    match ask(ifindex, program.as_raw_fd()) {
        Ok(Answer::Refused(words)) => words,
        Ok(Answer::Taken) => {
            // It has changed its mind; whoever asked tries again.
            let _ = ask(ifindex, -1);
            None
        }
        Err(error) => {
            tracing::debug!(%error, ifindex, "the driver's reason can't be asked for");
            None
        }
    }
}

enum Answer {
    Taken,
    Refused(Option<String>),
}

fn ask(ifindex: u32, program: i32) -> io::Result<Answer> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    socket.set_ext_ack(true)?;
    socket.set_cap_ack(true)?;
    socket.send(&request(ifindex, program), 0)?;
    let (answer, _) = socket.recv_from_full()?;
    let answer = NetlinkMessage::<RouteNetlinkMessage>::deserialize(&answer).map_err(io::Error::other)?;
    match answer.payload {
        NetlinkPayload::Error(ErrorMessage { code: None, .. }) => Ok(Answer::Taken),
        NetlinkPayload::Error(error) => Ok(Answer::Refused(words(&error.header))),
        other => Err(io::Error::other(format!("an answer of another kind: {other:?}"))),
    }
}

fn request(ifindex: u32, program: i32) -> Vec<u8> {
    let flags = match program {
        -1 => XDP_FLAGS_DRV_MODE,
        _ => XDP_FLAGS_DRV_MODE | XDP_FLAGS_UPDATE_IF_NOEXIST,
    };
    let mut link = LinkMessage::default();
    link.header.index = ifindex;
    let xdp = vec![LinkXdp::Fd(program), LinkXdp::Flags(flags)];
    link.attributes.push(LinkAttribute::Xdp(xdp));
    let mut request = NetlinkMessage::from(RouteNetlinkMessage::SetLink(link));
    request.header.flags = NLM_F_REQUEST | NLM_F_ACK;
    request.finalize();
    let mut bytes = vec![0; request.buffer_len()];
    request.serialize(&mut bytes);
    bytes
}

/// The sentence among the attributes that follow the request's header.
fn words(answer: &[u8]) -> Option<String> {
    let attributes = NlasIterator::new(answer.get(HEADER..)?);
    let message = attributes
        .flatten()
        .find(|attribute| attribute.kind() == NLMSGERR_ATTR_MSG)?;
    let text = String::from_utf8_lossy(message.value());
    let text = text.trim_end_matches('\0').trim();
    (!text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sentence_stands_behind_the_requests_header() {
        let mut answer = vec![0; HEADER];
        // An offset, which comes with some refusals, and then the sentence.
        answer.extend([8, 0, 2, 0, 40, 0, 0, 0]);
        answer.extend([12, 0, 1, 0]);
        answer.extend(b"too big\0");
        assert_eq!(words(&answer).as_deref(), Some("too big"));
        assert_eq!(words(&answer[..HEADER]), None);
        assert_eq!(words(&[]), None);
    }
}
