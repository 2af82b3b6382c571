//! A backend of the laboratory. It says `ready` when it serves, and then obeys lines on stdin, each answered by `ok`:
//! `health STATUS`, `health refuse`, `weight TEXT`, `weight none`. It ends with its stdin.

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use clap::Parser;
use lb_tests::traffic::server::{Health, serve_health, serve_tcp, serve_udp};
use tokio::sync::watch;

#[derive(Parser)]
struct Arguments {
    /// What it calls itself
    #[arg(long)]
    name: String,
    #[arg(long)]
    tcp: Vec<SocketAddr>,
    #[arg(long)]
    udp: Vec<SocketAddr>,
    #[arg(long)]
    health: Vec<SocketAddr>,
}

#[tokio::main(flavor = "multi_thread", worker_threads = 1)]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let name: Arc<str> = arguments.name.into();
    let health = watch::Sender::new(Health::default());
    for address in arguments.tcp {
        serve_tcp(name.clone(), address)
            .await
            .with_context(|| format!("serving TCP on {address}"))?;
    }
    for address in arguments.udp {
        serve_udp(name.clone(), address)
            .await
            .with_context(|| format!("serving UDP on {address}"))?;
    }
    for address in arguments.health {
        serve_health(address, health.subscribe())
            .await
            .with_context(|| format!("serving health on {address}"))?;
    }
    say("ready")?;
    // Blocks this thread alone: the runtime's worker is what serves.
    for line in std::io::stdin().lines() {
        obey(&health, &line.context("reading commands")?)?;
        say("ok")?;
    }
    Ok(())
}

fn obey(health: &watch::Sender<Health>, line: &str) -> Result<()> {
    let mut next = health.borrow().clone();
    match line.split_once(' ') {
        Some(("health", "refuse")) => next.status = None,
        Some(("health", status)) => next.status = Some(status.parse().context("a status")?),
        Some(("weight", "none")) => next.weight = None,
        Some(("weight", text)) => next.weight = Some(text.to_owned()),
        _ => bail!("unknown command {line:?}"),
    }
    health.send_replace(next);
    Ok(())
}

fn say(word: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{word}")
        .and_then(|()| out.flush())
        .context("answering")
}
