//! The kernel programs. `lb`, at XDP: calls the decision, turns the outcome into an action, counts it; nothing else.
//! `lb_probe`, at the probe device's egress: delivers health probes.
#![no_std]
#![no_main]
#![allow(
    internal_features,
    reason = "atomics that return a value exist on this target only as intrinsics"
)]
#![feature(core_intrinsics)]

mod deliver;
mod emit;
mod frame;
mod kernel;
#[cfg(feature = "lru")]
mod lru;
mod maps;
mod probe;

use aya_ebpf::bindings::xdp_action;
use aya_ebpf::macros::{classifier, xdp};
use aya_ebpf::programs::{TcContext, XdpContext};
use lb_common::decide::decide_with;
use lb_common::parse::{self, Network};
use lb_common::verdict::{Action, Reason, Verdict};
use lb_common::wire::Packet as _;

use crate::deliver::{Decided, Outcome};
use crate::frame::Frame;
use crate::kernel::KernelTables;
use crate::maps::Scratch;

#[xdp]
#[inline(always)]
fn lb(ctx: XdpContext) -> u32 {
    let frame = Frame::of(&ctx);
    let length = frame.length() as u64;
    let (verdict, action) = match parse::network(&frame) {
        Ok(network) => handle(&ctx, &frame, network),
        Err(reason) => (Verdict::without_member(reason, 0), xdp_action::XDP_PASS),
    };
    maps::count(&verdict, length);
    emit::report(&ctx, &verdict);
    action
}

#[classifier]
fn lb_probe(ctx: TcContext) -> i32 {
    probe::deliver(&ctx)
}

#[inline(always)]
fn handle(ctx: &XdpContext, frame: &Frame, network: Network) -> (Verdict, u32) {
    let Some(Scratch { network, quoted }) = maps::scratch(network) else {
        return (
            Verdict::without_member(Reason::DropNoRoom, 0),
            xdp_action::XDP_DROP,
        );
    };
    let verdict = decide_with(&KernelTables, frame, network, quoted);
    let outcome = match verdict.reason.action() {
        Action::Pass => return (verdict, xdp_action::XDP_PASS),
        Action::Drop => return (verdict, xdp_action::XDP_DROP),
        Action::Reply => deliver::answer_echo(ctx, network),
        Action::Forward => match maps::backend(verdict.backend) {
            Some(backend) => {
                let Verdict {
                    reason,
                    entropy,
                    unreportable,
                    ..
                } = verdict;
                deliver::deliver(
                    ctx,
                    network,
                    backend,
                    Decided {
                        reason,
                        entropy,
                        unreportable,
                    },
                )
            }
            None => Outcome {
                reason: Reason::DropBadDelivery,
                action: xdp_action::XDP_DROP,
            },
        },
    };
    (
        Verdict {
            reason: outcome.reason,
            ..verdict
        },
        outcome.action,
    )
}

#[cfg(not(test))]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo) -> ! {
    // SAFETY: nothing in the program panics: the build refuses an object in which a panic is left.
    unsafe { core::hint::unreachable_unchecked() }
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
