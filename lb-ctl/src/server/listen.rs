//! The addresses that the daemon listens on, and binding to them.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use nix::sys::stat::{Mode, fchmod};
use tokio::net::{TcpListener, TcpSocket, UnixListener, UnixSocket};

const SOCKET_MODE: u32 = 0o660;
const BACKLOG: u32 = 128;

/// `unix:PATH` or `IP:PORT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenAddress {
    Unix(PathBuf),
    Tcp(SocketAddr),
}

impl FromStr for ListenAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            return match path {
                "" => Err("the path of the Unix socket is missing".to_owned()),
                path => Ok(Self::Unix(path.into())),
            };
        }
        text.parse()
            .map(Self::Tcp)
            .map_err(|_| "expected unix:PATH, or IP:PORT such as 127.0.0.1:8080 or [::1]:8080".to_owned())
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp(address) => write!(f, "{address}"),
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    #[error(
        "{0} is not a loopback address: without a token file, over TCP the API is served on loopback only (give --token-file)"
    )]
    NotLoopback(SocketAddr),
    #[error("another process is listening on unix:{0}: is the daemon running already?")]
    InUse(PathBuf),
    #[error("{0} exists and is not a socket")]
    NotASocket(PathBuf),
    #[error("can't listen on {address}: {source}")]
    Io {
        address: ListenAddress,
        source: io::Error,
    },
}

pub(super) enum Listener {
    Unix(UnixListener, SocketFile),
    Tcp(TcpListener),
}

impl Listener {
    /// With tokens, callers are known wherever they are.
    pub(super) fn bind(address: &ListenAddress, with_tokens: bool) -> Result<Self, ListenError> {
        match address {
            ListenAddress::Unix(path) => bind_unix(path),
            ListenAddress::Tcp(tcp) if !with_tokens && !tcp.ip().is_loopback() => {
                Err(ListenError::NotLoopback(*tcp))
            }
            ListenAddress::Tcp(tcp) => bind_tcp(*tcp).map(Self::Tcp).map_err(|source| ListenError::Io {
                address: address.clone(),
                source,
            }),
        }
    }

    /// With the port that was really bound.
    pub(super) fn address(&self) -> io::Result<ListenAddress> {
        match self {
            Self::Unix(_, file) => Ok(ListenAddress::Unix(file.path.clone())),
            Self::Tcp(listener) => listener.local_addr().map(ListenAddress::Tcp),
        }
    }
}

fn bind_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()
    } else {
        TcpSocket::new_v6()
    }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

fn bind_unix(path: &Path) -> Result<Listener, ListenError> {
    let failed = |source| ListenError::Io {
        address: ListenAddress::Unix(path.to_owned()),
        source,
    };
    remove_stale(path)?;
    if let Some(directory) = path.parent().filter(|d| !d.as_os_str().is_empty()) {
        std::fs::create_dir_all(directory).map_err(failed)?;
    }
    let listener = bind_with_mode(path).map_err(failed)?;
    let file = SocketFile::of(path).map_err(failed)?;
    Ok(Listener::Unix(listener, file))
}

/// The mode is set before the socket has a name, so that it is never more open than this, whatever the umask is.
fn bind_with_mode(path: &Path) -> io::Result<UnixListener> {
    let socket = UnixSocket::new_stream()?;
    fchmod(&socket, Mode::from_bits_truncate(SOCKET_MODE))?;
    socket.bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(SOCKET_MODE))?;
    socket.listen(BACKLOG)
}

/// Removes a socket that a dead daemon left. One that somebody listens on stays.
fn remove_stale(path: &Path) -> Result<(), ListenError> {
    let failed = |source| ListenError::Io {
        address: ListenAddress::Unix(path.to_owned()),
        source,
    };
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
        Ok(metadata) if !metadata.file_type().is_socket() => {
            return Err(ListenError::NotASocket(path.to_owned()));
        }
        Ok(_) => {}
    }
    match connect_now(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path).map_err(failed)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Ok(()) | Err(_) => Err(ListenError::InUse(path.to_owned())),
    }
}

/// Without waiting: a listener whose backlog is full is a listener too.
fn connect_now(path: &Path) -> io::Result<()> {
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let probe = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    Ok(connect(probe.as_raw_fd(), &UnixAddr::new(path)?)?)
}

/// The socket's name in the file system; gone when dropped, unless another daemon's socket has the name by then.
pub(super) struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
}

impl SocketFile {
    fn of(path: &Path) -> io::Result<Self> {
        Ok(Self {
            path: path.to_owned(),
            identity: identity(path)?,
        })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|found| found == self.identity) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    std::fs::symlink_metadata(path).map(|m| (m.dev(), m.ino()))
}
