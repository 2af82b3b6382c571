//! Log records: broken invariants always, every packet only in a build with the feature `trace`.

use aya_ebpf::programs::XdpContext;
use lb_common::verdict::Verdict;

#[inline(always)]
pub(crate) fn report(ctx: &XdpContext, verdict: &Verdict) {
    if verdict.reason.is_broken_invariant() {
        aya_log_ebpf::error!(
            ctx,
            "broken invariant: reason={} service={} member={} backend={}",
            verdict.reason as u8,
            verdict.service,
            verdict.member,
            verdict.backend
        );
    }
    trace(ctx, verdict);
}

/// Every packet, in a build with the feature.
#[inline(always)]
pub(crate) fn trace(ctx: &XdpContext, verdict: &Verdict) {
    if cfg!(feature = "trace") {
        aya_log_ebpf::info!(
            ctx,
            "packet: reason={} service={} member={} backend={}",
            verdict.reason as u8,
            verdict.service,
            verdict.member,
            verdict.backend
        );
    }
}
