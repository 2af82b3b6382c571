//! What the demonstration shows while it happens: a table that redraws itself on a terminal, or else a line a second.

use std::io::{self, IsTerminal as _, Write};
use std::time::{Duration, Instant};

use lb_ctl::views::{BackendStats, Stats};

use super::crowd::Crowd;
use super::promises::Promises;

const BETWEEN_FRAMES: Duration = Duration::from_millis(250);
const BETWEEN_LINES: Duration = Duration::from_secs(1);

pub(super) struct Screen {
    redraws: bool,
    drawn_lines: usize,
    last: Option<Instant>,
    start: Instant,
}

impl Screen {
    pub(super) fn new(plain: bool) -> Self {
        let redraws = !plain && io::stdout().is_terminal();
        Self {
            redraws,
            drawn_lines: 0,
            last: None,
            start: Instant::now(),
        }
    }

    /// A line that stays.
    pub(super) fn say(&mut self, line: &str) {
        let elapsed = self.start.elapsed().as_secs_f64();
        self.show(&format!("{elapsed:5.1} s  {line}\n"), false);
    }

    pub(super) fn is_due(&self) -> bool {
        let between = if self.redraws {
            BETWEEN_FRAMES
        } else {
            BETWEEN_LINES
        };
        self.last.is_none_or(|last| last.elapsed() >= between)
    }

    pub(super) fn update(&mut self, stats: &Stats, crowd: &Crowd) {
        self.last = Some(Instant::now());
        let mut text = Vec::new();
        let rendered = if self.redraws {
            render_table(&mut text, stats, crowd)
        } else {
            render_line(&mut text, stats, crowd)
        };
        rendered.expect("writing into memory");
        self.show(&String::from_utf8(text).expect("written as text"), self.redraws);
    }

    pub(super) fn finish(&mut self, stats: &Stats, crowd: &Crowd, promises: &Promises) {
        let mut text = Vec::new();
        render_table(&mut text, stats, crowd).expect("writing into memory");
        writeln!(text)
            .and_then(|()| promises.render_summary(&mut text))
            .expect("writing into memory");
        self.show(&String::from_utf8(text).expect("written as text"), false);
    }

    /// Replaces what was drawn last; what is not `fleeting` will never be replaced.
    fn show(&mut self, text: &str, fleeting: bool) {
        let mut out = io::stdout().lock();
        let over = if self.drawn_lines > 0 {
            format!("\x1b[{}A\x1b[J", self.drawn_lines)
        } else {
            String::new()
        };
        self.drawn_lines = if fleeting { text.lines().count() } else { 0 };
        // A reader who went away ends the show, not the laboratory's clean-up.
        let _ = write!(out, "{over}{text}").and_then(|()| out.flush());
    }
}

/// The same backend in every service, added up.
struct Row {
    name: String,
    pool: String,
    healthy: bool,
    new_flows: u64,
    packets: u64,
    persisted: u64,
}

fn rows(stats: &Stats) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for backend in stats.services.iter().flat_map(|service| &service.backends) {
        let name = name_of(backend);
        match rows.iter_mut().find(|row| row.name == name) {
            Some(row) => row.add(backend),
            None => {
                let (pool, healthy) = (backend.pool.clone(), backend.healthy);
                let mut row = Row {
                    name,
                    pool,
                    healthy,
                    new_flows: 0,
                    packets: 0,
                    persisted: 0,
                };
                row.add(backend);
                rows.push(row);
            }
        }
    }
    rows.sort_by(|a, b| a.name.cmp(&b.name));
    rows
}

impl Row {
    fn add(&mut self, backend: &BackendStats) {
        self.healthy &= backend.healthy;
        self.new_flows += backend.new_flows;
        self.packets += backend.packets;
        self.persisted += backend.persisted_packets;
    }

    fn health(&self) -> &'static str {
        if self.healthy { "HEALTHY" } else { "UNHEALTHY" }
    }
}

fn name_of(backend: &BackendStats) -> String {
    backend
        .instance
        .clone()
        .unwrap_or_else(|| backend.ip_address.to_string())
}

fn active_pool(stats: &Stats) -> &str {
    stats
        .services
        .first()
        .map_or("none", |service| &service.active_pool)
}

/// At most 79 columns: a line that wraps could not be redrawn.
fn render_table(out: &mut impl Write, stats: &Stats, crowd: &Crowd) -> io::Result<()> {
    let seen = crowd.seen();
    let pool = format!("active pool: {}", active_pool(stats));
    writeln!(out, "\n  {pool:<49}the client: now, and newcomers")?;
    writeln!(
        out,
        "  {:<10} {:<8} {:<9} {:>9} {:>8} {:>9} {:>5} {:>4} {:>6}",
        "BACKEND", "POOL", "HEALTH", "NEW FLOWS", "PACKETS", "PERSISTED", "CONNS", "UDP", "NEW"
    )?;
    for row in rows(stats) {
        writeln!(
            out,
            "  {:<10} {:<8} {:<9} {:>9} {:>8} {:>9} {:>5} {:>4} {:>6}",
            row.name,
            row.pool,
            row.health(),
            row.new_flows,
            row.packets,
            row.persisted,
            seen.open_on(&row.name),
            crowd.flows_on(&row.name),
            seen.newcomers.get(&row.name).copied().unwrap_or_default(),
        )?;
    }
    let (tcp, udp) = totals(stats, crowd);
    writeln!(out, "\n  TCP: {tcp}\n  UDP: {udp}")
}

fn render_line(out: &mut impl Write, stats: &Stats, crowd: &Crowd) -> io::Result<()> {
    let (tcp, udp) = totals(stats, crowd);
    let unhealthy = rows(stats)
        .into_iter()
        .filter(|row| !row.healthy)
        .map(|row| row.name);
    let unhealthy = unhealthy.collect::<Vec<_>>().join(", ");
    let unhealthy = if unhealthy.is_empty() {
        "none".to_owned()
    } else {
        unhealthy
    };
    writeln!(
        out,
        "         unhealthy: {unhealthy} · pool: {} · TCP: {tcp} · UDP: {udp}",
        active_pool(stats)
    )
}

/// Of the kept connections, and of the flows.
fn totals(stats: &Stats, crowd: &Crowd) -> (String, String) {
    let seen = crowd.seen();
    let broken = seen.broken().count();
    let unhealthy = rows(stats).into_iter().filter(|row| !row.healthy);
    let persisted: usize = unhealthy.map(|row| seen.open_on(&row.name)).sum();
    let open = seen.held.len() - broken;
    let tcp = format!(
        "{open} kept, {persisted} persisted, {broken} broken, {} newcomers",
        seen.newcomers_ever
    );
    let udp = format!("{} flows, {} diverted", crowd.flows.len(), crowd.moves());
    (tcp, udp)
}
