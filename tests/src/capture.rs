//! A capture on one interface that checks every checksum, and keeps the frames for a person to read.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use etherparse::{NetSlice, SlicedPacket, TransportSlice};

use crate::condition::eventually;
use crate::netns::Namespace;
use crate::traffic::GUE_PORT;

const SNAP_LENGTH: u32 = 65_535;
const LINKTYPE_ETHERNET: u32 = 1;

/// How many frames are kept; all are checked.
const KEPT: usize = 10_000;

/// Captures until finished or dropped.
pub struct Capture {
    stop: Arc<AtomicBool>,
    captured: Arc<Mutex<Captured>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
pub struct Captured {
    /// The first frames.
    pub frames: Vec<Vec<u8>>,
    pub seen: u64,
    /// A sentence for each bad checksum.
    pub faults: Vec<String>,
}

impl Capture {
    pub fn start(namespace: &Namespace, interface: &str) -> Self {
        let socket = namespace.run(|| open(interface));
        let mut socket = socket.unwrap_or_else(|error| panic!("capturing on {interface}: {error}"));
        let stop = Arc::<AtomicBool>::default();
        let captured = Arc::<Mutex<Captured>>::default();
        let (stopping, taking) = (stop.clone(), captured.clone());
        let thread = std::thread::spawn(move || {
            let mut buffer = vec![0; SNAP_LENGTH as usize];
            while !stopping.load(Ordering::Relaxed) {
                // The socket's timeout is what lets a quiet capture end.
                if let Ok(length) = socket.read(&mut buffer) {
                    locked(&taking).take(&buffer[..length]);
                }
            }
        });
        Self {
            stop,
            captured,
            thread: Some(thread),
        }
    }

    /// What was seen so far; the capture goes on.
    pub fn look<T>(&self, at: impl FnOnce(&Captured) -> T) -> T {
        at(&locked(&self.captured))
    }

    /// What was seen so far; the capture ends.
    pub fn finish(mut self) -> Captured {
        self.end();
        std::mem::take(&mut locked(&self.captured))
    }

    /// Waits until what was seen satisfies `enough`.
    #[track_caller]
    pub fn finish_when(self, mut enough: impl FnMut(&Captured) -> bool) -> Captured {
        eventually(Duration::from_secs(5), || {
            let captured = locked(&self.captured);
            enough(&captured)
                .then_some(())
                .ok_or_else(|| format!("{} frames, none as expected", captured.seen))
        });
        self.finish()
    }

    fn end(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.end();
    }
}

fn locked(captured: &Mutex<Captured>) -> MutexGuard<'_, Captured> {
    captured.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Captured {
    fn take(&mut self, frame: &[u8]) {
        self.faults.extend(checksum_fault(frame));
        self.seen += 1;
        if self.frames.len() < KEPT {
            self.frames.push(frame.to_vec());
        }
    }

    #[track_caller]
    pub fn assert_checksums(&self) {
        assert!(
            self.faults.is_empty(),
            "bad checksums in {} frames: {:#?}",
            self.frames.len(),
            self.faults
        );
    }

    /// In the format of tcpdump and Wireshark.
    pub fn write_pcap(&self, path: &Path) -> io::Result<PathBuf> {
        let mut file = io::BufWriter::new(File::create(path)?);
        let header: [u32; 6] = [0xa1b2_c3d4, 4 << 16 | 2, 0, 0, SNAP_LENGTH, LINKTYPE_ETHERNET];
        header
            .iter()
            .try_for_each(|word| file.write_all(&word.to_ne_bytes()))?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        for frame in &self.frames {
            let length = frame.len() as u32;
            let record = [now.as_secs() as u32, now.subsec_micros(), length, length];
            record
                .iter()
                .try_for_each(|word| file.write_all(&word.to_ne_bytes()))?;
            file.write_all(frame)?;
        }
        file.flush()?;
        Ok(path.to_owned())
    }
}

fn open(interface: &str) -> io::Result<File> {
    let every_protocol = (libc::ETH_P_ALL as u16).to_be();
    // SAFETY: socket has no preconditions.
    let raw = unsafe {
        libc::socket(
            libc::AF_PACKET,
            libc::SOCK_RAW | libc::SOCK_CLOEXEC,
            i32::from(every_protocol),
        )
    };
    if raw < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a descriptor that was just made and that nobody else owns.
    let socket = unsafe { OwnedFd::from_raw_fd(raw) };
    // SAFETY: all zeros is a valid sockaddr_ll.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = every_protocol;
    address.sll_ifindex = nix::net::if_::if_nametoindex(interface)? as i32;
    let length = size_of_val(&address) as libc::socklen_t;
    // SAFETY: the address is whole and outlives the call.
    if unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), length) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let timeout = nix::sys::time::TimeVal::new(0, 50_000);
    nix::sys::socket::setsockopt(&socket, nix::sys::socket::sockopt::ReceiveTimeout, &timeout)?;
    Ok(File::from(socket))
}

