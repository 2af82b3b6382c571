//! `docs/conformance.md`: the table as users read it.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::eligible::{ELIGIBLE, WEIGHTED};
use super::events::{EVENTS, Event, STEP_SECONDS};
use super::expected::{self, Outcome, PERSIST, REFUSED, SELECTION, SYN_IS_NEW, TRACKING};
use super::picture::Picture;
use super::rows;

const INTRODUCTION: &str = "\
# What happens to a flow

This is the table that every build is tested against: what the load balancer does with an existing and with a new
flow, for each load-balancing scheme, session affinity, tracking mode, persistence, protocol and event. It is
rendered from the tests (`cargo xtask docs`), where it is written after the documented behaviour of Google Cloud's
passthrough Network Load Balancers and not after the code that it tests. Each row goes from resource documents through
the whole program: judged by the decision on the host and by the program in the kernel, which must agree.

External and internal are the values `EXTERNAL` and `INTERNAL` of `loadBalancingScheme`. Times are seconds. An idle
timeout may last up to 4 s longer than it says and a drain up to 1 s, never less.
";

/// The whole document.
pub fn document() -> String {
    let mut text = INTRODUCTION.to_owned();
    section(
        &mut text,
        "Tracking",
        "Which fields of a packet name its entry in the flow table: 5 = source, destination, protocol and both ports; \
         3 = source, destination and protocol; 2 = source and destination; 1 = source; off = the protocol is not \
         tracked, and every packet goes where the hash says. An entry is forgotten after the idle timeout: 60 s \
         external, 600 s internal, unless `idleTimeoutSec` says otherwise. Entries belong to one backend service; tuples without \
         the protocol are shared by all protocols of a client. Over IPv4 and IPv6 alike; *other* is every protocol \
         without a column.",
    );
    table(&mut text, TRACKING);
    section(
        &mut text,
        "Selection",
        "Which fields of a packet are hashed to select the backend of a new connection. Under internal load balancing \
         both directions of a TCP or UDP connection hash alike, except with CLIENT_IP_NO_DESTINATION.",
    );
    table(&mut text, SELECTION);
    section(
        &mut text,
        "New connections",
        "Whether a TCP SYN without ACK is a new connection whatever is tracked. Any other packet is new if nothing \
         usable is tracked of its flow.",
    );
    table(&mut text, SYN_IS_NEW);
    section(
        &mut text,
        "Persistence",
        "Whether a tracked flow stays on a backend that is unhealthy \
         (`connectionPersistenceOnUnhealthyBackends`). If no backend is healthy, every tracked flow stays.",
    );
    table(&mut text, PERSIST);
    section(
        &mut text,
        "Refused",
        "These combinations are refused as a configuration.",
    );
    table(&mut text, REFUSED);
    section(
        &mut text,
        "Where new connections go",
        "The first line that fits. P and F are the attached primary and failover endpoints, Hp and Hf the healthy \
         ones among them, r is `failoverRatio`. Without failoverPolicy and failover backends: r = 0.",
    );
    eligible(&mut text);
    section(
        &mut text,
        "Weights",
        "With `WEIGHTED_MAGLEV` or `WEIGHTED_GCP_RENDEZVOUS`. An endpoint is written with its weight, and with `!` if it \
         is unhealthy; missing and invalid are replies without a usable weight, none is no reply.",
    );
    weights(&mut text);
    events(&mut text);
    counts(&mut text);
    text
}

fn section(text: &mut String, title: &str, words: &str) {
    let _ = writeln!(text, "\n## {title}\n\n{words}\n");
}

/// A row of a Markdown table.
pub(crate) fn line<'a>(text: &mut String, cells: impl IntoIterator<Item = &'a str>) {
    let cells: Vec<String> = cells.into_iter().map(|cell| cell.replace('|', "\\|")).collect();
    let _ = writeln!(text, "| {} |", cells.join(" | "));
}

fn table(text: &mut String, source: &'static str) {
    let rows = expected::table(source);
    let spaced: Vec<Vec<String>> = rows
        .iter()
        .map(|row| row.iter().map(|cell| cell.replace('-', " ")).collect())
        .collect();
    for (number, row) in spaced.iter().enumerate() {
        line(text, row.iter().map(String::as_str));
        if number == 0 {
            line(text, row.iter().map(|_| "---"));
        }
    }
}

