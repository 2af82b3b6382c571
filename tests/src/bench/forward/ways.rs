//! What the balancer's stack does with the benchmark's packets where no XDP program takes them: routes them, or translates their
//! addresses by nftables.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};

use crate::bench::world::{PORT, endpoint, mac};
use crate::netns::Namespace;

/// The namespace forwards, and does not tell senders of shorter ways.
pub(super) fn forward(namespace: &Namespace) {
    namespace.sysctl(&[
        ("ipv4/ip_forward", "1"),
        ("ipv4/conf/all/send_redirects", "0"),
        ("ipv4/conf/eth0/send_redirects", "0"),
    ]);
}

/// Knows so many endpoints as neighbours, and sends what is for `vip` to the first.
pub(super) fn route(namespace: &Namespace, vip: Ipv4Addr, endpoints: u32) {
    let mut lines: Vec<String> = (1..=endpoints)
        .map(|number| {
            let address = endpoint(number, false);
            let mac = mac(number).map(|byte| format!("{byte:02x}")).join(":");
            format!("neighbour replace {address} lladdr {mac} dev eth0 nud permanent")
        })
        .collect();
    lines.push("route add 172.16.0.0/12 dev eth0".to_owned());
    lines.push(format!(
        "route add {vip}/32 via {} dev eth0 onlink",
        endpoint(1, false)
    ));
    namespace.ip(&lines);
}

/// What is for a VIP and a port, by the hash of source address and port to one of these.
pub(super) struct Translation {
    pub(super) vip: Ipv4Addr,
    pub(super) protocol: &'static str,
    pub(super) port: u16,
    pub(super) to: Vec<Ipv4Addr>,
}

impl Translation {
    pub(super) fn of_packets(vip: Ipv4Addr, endpoints: u32) -> Self {
        let to = (1..=endpoints).map(|number| match endpoint(number, false) {
            std::net::IpAddr::V4(address) => address,
            std::net::IpAddr::V6(_) => unreachable!("an IPv4 address was asked for"),
        });
        Self {
            vip,
            protocol: "udp",
            port: PORT,
            to: to.collect(),
        }
    }

    pub(super) fn install(&self, namespace: &Namespace) -> Result<()> {
        let mut child = namespace
            .command("nft")
            .args(["-f", "-"])
            .stdin(Stdio::piped())
            .spawn()
            .context("starting nft (package nftables)")?;
        let mut input = child.stdin.take().context("a pipe")?;
        input
            .write_all(self.rules().as_bytes())
            .context("writing to nft")?;
        drop(input);
        let status = child.wait().context("waiting for nft")?;
        ensure!(status.success(), "nft ended with {status}");
        Ok(())
    }

    fn rules(&self) -> String {
        let Self {
            vip,
            protocol,
            port,
            to,
        } = self;
        let mut map = String::new();
        for (number, address) in to.iter().enumerate() {
            let comma = if number == 0 { "" } else { ", " };
            write!(map, "{comma}{number} : {address}").expect("writing to memory");
        }
        let count = to.len();
        // Each rule needs a line of its own.
        format!(
            "table ip bench {{
  chain arriving {{
    type nat hook prerouting priority dstnat;
    ip daddr {vip} {protocol} dport {port} dnat to jhash ip saddr . {protocol} sport mod {count} map {{ {map} }}
  }}
}}
"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flow_is_translated_by_a_hash_of_its_source() {
        let rules = Translation {
            vip: Ipv4Addr::new(10, 0, 0, 1),
            protocol: "tcp",
            port: 80,
            to: vec![Ipv4Addr::new(10, 0, 0, 2), Ipv4Addr::new(10, 0, 0, 3)],
        }
        .rules();
        assert!(
            rules.contains("jhash ip saddr . tcp sport mod 2 map { 0 : 10.0.0.2, 1 : 10.0.0.3 }"),
            "{rules}"
        );
    }
}
