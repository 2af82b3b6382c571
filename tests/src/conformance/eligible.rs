//! The eligible set, transcribed: pools, ratios and weights.

/// Where new connections go, the first line that fits. P, F: attached primary and failover endpoints; Hp, Hf: the
/// healthy among them; r: failoverRatio.
pub const ELIGIBLE: &str = "
    something is healthy and Hp = 0           : the healthy of F
    something is healthy and Hf = 0           : the healthy of P
    something is healthy and r = 0            : the healthy of P
    something is healthy and Hp / |P| >= r    : the healthy of P
    something is healthy                      : the healthy of F
    nothing is healthy and dropTrafficIfUnhealthy : nothing, new connections are dropped
    nothing is healthy                        : all of P
";

/// How many endpoints of each kind a service has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pools {
    pub healthy_primaries: u32,
    pub unhealthy_primaries: u32,
    pub healthy_failovers: u32,
    pub unhealthy_failovers: u32,
}

/// A `failoverPolicy`; the ratio in percent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailoverPolicy {
    pub ratio: u32,
    pub drops: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Set {
    HealthyPrimaries,
    HealthyFailovers,
    AllPrimaries,
    Nothing,
}

/// The lines above; a service without failoverPolicy is one with ratio 0 that does not drop.
pub fn eligible(pools: &Pools, policy: Option<FailoverPolicy>) -> Set {
    let FailoverPolicy { ratio, drops } = policy.unwrap_or(FailoverPolicy {
        ratio: 0,
        drops: false,
    });
    let (hp, hf) = (pools.healthy_primaries, pools.healthy_failovers);
    let p = hp + pools.unhealthy_primaries;
    match (hp, hf) {
        (0, 0) if drops => Set::Nothing,
        (0, 0) => Set::AllPrimaries,
        (0, _) => Set::HealthyFailovers,
        (_, 0) => Set::HealthyPrimaries,
        _ if ratio == 0 => Set::HealthyPrimaries,
        _ if 100 * hp >= ratio * p => Set::HealthyPrimaries,
        _ => Set::HealthyFailovers,
    }
}

/// Weighted services: endpoints with weight and health (`!` unhealthy), and where new connections go. `missing` and
/// `invalid` are processed replies without a usable weight; `none` is no reply, which keeps the last weight, or 1.
pub const WEIGHTED: &str = "
    a=10  b=10  c=10        -> a b c
    a=10  b=0   c=10        -> a c
    a=10  b=0   c!=5  d!=0  -> a
    a=150.5 b=1e2 c=0       -> a b
    a=1e-6 b=0  c!=5        -> a
    a=0   b=0   c!=5  d!=0  -> c
    a=0   b=0   c!=0  d!=0  -> a b
    a!=5  b!=7  c!=0        -> a b
    a!=0  b!=0              -> a b
    a=10  b=missing  c=0    -> a b c
    a=10  b=invalid  c=0    -> a b c
    a!=missing  b=10  c=0   -> b c
    a=10  b=none     c=0    -> a b
    a=0   b!=none    c=0    -> b
";
