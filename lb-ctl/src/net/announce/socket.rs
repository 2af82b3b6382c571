//! Packet sockets and IPv6 group memberships: the only unsafe code of this module.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::mem::{size_of, size_of_val};
use std::net::Ipv6Addr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use libc::{c_int, c_void, socklen_t};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::net::MacAddr;

/// Whole frames of one interface, as far as its filter lets them through.
#[derive(Debug)]
pub(super) struct PacketSocket {
    fd: AsyncFd<OwnedFd>,
    ifindex: u32,
}

impl PacketSocket {
    /// `ethertype` is one of `ETH_P_*`. Needs a tokio runtime.
    pub(super) fn open(ifindex: u32, ethertype: c_int, filter: &[libc::sock_filter]) -> io::Result<Self> {
        // Protocol 0 receives nothing: no frame arrives before the filter is there.
        let fd = socket(libc::AF_PACKET, libc::SOCK_RAW)?;
        attach_filter(&fd, filter)?;
        set_option(&fd, libc::SOL_PACKET, libc::PACKET_IGNORE_OUTGOING, &1i32)?;
        let mut address = empty_link_address();
        address.sll_protocol = (ethertype as u16).to_be();
        address.sll_ifindex = ifindex as c_int;
        // SAFETY: `address` is a whole sockaddr_ll, and its size is given.
        let result = unsafe { libc::bind(fd.as_raw_fd(), (&raw const address).cast(), length_of(&address)) };
        check(result)?;
        // SAFETY: the descriptor is owned by what is registered, so it is closed only with the registration.
        let fd = unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }?;
        Ok(Self { fd, ifindex })
    }

    /// Has the interface receive every multicast frame: the solicited-node groups of a whole prefix are too many to
    /// name.
    pub(super) fn receive_all_multicast(&self) -> io::Result<()> {
        let request = libc::packet_mreq {
            mr_ifindex: self.ifindex as c_int,
            mr_type: libc::PACKET_MR_ALLMULTI as u16,
            mr_alen: 0,
            mr_address: [0; 8],
        };
        set_option(
            self.fd.get_ref(),
            libc::SOL_PACKET,
            libc::PACKET_ADD_MEMBERSHIP,
            &request,
        )
    }

    fn name(&self) -> io::Result<libc::sockaddr_ll> {
        let mut address = empty_link_address();
        let mut length = length_of(&address);
        // SAFETY: `address` has room for `length` bytes, and both live through the call.
        let result =
            unsafe { libc::getsockname(self.fd.as_raw_fd(), (&raw mut address).cast(), &raw mut length) };
        check(result)?;
        Ok(address)
    }

    /// Whether the interface is still there; the kernel unbinds a socket from one that goes, for good.
    pub(super) fn is_bound(&self) -> bool {
        self.name()
            .is_ok_and(|name| name.sll_ifindex == self.ifindex as c_int)
    }

    /// The interface's address now.
    pub(super) fn mac(&self) -> io::Result<MacAddr> {
        let address = self.name()?;
        match (address.sll_halen, address.sll_addr) {
            (6, [a, b, c, d, e, f, ..]) => Ok([a, b, c, d, e, f]),
            _ => Err(io::Error::other("the interface has no Ethernet address")),
        }
    }

    /// The length of the next frame; a longer one than `buffer` is cut.
    pub(super) async fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.fd
            .async_io(Interest::READABLE, |fd| receive(fd.as_raw_fd(), buffer))
            .await
    }

    pub(super) fn send(&self, frame: &[u8]) -> io::Result<()> {
        // SAFETY: the pointer and the length are those of `frame`.
        let sent = unsafe { libc::send(self.fd.as_raw_fd(), frame.as_ptr().cast(), frame.len(), 0) };
        if sent < 0 {
            Err(io::Error::last_os_error())
        } else {
            Ok(())
        }
    }
}

fn receive(fd: RawFd, buffer: &mut [u8]) -> io::Result<usize> {
    // SAFETY: the pointer and the length are those of `buffer`, which nobody else uses meanwhile.
    let length = unsafe { libc::recv(fd, buffer.as_mut_ptr().cast(), buffer.len(), 0) };
    usize::try_from(length).map_err(|_| io::Error::last_os_error())
}

