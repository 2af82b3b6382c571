//! Attaching to interfaces by pinned links, which can be replaced atomically and outlive the daemon.

use std::collections::BTreeMap;
use std::path::Path;

use aya::programs::links::{FdLink, LinkError, PinnedLink};
use aya::programs::xdp::{XdpLink, XdpMode as AyaMode};
use aya::programs::{ProgramError, Xdp};
use thiserror::Error;

use super::link_info::LinkInfo;
use super::load::Program;
use super::pin::PinDirectory;

/// `--xdp-mode`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum XdpMode {
    /// Native where the driver can, else generic.
    #[default]
    Auto,
    Native,
    Generic,
}

#[derive(Debug, Error)]
pub enum AttachError {
    #[error("interface {interface} already carries an XDP program that is not ours; detach that one first")]
    Foreign { interface: String },
    #[error(
        "the driver of {interface} can't run this XDP program natively ({reason}); \
         `--xdp-mode generic` works on every driver, more slowly"
    )]
    NoNative { interface: String, reason: String },
    #[error("attaching to {interface}: {source}")]
    Program {
        interface: String,
        source: Box<ProgramError>,
    },
    #[error("the pinned link of {interface}: {source}")]
    Link {
        interface: String,
        source: Box<LinkError>,
    },
    #[error("pinning the link of {interface}: {source}")]
    Pin {
        interface: String,
        source: Box<aya::pin::PinError>,
    },
    #[error(
        "the kernel attached to {interface} without a link, so the attachment can't be pinned; Linux 6.1 or newer is needed"
    )]
    NoLink { interface: String },
}

/// How an interface came to run the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attached {
    /// A former daemon's link, its program replaced.
    Adopted,
    Native,
    Generic,
    /// Although native mode was to be tried: a clause says why it is not native.
    Reduced(String),
}

/// What a pinned link is attached to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PinnedLinkState {
    /// To its interface, with this daemon's program.
    Ours,
    /// To its interface, with another program: somebody replaced it, or an earlier run attached it.
    Other,
    /// To nothing: the interface is gone, or somebody detached the link.
    Dead,
}

impl std::fmt::Display for Attached {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Adopted => f.write_str("adopted the attachment of an earlier run"),
            Self::Native => f.write_str("attached in native mode"),
            Self::Generic => f.write_str("attached in generic mode"),
            Self::Reduced(reason) => write!(f, "attached in generic mode, which is slower: {reason}"),
        }
    }
}

impl Program {
    /// Attaches, or replaces the program of the link that a former daemon pinned. The link stays pinned when
    /// `self` is dropped, and so does the program, for the next run to take up.
    pub fn attach(
        &mut self,
        interface: &str,
        index: u32,
        mode: XdpMode,
        pins: &PinDirectory,
    ) -> Result<Attached, AttachError> {
        let attached = self.attach_link(interface, index, mode, pins)?;
        if let Err(error) = self.keep(pins) {
            tracing::warn!("the program can't be kept, so the next start verifies it again: {error:#}");
        }
        Ok(attached)
    }

    fn keep(&mut self, pins: &PinDirectory) -> anyhow::Result<()> {
        let pin = pins.program(self.identity);
        if !pin.exists() {
            self.xdp().pin(&pin)?;
        }
        for other in pins.other_programs(self.identity)? {
            std::fs::remove_file(other)?;
        }
        Ok(())
    }

    fn attach_link(
        &mut self,
        interface: &str,
        index: u32,
        mode: XdpMode,
        pins: &PinDirectory,
    ) -> Result<Attached, AttachError> {
        let pin = pins.link(index);
        if pin.exists() && self.adopt(interface, &pin)? {
            return Ok(Attached::Adopted);
        }
        let (link, attached) = match mode {
            XdpMode::Native => (self.native(interface, index)?, Attached::Native),
            XdpMode::Generic => (self.create(interface, index, AyaMode::Skb)?, Attached::Generic),
            XdpMode::Auto => match self.native(interface, index) {
                Ok(link) => (link, Attached::Native),
                Err(AttachError::NoNative { interface, reason }) => {
                    let link = self.create(&interface, index, AyaMode::Skb)?;
                    (
                        link,
                        Attached::Reduced(format!("its driver takes no program natively: {reason}")),
                    )
                }
                Err(error) => return Err(error),
            },
        };
        link.pin(&pin).map_err(|source| AttachError::Pin {
            interface: interface.into(),
            source: source.into(),
        })?;
        Ok(attached)
    }

