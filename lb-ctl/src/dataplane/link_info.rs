//! What the kernel says of a pinned link: which program it runs, and on which interface. aya reads the first, not the
//! second, and the second tells whether the link still is attached at all.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use aya_obj::generated::{bpf_attr, bpf_cmd, bpf_link_info};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LinkInfo {
    pub(super) program_id: u32,
    /// 0 once the interface is gone, or somebody detached the link.
    pub(super) ifindex: u32,
}

impl LinkInfo {
    /// Of the link that is pinned here.
    pub(super) fn of_pin(pin: &Path) -> io::Result<Self> {
        let link = open(pin)?;
        // SAFETY: all variants of both are plain numbers, for which zero is a value.
        let (mut info, mut attr): (bpf_link_info, bpf_attr) = unsafe { std::mem::zeroed() };
        attr.info.bpf_fd = link.as_raw_fd() as u32;
        attr.info.info = (&raw mut info) as u64;
        attr.info.info_len = size_of::<bpf_link_info>() as u32;
        bpf(bpf_cmd::BPF_OBJ_GET_INFO_BY_FD, &mut attr)?;
        Ok(Self {
            program_id: info.prog_id,
            // SAFETY: the kernel has filled in what belongs to the link's type, and every bit pattern is a number.
            ifindex: unsafe { info.__bindgen_anon_1.xdp.ifindex },
        })
    }
}

fn open(pin: &Path) -> io::Result<OwnedFd> {
    let path = CString::new(pin.as_os_str().as_bytes())?;
    // SAFETY: as above.
    let mut attr: bpf_attr = unsafe { std::mem::zeroed() };
    attr.__bindgen_anon_4.pathname = path.as_ptr() as u64;
    let fd = bpf(bpf_cmd::BPF_OBJ_GET, &mut attr)?;
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn bpf(command: bpf_cmd, attr: &mut bpf_attr) -> io::Result<i32> {
    // SAFETY: the attribute lives through the call, and so does what it points to.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, &raw mut *attr, size_of::<bpf_attr>()) };
    match result {
        -1 => Err(io::Error::last_os_error()),
        fd => Ok(fd as i32),
    }
}