pub(super) fn attach_filter(fd: &impl AsRawFd, filter: &[libc::sock_filter]) -> io::Result<()> {
    // The kernel only reads the program, though its declaration says `*mut`.
    let program = libc::sock_fprog {
        len: filter.len() as u16,
        filter: filter.as_ptr().cast_mut(),
    };
    set_option(fd, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &program)
}

/// Memberships in IPv6 multicast groups on one interface, so that switches which listen to MLD let them through.
#[derive(Debug)]
pub(super) struct GroupMemberships {
    ifindex: u32,
    /// A socket holds only as many as the kernel gives it memory for.
    pub(super) sockets: Vec<OwnedFd>,
    /// By group: the socket that joined it.
    joined: BTreeMap<Ipv6Addr, usize>,
}

impl GroupMemberships {
    pub(super) fn new(ifindex: u32) -> Self {
        Self {
            ifindex,
            sockets: Vec::new(),
            joined: BTreeMap::new(),
        }
    }

    /// Joins what is new in `groups`, and leaves what is not there. What failed is tried again by the next call; the
    /// last error comes back.
    pub(super) fn set(&mut self, groups: BTreeSet<Ipv6Addr>) -> io::Result<()> {
        let gone: Vec<Ipv6Addr> = self
            .joined
            .keys()
            .filter(|group| !groups.contains(group))
            .copied()
            .collect();
        for group in gone {
            if let Some(socket) = self.joined.remove(&group) {
                // With the interface the membership is gone already.
                let _ = self.change(socket, libc::IPV6_DROP_MEMBERSHIP, group);
            }
        }
        let mut result = Ok(());
        for group in groups {
            if !self.joined.contains_key(&group) {
                match self.join(group) {
                    Ok(socket) => drop(self.joined.insert(group, socket)),
                    Err(error) => result = Err(error),
                }
            }
        }
        result
    }

    /// The first socket with room takes it, or a new one.
    fn join(&mut self, group: Ipv6Addr) -> io::Result<usize> {
        for socket in (0..self.sockets.len()).rev() {
            match self.change(socket, libc::IPV6_ADD_MEMBERSHIP, group) {
                Err(error) if is_full(&error) => {}
                joined => return joined.map(|()| socket),
            }
        }
        self.sockets.push(socket(libc::AF_INET6, libc::SOCK_DGRAM)?);
        let new = self.sockets.len() - 1;
        let joined = self.change(new, libc::IPV6_ADD_MEMBERSHIP, group);
        if joined.is_err() {
            self.sockets.pop();
        }
        joined.map(|()| new)
    }

    fn change(&self, socket: usize, option: c_int, group: Ipv6Addr) -> io::Result<()> {
        let request = libc::ipv6_mreq {
            ipv6mr_multiaddr: libc::in6_addr {
                s6_addr: group.octets(),
            },
            ipv6mr_interface: self.ifindex,
        };
        set_option(&self.sockets[socket], libc::IPPROTO_IPV6, option, &request)
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOBUFS | libc::ENOMEM))
}

fn socket(family: c_int, kind: c_int) -> io::Result<OwnedFd> {
    // SAFETY: no pointers are involved.
    let fd = unsafe { libc::socket(family, kind | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK, 0) };
    check(fd)?;
    // SAFETY: the descriptor was just made, and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// `T` must be the type that the option takes.
fn set_option<T>(fd: &impl AsRawFd, level: c_int, option: c_int, value: &T) -> io::Result<()> {
    let pointer: *const c_void = (&raw const *value).cast();
    // SAFETY: the pointer and the length are those of `value`, which the kernel only reads.
    check(unsafe { libc::setsockopt(fd.as_raw_fd(), level, option, pointer, length_of(value)) })
}

fn empty_link_address() -> libc::sockaddr_ll {
    libc::sockaddr_ll {
        sll_family: libc::AF_PACKET as u16,
        sll_protocol: 0,
        sll_ifindex: 0,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    }
}

fn length_of<T>(value: &T) -> socklen_t {
    const { assert!(size_of::<T>() <= u16::MAX as usize) };
    size_of_val(value) as socklen_t
}

fn check(result: c_int) -> io::Result<()> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}