/// Zero has two forms in one's complement arithmetic (RFC 1071): a receiver's sum comes out the same with either.
fn are_equal(found: u16, right: u16) -> bool {
    found == right || (found ^ right == 0xffff && [0, 0xffff].contains(&found))
}

/// What is wrong with a frame's checksums, as its receiver would find it.
fn checksum_fault(frame: &[u8]) -> Option<String> {
    let packet = SlicedPacket::from_ethernet(frame).ok()?;
    let net = packet.net?;
    if let NetSlice::Ipv4(ip) = &net {
        let header = ip.header().to_header();
        if !are_equal(header.header_checksum, header.calc_header_checksum()) {
            return Some(format!(
                "IPv4 header of {:?} → {:?}",
                header.source, header.destination
            ));
        }
        if header.is_fragmenting_payload() {
            return None;
        }
    }
    let transport = packet.transport?;
    let (found, right) = transport_checksums(&net, &transport)?;
    (!are_equal(found, right)).then(|| format!("{found:#06x} should be {right:#06x} in {transport:?}"))
}

fn transport_checksums(net: &NetSlice<'_>, transport: &TransportSlice<'_>) -> Option<(u16, u16)> {
    Some(match (net, transport) {
        (NetSlice::Ipv4(ip), TransportSlice::Tcp(tcp)) => (
            tcp.checksum(),
            tcp.calc_checksum_ipv4(ip.header().source(), ip.header().destination())
                .ok()?,
        ),
        (NetSlice::Ipv6(ip), TransportSlice::Tcp(tcp)) => (
            tcp.checksum(),
            tcp.calc_checksum_ipv6(ip.header().source(), ip.header().destination())
                .ok()?,
        ),
        (NetSlice::Ipv4(_), TransportSlice::Udp(udp)) if udp.checksum() == 0 => return None,
        (NetSlice::Ipv4(ip), TransportSlice::Udp(udp)) => {
            let right = udp.to_header().calc_checksum_ipv4_raw(
                ip.header().source(),
                ip.header().destination(),
                udp.payload(),
            );
            (udp.checksum(), right.ok()?)
        }
        // A tunnel over IPv6 may leave it out (RFC 6935); nothing else may.
        (NetSlice::Ipv6(_), TransportSlice::Udp(udp))
            if udp.checksum() == 0 && udp.destination_port() == GUE_PORT =>
        {
            return None;
        }
        (NetSlice::Ipv6(ip), TransportSlice::Udp(udp)) => {
            let right = udp.to_header().calc_checksum_ipv6_raw(
                ip.header().source(),
                ip.header().destination(),
                udp.payload(),
            );
            (udp.checksum(), right.ok()?)
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn both_zeros_of_a_checksum_are_right() {
        assert!(super::are_equal(0xffff, 0) && super::are_equal(0, 0xffff));
        assert!(!super::are_equal(0x0f0f, 0xf0f0) && !super::are_equal(1, 0));
    }

    use super::*;

    #[test]
    fn a_flipped_bit_is_a_bad_checksum() {
        for (from, to) in [
            ("10.0.0.1:5", "10.0.0.2:6"),
            ("[2001:db8::1]:5", "[2001:db8::2]:6"),
        ] {
            let packet = crate::packet::udp(from.parse().unwrap(), to.parse().unwrap(), b"payload");
            let ethertype: &[u8] = if packet[0] >> 4 == 4 {
                &[0x08, 0x00]
            } else {
                &[0x86, 0xdd]
            };
            let mut frame = [&[0; 12], ethertype, &packet].concat();
            assert_eq!(checksum_fault(&frame), None);
            *frame.last_mut().unwrap() ^= 1;
            assert!(checksum_fault(&frame).is_some());
        }
    }
}
