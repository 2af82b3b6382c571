//! What Katran takes, the balancer to be compared with: measured once by the method of this benchmark, on another machine of the
//! kind that the project is developed on.

/// Nanoseconds that a kind of packet takes, with 64 endpoints and IPIP or GUE.
pub(super) fn packet_ns(name: &str, protocol: &str, family: u8, delivery: &str) -> Option<f64> {
    let measured = match (name, protocol, family, delivery) {
        ("one flow", "TCP", 4, "ipip") => 117,
        ("100 k flows", "TCP", 4, "ipip") => 332,
        ("1 M flows", "TCP", 4, "ipip") => 440,
        ("3.5 M flows", "TCP", 4, "ipip") => 572,
        ("new flows, room", "TCP", 4, "ipip") => 540,
        ("new flows, table full", "TCP", 4, "ipip") => 945,
        ("SYN on 1 M flows", "TCP", 4, "ipip") => 1038,
        ("one flow", "UDP", 4, "ipip") => 154,
        ("1 M flows", "UDP", 4, "ipip") => 499,
        ("new flows, room", "UDP", 4, "ipip") => 543,
        ("one flow", "TCP", 6, "ipip") => 110,
        ("1 M flows", "TCP", 6, "ipip") => 413,
        ("one flow", "TCP", 4, "gue") => 325,
        ("1 M flows", "TCP", 4, "gue") => 650,
        ("untracked", "UDP", 4, "ipip") => 107,
        ("not ours", "TCP", 4, "none") => 48,
        _ => return None,
    };
    Some(f64::from(measured))
}

/// What it forwards of the packets that a program does which only exchanges addresses.
pub(super) fn forward_share(name: &str, way: &str) -> Option<f64> {
    match (name, way) {
        ("one flow", "ipip") => Some(0.69),
        ("100 k flows", "ipip") => Some(0.38),
        ("1 M flows", "ipip") => Some(0.33),
        ("new flows", "ipip") => Some(0.22),
        _ => None,
    }
}

pub(super) const BYTES_PER_FLOW: f64 = 121.0;
