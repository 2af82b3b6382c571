//! Waiting for what the daemon does, with a bound.

use std::net::IpAddr;
use std::time::Duration;

use super::Daemon;
use crate::condition::eventually;

impl Daemon<'_> {
    /// So many members are healthy by the maps, and have all of the VIP's new connections.
    #[track_caller]
    pub fn wait_for_rotation(&self, bound: Duration, vip: IpAddr, count: usize) {
        eventually(bound, || {
            let held = self.held();
            let (rotation, healthy) = (held.in_rotation(vip), held.healthy(vip));
            match rotation == healthy && rotation.len() == count {
                true => Ok(()),
                false => Err(format!(
                    "{} in rotation, {} healthy in the maps, {count} expected; the daemon says {}",
                    rotation.len(),
                    healthy.len(),
                    self.status().healthy_endpoints
                )),
            }
        });
    }

    /// It answers, says why nothing may be changed, and `status` ends with 1.
    #[track_caller]
    pub fn wait_until_frozen(&mut self, bound: Duration) {
        eventually(bound, || {
            self.assert_alive();
            let output = self.run_ctl(&["status"]);
            let shown = String::from_utf8_lossy(&output.stdout).into_owned();
            match output.status.code() == Some(1) && shown.contains("--discard-pinned") {
                true => Ok(()),
                false => Err(format!("{output:?}")),
            }
        });
    }
}
