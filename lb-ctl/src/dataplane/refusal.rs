//! Why a driver takes no program natively: its own words, and what could be done about them.

use super::load::Program;
use crate::net;

impl Program {
    /// A clause about an attachment that ended with this error.
    pub(super) fn refusal(&mut self, interface: &str, index: u32, error: &std::io::Error) -> String {
        let words = self
            .xdp()
            .fd()
            .ok()
            .and_then(|fd| net::native_refusal(index, std::os::fd::AsFd::as_fd(fd)));
        let words = words.unwrap_or_else(|| error.to_string());
        match limit(&words, error.raw_os_error(), interface) {
            Some(limit) => format!("{words}; {limit}"),
            None => words,
        }
    }
}

/// The limit that the words mean, and the command that keeps it.
fn limit(words: &str, errno: Option<i32>, interface: &str) -> Option<String> {
    let words = words.to_lowercase();
    let names = |some: &[&str]| some.iter().any(|word| words.contains(word));
    if names(&["gro_hw", "gro-hw", "csum"]) {
        return Some(format!(
            "`ethtool -K {interface} rx-gro-hw off` lets it; where that is fixed, the hypervisor has to stop offering the \
             guest's offloads"
        ));
    }
    if names(&["lro"]) {
        return Some(format!("`ethtool -K {interface} lro off` lets it"));
    }
    if names(&["mtu", "frags", "single-buffer"]) || errno == Some(libc::ERANGE) {
        let whose = match words.contains("peer") {
            true => format!("the peer of {interface}"),
            false => interface.to_owned(),
        };
        return Some(format!(
            "a smaller MTU of {whose} lets it, such as `ip link set dev DEVICE mtu 1500`"
        ));
    }
    if names(&["queue", "ring", "channel"]) {
        return Some(format!(
            "another number of queues lets it (`ethtool -l {interface}` shows them, `ethtool -L` sets them): many drivers \
             want half of them spare, and a veth as many to receive by as its peer has to send by"
        ));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_drivers_say_has_its_limit() {
        let cases = [
            (
                "Can't set XDP while host is implementing GRO_HW/CSUM, disable GRO_HW/CSUM first",
                "rx-gro-hw off",
            ),
            ("XDP is not allowed with LRO", "lro off"),
            ("Peer MTU is too large to set XDP", "the peer of eth0"),
            (
                "MTU is too large for linear frames and XDP prog does not support frags",
                "MTU of eth0",
            ),
            (
                "XDP expects number of rx queues not less than peer tx queues",
                "ethtool -L",
            ),
            (
                "the Rx/Tx channel count should be at most half of the maximum allowed channel count",
                "ethtool -L",
            ),
        ];
        for (words, part) in cases {
            let limit = limit(words, None, "eth0").unwrap_or_default();
            assert!(limit.contains(part), "{words}: {limit}");
        }
        let by_number = limit("Numerical result out of range", Some(libc::ERANGE), "eth0");
        assert!(by_number.is_some_and(|limit| limit.contains("MTU")));
        assert_eq!(
            limit(
                "Underlying driver does not support XDP in native mode",
                Some(libc::EOPNOTSUPP),
                "br0"
            ),
            None
        );
    }
}