    /// Every pinned link, by the interface that it is named after.
    pub fn links(&mut self, pins: &PinDirectory) -> anyhow::Result<BTreeMap<u32, PinnedLinkState>> {
        let ours = self.xdp().info()?.id();
        let state = |index| match LinkInfo::of_pin(&pins.link(index)) {
            Ok(LinkInfo { ifindex, .. }) if ifindex != index => PinnedLinkState::Dead,
            Ok(LinkInfo { program_id, .. }) if program_id == ours => PinnedLinkState::Ours,
            Ok(_) => PinnedLinkState::Other,
            Err(_) => PinnedLinkState::Dead,
        };
        let indices = pins.linked_interfaces()?.into_iter();
        Ok(indices.map(|index| (index, state(index))).collect())
    }

    /// Whether the pinned link was still alive and now runs this program. A link whose interface is gone is dead:
    /// its pin is removed.
    pub(super) fn adopt(&mut self, interface: &str, pin: &Path) -> Result<bool, AttachError> {
        let link_error = |source: LinkError| AttachError::Link {
            interface: interface.into(),
            source: source.into(),
        };
        let link: FdLink = PinnedLink::from_pin(pin).map_err(link_error)?.into();
        let link = XdpLink::try_from(link).map_err(link_error)?;
        match self.xdp().attach_to_link(link) {
            Ok(id) => {
                // Taken back out, or dropping the program would end it; the pin keeps it attached.
                self.xdp()
                    .take_link(id)
                    .map_err(|error| program_error(interface, error))?;
                Ok(true)
            }
            Err(error) if errno(&error) == Some(libc::ENOLINK) => {
                std::fs::remove_file(pin).map_err(|error| {
                    link_error(LinkError::SyscallError(aya::sys::SyscallError {
                        call: "unlink",
                        io_error: error,
                    }))
                })?;
                Ok(false)
            }
            Err(error) => Err(program_error(interface, error)),
        }
    }

    fn native(&mut self, interface: &str, index: u32) -> Result<FdLink, AttachError> {
        let refused = match self.create(interface, index, AyaMode::Driver) {
            Err(AttachError::Program { source, .. }) if is_driver_refusal(&source) => source,
            other => return other,
        };
        let reason = match errno(&refused) {
            Some(errno) => self.refusal(interface, index, &std::io::Error::from_raw_os_error(errno)),
            None => root_cause(&refused),
        };
        Err(AttachError::NoNative {
            interface: interface.into(),
            reason,
        })
    }

    fn create(&mut self, interface: &str, index: u32, mode: AyaMode) -> Result<FdLink, AttachError> {
        let program: &mut Xdp = self.xdp();
        let failed = |source: ProgramError| match errno(&source) {
            Some(libc::EBUSY | libc::EEXIST) => AttachError::Foreign {
                interface: interface.into(),
            },
            _ => program_error(interface, source),
        };
        let id = program.attach_to_if_index(index, mode).map_err(failed)?;
        let link = program.take_link(id).map_err(failed)?;
        FdLink::try_from(link).map_err(|_| AttachError::NoLink {
            interface: interface.into(),
        })
    }
}

fn program_error(interface: &str, source: ProgramError) -> AttachError {
    AttachError::Program {
        interface: interface.into(),
        source: Box::new(source),
    }
}

fn errno(error: &ProgramError) -> Option<i32> {
    match error {
        ProgramError::SyscallError(error) => error.io_error.raw_os_error(),
        _ => None,
    }
}

fn is_driver_refusal(error: &ProgramError) -> bool {
    matches!(
        errno(error),
        Some(libc::EOPNOTSUPP | libc::EINVAL | libc::ENOMEM | libc::ERANGE | libc::E2BIG)
    ) || matches!(error, ProgramError::XdpError(_))
}

fn root_cause(error: &ProgramError) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
