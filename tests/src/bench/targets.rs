//! What is aimed at.

/// The most nanoseconds that a kind of packet may take. Where the flow is new: without the tuples, which may take 30 more.
pub(super) fn target_ns(name: &str, protocol: &str, family: u8, delivery: &str) -> Option<f64> {
    let target = match (name, protocol, family, delivery) {
        ("one flow", _, 4, "ipip") => 50,
        ("100 k flows", "TCP", 4, "ipip") => 90,
        ("1 M flows", _, 4, "ipip") => 120,
        ("3.5 M flows", "TCP", 4, "ipip") => 140,
        ("new flows, room", _, 4, "ipip") => 110,
        ("new flows, table full", "TCP", 4, "ipip") => 140,
        ("SYN on 1 M flows", "TCP", 4, "ipip") => 130,
        ("one flow", "TCP", 6, "ipip") => 55,
        ("1 M flows", "TCP", 6, "ipip") => 125,
        ("one flow", "TCP", 4, "gue") => 65,
        ("1 M flows", "TCP", 4, "gue") => 135,
        ("untracked", "UDP", 4, "ipip") => 45,
        ("not ours", "TCP", 4, "none") => 20,
        _ => return None,
    };
    Some(f64::from(target))
}
