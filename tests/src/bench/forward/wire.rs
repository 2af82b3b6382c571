//! The balancer's cable: packets are made as live frames at the switch's end of it, and counted when they come back there. All
//! of it is on one CPU, so that no queue is ever longer than what it was made for, and nothing is lost.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use aya::maps::{Array, MapData};
use aya::programs::xdp::XdpLink;
use aya::programs::{TestRun as _, TestRunAttrs, TestRunOptions, Xdp, XdpMode};
use aya::{Ebpf, EbpfLoader};

use crate::bench::generator::Load;
use crate::bench::traffic::Traffic;
use crate::condition::pause;
use crate::conformance::bench::xdp_context;
use crate::topology::{LB, Lab};
use crate::xdp::object_path;

/// Frames that are made before the balancer sees them; fewer than a veth end queues (256).
const BATCH: u32 = 64;
/// Until the last frames are through, when another thread took over what was left.
const SOON: Duration = Duration::from_secs(1);

pub(super) struct Wire {
    pub(super) lab: Lab,
    object: Ebpf,
    traffic: Array<MapData, Traffic>,
    /// Interface number of the switch's end.
    port: u32,
    /// Of the program on the balancer's interface.
    link: Option<XdpLink>,
}

/// What became of a run of packets.
pub(super) struct Carried {
    pub(super) time: Duration,
    /// How many came back, by the last byte of the address that they were sent to.
    pub(super) arrived: Vec<u64>,
    /// One of them.
    pub(super) sample: Vec<u8>,
}

impl Wire {
    pub(super) fn new(lab: Lab) -> Result<Self> {
        let path = object_path();
        let mut object = EbpfLoader::new()
            .load_file(&path)
            .with_context(|| format!("loading {} (made by `cargo xtask build`)", path.display()))?;
        for name in ["bench_send", "bench_swap"] {
            program(&mut object, name)?
                .load()
                .with_context(|| format!("verifying {name}"))?;
        }
        let traffic = object
            .take_map("BENCH_TRAFFIC")
            .context("the object has no traffic")?;
        isolate(&lab);
        let port = lab
            .switch()
            .run(|| nix::net::if_::if_nametoindex(Lab::balancer_port().as_str()))
            .context("the switch's end of the cable")?;
        Ok(Self {
            traffic: traffic.try_into()?,
            port,
            link: None,
            object,
            lab,
        })
    }

    /// Where the balancer sends by.
    pub(super) fn balancer_interface(&self) -> Result<u32> {
        let index = self.lab.lb().run(|| nix::net::if_::if_nametoindex("eth0"));
        index.context("the balancer's interface")
    }

    /// Puts a program on the balancer's interface, in the place of the one that is there.
    pub(super) fn balance_by(&mut self, program: &mut Xdp) -> Result<()> {
        attach(&self.lab, &mut self.link, program)
    }

    /// The least that a balancer can do: addresses are exchanged.
    pub(super) fn swap(&mut self) -> Result<()> {
        attach(
            &self.lab,
            &mut self.link,
            program(&mut self.object, "bench_swap")?,
        )
    }

    /// Leaves packets to the balancer's stack.
    pub(super) fn balance_by_stack(&mut self) {
        self.link = None;
    }

    /// Sends, counts `load` on to the packets that come next, and waits until all came back.
    pub(super) fn carry(&mut self, load: &mut Load, packets: u32) -> Result<Carried> {
        self.traffic
            .set(0, load.traffic, 0)
            .context("setting the traffic")?;
        self.lab.sink().take_sample();
        let before = self.lab.sink().arrived();
        let time = self.send(&load.frame, packets)?;
        load.traffic = self.traffic.get(&0, 0).context("reading the traffic")?;
        let arrived = self.arrived_since(&before, packets)?;
        let sample = self.lab.sink().take_sample();
        Ok(Carried {
            time,
            arrived,
            sample,
        })
    }

    /// The last frames may still be on their way.
    fn arrived_since(&mut self, before: &[u64], packets: u32) -> Result<Vec<u64>> {
        let start = Instant::now();
        loop {
            let now = self.lab.sink().arrived();
            let new: Vec<u64> = now.iter().zip(before).map(|(now, before)| now - before).collect();
            let count = new.iter().sum::<u64>();
            if count == u64::from(packets) {
                return Ok(new);
            }
            ensure!(
                count < u64::from(packets) && start.elapsed() < SOON,
                "{packets} packets were sent and {count} came back"
            );
            pause();
        }
    }

    fn send(&mut self, frame: &[u8], packets: u32) -> Result<Duration> {
        let context = xdp_context(frame.len(), self.port);
        let mut options = TestRunOptions::new();
        options.data_in = Some(frame);
        options.ctx_in = Some(&context);
        options.repeat = packets;
        options.attrs = TestRunAttrs::new().xdp_live_frames(BATCH);
        let send = program(&mut self.object, "bench_send")?;
        self.lab.switch().run(|| {
            let start = Instant::now();
            send.test_run(options).context("running live frames")?;
            Ok(start.elapsed())
        })
    }

    /// The balancer's address on the cable.
    pub(super) fn balancer_mac(&self) -> [u8; 6] {
        self.lab.host(LB).mac
    }
}

/// Nobody else sends over the cable. A single frame from another CPU would move the queue's poll to that one, and there it would
/// stay while the queue is never empty: the generator would be faster than what empties it.
fn isolate(lab: &Lab) {
    lab.switch()
        .ip(&[format!("link set {} nomaster", Lab::balancer_port())]);
    lab.lb().sysctl(&[("ipv6/conf/eth0/disable_ipv6", "1")]);
}

/// Natively, so that the link is one that another program can take over.
fn attach(lab: &Lab, link: &mut Option<XdpLink>, program: &mut Xdp) -> Result<()> {
    let id = match link.take() {
        Some(link) => program.attach_to_link(link).context("replacing a program")?,
        None => lab
            .lb()
            .run(|| program.attach("eth0", XdpMode::Driver))
            .context("attaching to the balancer's interface")?,
    };
    *link = Some(program.take_link(id)?);
    Ok(())
}

fn program<'a>(object: &'a mut Ebpf, name: &str) -> Result<&'a mut Xdp> {
    let program = object
        .program_mut(name)
        .with_context(|| format!("the object has no program {name}"))?;
    Ok(program.try_into()?)
}
