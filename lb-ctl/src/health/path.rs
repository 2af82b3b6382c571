//! How probes for a VIP get to endpoints: whoever plans delivery publishes it, and every probe follows it.

use std::net::IpAddr;
use std::sync::Arc;

use imbl::OrdMap;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::model::Delivery;

/// The VIP that an endpoint is probed at, and how it wants packets for VIPs delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Via {
    pub vip: IpAddr,
    pub delivery: Delivery,
}

/// An endpoint's address, and how it wants packets delivered.
pub type PathId = (IpAddr, Delivery);

/// A way that packets for any VIP can take to an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProbePath {
    /// What the kernel program knows it by.
    pub number: u32,
    /// `l2`, `ipip` or `gue`.
    pub mode: &'static str,
    /// The interface that packets leave by.
    pub ifindex: u32,
    /// The host's address that the endpoint's own answers would come to.
    pub source: Option<IpAddr>,
}

/// Every path, or a sentence that says why nothing can be delivered on it; a copy costs nothing.
pub type ProbePaths = OrdMap<PathId, Result<ProbePath, String>>;

/// The paths as they are now; none at all when probing has ended.
pub type PathsReceiver = watch::Receiver<Option<Arc<ProbePaths>>>;
