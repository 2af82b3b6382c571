//! What a process sees where.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

/// The command will find the file system that is mounted on `source` on `/sys/fs/bpf`, in mounts of its own.
pub(super) fn show_as_bpf_file_system(command: &mut Command, source: &Path) {
    let source = CString::new(source.as_os_str().as_bytes()).expect("a path without a zero byte");
    // SAFETY: unshare and mount are async-signal-safe, and every pointer outlives its call.
    unsafe {
        command.pre_exec(move || {
            let none = std::ptr::null();
            let done = libc::unshare(libc::CLONE_NEWNS) == 0
                && libc::mount(
                    none,
                    c"/".as_ptr(),
                    none,
                    libc::MS_REC | libc::MS_SLAVE,
                    none.cast(),
                ) == 0
                && libc::mount(
                    source.as_ptr(),
                    c"/sys/fs/bpf".as_ptr(),
                    none,
                    libc::MS_BIND,
                    none.cast(),
                ) == 0;
            if done {
                Ok(())
            } else {
                Err(std::io::Error::last_os_error())
            }
        })
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cleanup;

    #[test]
    fn pins_of_a_child_land_in_its_own_file_system() {
        let directory = cleanup::make_directory("pins");
        let bpf = directory.join("bpf");
        let mut command = Command::new("mkdir");
        show_as_bpf_file_system(command.arg("/sys/fs/bpf/pinned-by-a-child"), &bpf);
        assert!(command.status().unwrap().success());
        assert!(bpf.join("pinned-by-a-child").is_dir());
        assert!(!Path::new("/sys/fs/bpf/pinned-by-a-child").exists());
        cleanup::remove_directory(&directory);
        assert!(!directory.exists());
    }
}
