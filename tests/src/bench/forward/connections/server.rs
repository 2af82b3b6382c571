//! The least that a backend can do: a thread that takes connections one by one, reads a request, answers with its number, and
//! closes first, so that no port of the client waits after that.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::os::fd::AsRawFd as _;
use std::thread::JoinHandle;

use crate::topology::{BACKENDS, Lab};

/// One on each backend, until this is dropped.
pub(super) struct Servers {
    running: Vec<(TcpListener, JoinHandle<()>)>,
}

impl Servers {
    /// They listen on return.
    pub(super) fn start(lab: &Lab, port: u16) -> Self {
        let running = (0..).zip(BACKENDS).map(|(number, name)| {
            let namespace = &lab.host(name).namespace;
            let listener = namespace.run(|| TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)));
            let listener = listener.unwrap_or_else(|error| panic!("listening on {name}: {error}"));
            let served = listener.try_clone().expect("another descriptor");
            let thread = std::thread::spawn(move || serve(&served, number));
            (listener, thread)
        });
        Self {
            running: running.collect(),
        }
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        for (listener, thread) in self.running.drain(..) {
            // What wakes a thread that waits for a connection, and tells it that none will come.
            let _ = nix::sys::socket::shutdown(listener.as_raw_fd(), nix::sys::socket::Shutdown::Both);
            let _ = thread.join();
        }
    }
}

fn serve(listener: &TcpListener, number: u8) {
    while let Ok((stream, _)) = listener.accept() {
        // A connection that breaks is the client's to notice.
        let _ = answer(stream, number);
    }
}

fn answer(mut stream: TcpStream, number: u8) -> std::io::Result<()> {
    let mut request = [0; 64];
    if stream.read(&mut request)? > 0 {
        stream.write_all(&[number])?;
    }
    stream.shutdown(Shutdown::Write)
}