fn eligible(text: &mut String) {
    line(text, ["when", "new connections go to"]);
    line(text, ["---", "---"]);
    for (when, set) in ELIGIBLE.lines().filter_map(|line| line.split_once(" : ")) {
        line(text, [when.trim(), set.trim()]);
    }
}

fn weights(text: &mut String) {
    line(text, ["endpoints", "new connections go to"]);
    line(text, ["---", "---"]);
    for (endpoints, set) in WEIGHTED.lines().filter_map(|line| line.split_once("->")) {
        let endpoints: Vec<&str> = endpoints.split_whitespace().collect();
        line(text, [endpoints.join(" ").as_str(), set.trim()]);
    }
}

fn events(text: &mut String) {
    section(
        text,
        "Events",
        "A service has the primary backends a, b and c; where there is failover, also the failover backends f and g \
         and `failoverRatio` 0.7. A flow has begun, on a backend of the active pool; what happens to it at the end of \
         the event depends on whether its protocol is tracked and whether it persists, by the tables above. A SYN of \
         a flow that counts as a new connection, and every packet of a protocol that is not tracked, go where new \
         flows go. *Stays* is on its backend; *moves* is to one of the backends in the last column, by hash.",
    );
    line(
        text,
        [
            "event",
            "tracked, persists",
            "tracked, does not persist",
            "not tracked",
            "new flows",
        ],
    );
    line(text, ["---"; 5]);
    for event in EVENTS {
        let name = match event.scheme {
            Some(scheme) => format!("{} ({})", event.name, scheme.to_lowercase()),
            None => event.name.to_owned(),
        };
        let of = |persists| {
            let words: Vec<String> = ends(event, persists).iter().map(|end| describe(*end)).collect();
            words.join(", or ")
        };
        let picture = last_picture(event);
        let eligible: Vec<String> = picture.eligible().iter().map(char::to_string).collect();
        let (hashed, new) = if eligible.is_empty() {
            ("dropped".to_owned(), "dropped".to_owned())
        } else {
            ("follows the hash".to_owned(), eligible.join(" "))
        };
        line(text, [name.as_str(), &of(true), &of(false), &hashed, &new]);
    }
}

fn last_picture(event: &Event) -> Picture {
    let last = event.steps.last().expect("an event has steps");
    Picture::of(last.picture, last.idle)
}

/// What becomes of the tracked, non-SYN flows that persist, or do not, in the end: its last outcome, and whether it
/// had moved before.
fn ends(event: &'static Event, persists: bool) -> BTreeSet<(Outcome, bool)> {
    let mut ends = BTreeSet::new();
    for row in rows::of_event(event) {
        let tracked = expected::tracking(&row.policy, &row.case) != 0;
        if row.case.is_syn || !tracked || expected::persists(&row.policy, &row.case) != persists {
            continue;
        }
        let mut backend = event.backend;
        let mut moved = false;
        let mut last = None;
        for step in event.steps.iter().filter(|step| step.sends) {
            let picture = Picture::of(step.picture, step.idle);
            let outcome = expected::of_existing(&row.policy, &row.case, &picture, backend);
            if let (Outcome::Moved | Outcome::New, Some(first)) = (outcome, picture.eligible().first()) {
                // Any of the eligible would do: they are alike in every picture.
                (backend, moved) = (*first, last.is_some() || step.to < last_point(event));
            }
            last = Some(outcome);
        }
        ends.extend(last.map(|last| (last, moved)));
    }
    ends
}

fn last_point(event: &Event) -> u32 {
    event.steps.last().expect("an event has steps").to
}

fn describe((outcome, moved): (Outcome, bool)) -> String {
    match outcome {
        Outcome::Kept if moved => "has moved, and stays there".to_owned(),
        outcome if outcome.stays() => "stays".to_owned(),
        Outcome::Moved => "moves".to_owned(),
        Outcome::New => "is a new flow".to_owned(),
        _ => "is dropped".to_owned(),
    }
}

fn counts(text: &mut String) {
    section(
        text,
        "How many rows",
        &format!(
            "The {} policies that are accepted, {} kinds of packets and {} events make {} rows; {} policies are \
             refused. A step of an event takes {STEP_SECONDS} s of the clock that the programs are given.",
            rows::accepted().len(),
            rows::cases().len(),
            EVENTS.len(),
            rows::all().len(),
            rows::policies().len() - rows::accepted().len(),
        ),
    );
}
