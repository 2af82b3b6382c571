//! What others may do to a daemon's pins.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

const OBJ_GET: libc::c_long = 7;
const LINK_DETACH: libc::c_long = 34;

/// The beginning of `union bpf_attr`, as these two commands read it.
#[repr(C)]
#[derive(Default)]
struct Attributes {
    words: [u64; 2],
}

fn bpf(command: libc::c_long, attributes: &Attributes) -> io::Result<i32> {
    // SAFETY: both commands read no more than the attributes that are there, and what those point to lives on.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            std::ptr::from_ref(attributes),
            size_of::<Attributes>(),
        )
    };
    match result {
        -1 => Err(io::Error::last_os_error()),
        result => Ok(result as i32),
    }
}

/// Takes the program off the interface of the pinned link, as `bpftool link detach` does. The pin stays.
#[track_caller]
pub fn detach_link(pin: &Path) {
    let path = CString::new(pin.as_os_str().as_bytes()).expect("a path without a zero byte");
    let opened = bpf(
        OBJ_GET,
        &Attributes {
            words: [path.as_ptr() as u64, 0],
        },
    );
    let link = opened.unwrap_or_else(|error| panic!("opening {}: {error}", pin.display()));
    // SAFETY: the kernel has just made this descriptor for us.
    let link = unsafe { OwnedFd::from_raw_fd(link) };
    let words = [u64::from(link.as_raw_fd() as u32), 0];
    bpf(LINK_DETACH, &Attributes { words })
        .unwrap_or_else(|error| panic!("detaching the link of {}: {error}", pin.display()));
}
