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
mod failures;
mod frame;
mod kernel;
#[cfg(feature = "lru")]
mod lru;
mod maps;
mod probe;

use aya_ebpf::bindings::xdp_action;
use aya_ebpf::macros::{classifier, xdp};
use aya_ebpf::programs::{TcContext, XdpContext};
use lb_common::decide::{self, Plain, decide_with};
use lb_common::opaque::hide;
use lb_common::parse;
use lb_common::verdict::{Action, Reason, Verdict};
use lb_common::wire::Packet as _;

use crate::deliver::Outcome;
use crate::frame::Frame;
use crate::kernel::KernelTables;
use crate::maps::Scratch;

#[xdp]
#[inline(always)]
fn lb(ctx: XdpContext) -> u32 {
    match handle_short(&ctx) {
        GENERAL_ROAD => handle_any(&ctx),
        action => action,
    }
}

/// No action: the packet has to take the general road.
const GENERAL_ROAD: u32 = u32::MAX;

/// The short road: the action, or [`GENERAL_ROAD`].
#[inline(never)]
fn handle_short(ctx: &XdpContext) -> u32 {
    let frame = Frame::of(ctx);
    let length = frame.length() as u64;
    let Some(cpu) = maps::cpu() else {
        return GENERAL_ROAD;
    };
    let Some(Plain { verdict, inner }) = decide::plain(&KernelTables { cpu, ctx }, &frame) else {
        return GENERAL_ROAD;
    };
    let Verdict {
        reason,
        member,
        entropy,
        ..
    } = verdict;
    if reason.action() == Action::Pass {
        cpu.count(reason, length);
        emit::trace(ctx, &verdict);
        return xdp_action::XDP_PASS;
    }
    // Number 0 is none.
    let backend = (verdict.backend != 0).then(|| maps::backend(verdict.backend));
    let Some(backend) = backend.flatten() else {
        // What breaks an invariant is the general road's to find again: its report names the service.
        return match reason.action() {
            Action::Drop if !reason.is_broken_invariant() => refuse(ctx, reason, member, length),
            _ => GENERAL_ROAD,
        };
    };
    match deliver::deliver_plain(ctx, &inner, backend, entropy) {
        Some(Ok(action)) => {
            cpu.count(reason, length);
            maps::count_member(member, reason, length);
            emit::trace(ctx, &verdict);
            action
        }
        Some(Err(reason)) => refuse(ctx, reason, member, length),
        // It needs more of the headers than was read. Deciding again changes nothing.
        None => GENERAL_ROAD,
    }
}

#[classifier]
fn lb_probe(ctx: TcContext) -> i32 {
    probe::deliver(&ctx)
}

#[inline(always)]
fn counted(ctx: &XdpContext, verdict: &Verdict, length: u64, action: u32) -> u32 {
    if let Some(cpu) = maps::cpu() {
        cpu.count(verdict.reason, length);
    }
    if verdict.member != 0 {
        maps::count_member(verdict.member, verdict.reason, length);
    }
    emit::report(ctx, verdict);
    action
}

/// Counts a packet that goes nowhere; it may have been changed already. A function of its own, so that what leads here costs
/// other packets nothing.
#[inline(never)]
fn refuse(ctx: &XdpContext, reason: Reason, member: u32, length: u64) -> u32 {
    let verdict = Verdict {
        member,
        ..Verdict::without_member(reason, 0)
    };
    counted(ctx, &verdict, length, xdp_action::XDP_DROP)
}

/// [`parse_network`]: done.
const PARSED: u32 = 1 << 8;

/// Parses the network layer into this CPU's scratch memory: [`PARSED`], or the number of the reason why the packet passes.
#[inline(never)]
fn parse_network(ctx: &XdpContext) -> u32 {
    // The compiler would pass the context's 32-bit fields instead, which are no packet pointers any more.
    let ctx = XdpContext::new(hide(ctx.ctx as u64) as *mut _);
    match parse::network(&Frame::of(&ctx)) {
        Ok(network) => {
            maps::fill_scratch(network);
            PARSED
        }
        Err(reason) => reason as u32,
    }
}

/// The general road, a function of its own: its stack and its states are none of the short one's.
#[inline(never)]
fn handle_any(ctx: &XdpContext) -> u32 {
    let frame = Frame::of(ctx);
    let length = frame.length() as u64;
    let (verdict, action) = match parse_network(ctx) {
        PARSED => handle(ctx, &frame),
        reason => (
            Verdict::without_member(Reason::of_word(reason.into()), 0),
            xdp_action::XDP_PASS,
        ),
    };
    counted(ctx, &verdict, length, action)
}

#[inline(always)]
fn handle(ctx: &XdpContext, frame: &Frame) -> (Verdict, u32) {
    let (Some(cpu), Some(Scratch { network, quoted })) = (maps::cpu(), maps::scratch()) else {
        return (
            Verdict::without_member(Reason::DropNoRoom, 0),
            xdp_action::XDP_DROP,
        );
    };
    let verdict = decide_with(&KernelTables { cpu, ctx }, frame, network, quoted);
    let outcome = match verdict.reason.action() {
        Action::Pass => return (verdict, xdp_action::XDP_PASS),
        Action::Drop => return (verdict, xdp_action::XDP_DROP),
        Action::Reply => deliver::answer_echo(ctx, network),
        Action::Forward => match maps::backend(verdict.backend) {
            Some(backend) => deliver::deliver(ctx, network, backend, (&verdict).into()),
            None => Outcome::dropped(Reason::DropBadDelivery),
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
