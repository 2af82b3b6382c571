use serde_json::{Value, json};

use super::*;
use crate::bench::report::Machine;

fn report<C: DeserializeOwned>(part: &str, cases: Value) -> Report<C> {
    let machine = json!({
        "kernel": "6.18.0", "cpu": "a processor", "cpus": 2, "memory_mib": 4096, "is_virtual": true,
    });
    let report = json!({"part": part, "machine": machine, "cases": cases});
    serde_json::from_value(report).expect("a report")
}

fn packet(name: &str, more: &Value) -> Value {
    let mut case = json!({
        "name": name, "delivery": "ipip", "protocol": "TCP", "family": 4, "flows": 1,
        "net_ns": 60.4, "min": 59.0, "max": 62.6, "slots": 4096, "expected": 0.99987,
    });
    let fields = case.as_object_mut().expect("an object");
    fields.extend(more.as_object().expect("an object").clone());
    case
}

fn packets(name: &str, way: &str, share: f64) -> Value {
    json!({
        "name": name, "unit": "packets", "way": way, "protocol": "TCP", "flows": 1,
        "per_second": 3_100_000.0, "min": 3_000_000.0, "max": 3_200_000.0, "share": share, "target": 0.8,
    })
}

fn reports() -> Reports {
    let access = |lines: u32, net_ns: f64| json!({"lines": lines, "pause_ns": 150.0, "net_ns": net_ns, "min": net_ns - 1.0, "max": net_ns + 1.0});
    Reports {
        packet: report(
            "packet",
            json!([
                packet(
                    "one flow",
                    &json!({"target_ns": 50.0, "access": access(1, 0.2), "lru_ns": 90.6, "lru_ratio": 1.5})
                ),
                packet(
                    "1 M flows",
                    &json!({"flows": 1_000_000, "net_ns": 210.0, "access": access(524_288, 140.0)})
                ),
                packet(
                    "new flows, room",
                    &json!({"flows": null, "without_tuples_ns": 101.0})
                ),
                packet("100 k flows, 1 service", &json!({"services": 1, "endpoints": 2})),
                packet(
                    "100 k flows, 1000 services",
                    &json!({"services": 1000, "endpoints": 2, "net_ns": 99.0})
                ),
                packet(
                    "100 k flows, 60000 endpoints",
                    &json!({"services": 1, "endpoints": 60_000})
                ),
            ]),
        ),
        control: report(
            "control",
            json!([
                {"name": "one: stage", "services": 1, "endpoints": 100, "runs": 3, "median_ms": 0.5, "worst_ms": 1.0, "processor_ms": 0.4},
                {"name": "one: stage", "services": 10_000, "endpoints": 10, "runs": 3, "median_ms": 2.5, "worst_ms": 3.0, "processor_ms": 2.4},
                {"name": "two: stage", "services": 1, "endpoints": 100, "runs": 1, "median_ms": 7.0, "worst_ms": 7.0, "processor_ms": 7.0},
                {"name": "Maglev, 65537 slots", "services": 1, "endpoints": 1000, "runs": 21, "median_ms": 4.0, "worst_ms": 5.0, "processor_ms": 3.9},
                {"name": "daemon, an event", "services": 1, "endpoints": 2000, "runs": 9, "median_ms": 40.0, "worst_ms": 50.0, "processor_ms": 0.0, "other_answer_ms": 9.0},
                {"name": "daemon, a start", "services": 3000, "endpoints": 6, "runs": 1, "median_ms": 8000.0, "worst_ms": 8000.0, "processor_ms": 0.0},
            ]),
        ),
        forward: report(
            "forward",
            json!([packets("one flow", "l2", 0.9), packets("one flow", "ipip", 0.85)]),
        ),
        flows: report(
            "flows",
            json!([
                {"name": "memory, hot", "table": "flow table", "slots": 4096, "flows": 1024, "bytes_per_slot": 8.0, "bytes_per_flow": 32.0},
                {"name": "flood of SYN", "table": "flow table", "slots": 4096, "flows": 1024, "flood": 10_000, "kept": 1024, "evicted": 0},
                {"name": "flood of SYN", "table": "LRU hash", "slots": 4096, "flows": 1024, "flood": 10_000, "kept": 256},
            ]),
        ),
    }
}

fn table(name: &str) -> String {
    let mut tables = tables::all(&reports()).into_iter();
    let (_, text) = tables.find(|(known, _)| *known == name).expect("a table");
    text
}

/// The rows below the header.
fn rows(name: &str) -> Vec<String> {
    table(name).lines().skip(2).map(str::to_owned).collect()
}

fn plot(name: &str) -> String {
    let mut plots = plots::all(&reports()).expect("plots").into_iter();
    let (_, text) = plots.find(|(known, _)| *known == name).expect("a plot");
    text
}

#[test]
fn packets_stand_beside_targets_and_others() {
    let expected = [
        "| one flow | ipip | TCP v4 | **60** | 59 – 63 | – | 50 | 91 | 1.5 | 117 | 99.99 % |",
        "| 1 M flows | ipip | TCP v4 | **210** | 59 – 63 | – | – | – | – | 440 | 99.99 % |",
        "| new flows, room | ipip | TCP v4 | **60** | 59 – 63 | 101 | – | – | – | 540 | 99.99 % |",
    ];
    assert_eq!(rows("packet"), expected);
}

#[test]
fn the_floor_is_one_flow_and_one_access() {
    let expected = [
        "| 1 | 1 | 0 | -1 – 1 | 61 | 60 |",
        "| 1,000,000 | 524,288 | 140 | 139 – 141 | 200 | 210 |",
    ];
    assert_eq!(rows("floor"), expected);
}

#[test]
fn growth_is_told_by_services_and_endpoints() {
    let expected = [
        "| 1 | 2 | 60 | 59 – 63 |",
        "| 1,000 | 2 | 99 | 59 – 63 |",
        "| 1 | 60,000 | 60 | 59 – 63 |",
    ];
    assert_eq!(rows("growth"), expected);
}

#[test]
fn events_are_told_with_what_others_wait_meanwhile() {
    let expected = [
        "| an event | 1 × 2,000 | 40.00 | 50.00 | 9.00 |",
        "| a start | 3,000 × 6 | 8000.00 | 8000.00 | – |",
    ];
    assert_eq!(rows("events"), expected);
}

#[test]
fn changes_have_a_column_for_each_size() {
    let expected = "\
| change: stage | 1 × 100 | 10,000 × 10 |
| --- | --- | --- |
| one: stage | 0.50 | 2.50 |
| two: stage | 7.00 | – |
";
    assert_eq!(table("changes"), expected);
    assert_eq!(
        rows("builds"),
        ["| Maglev, 65537 slots | 1,000 | 4.00 | 5.00 | 3.90 |"]
    );
}

#[test]
fn parts_measured_on_one_machine_share_a_row() {
    let mut reports = reports();
    reports.flows.machine = Machine {
        cpus: 8,
        is_virtual: false,
        ..reports.flows.machine
    };
    let (_, text) = tables::all(&reports).swap_remove(0);
    let rows: Vec<&str> = text.lines().skip(2).collect();
    let expected = [
        "| `packet`, `control`, `forward` | a virtual machine of 2 CPUs (a processor), 4096 MiB, Linux 6.18.0 |",
        "| `flows` | a machine of 8 CPUs (a processor), 4096 MiB, Linux 6.18.0 |",
    ];
    assert_eq!(rows, expected);
}

#[test]
fn curves_name_their_lines_and_ends() {
    let text = plot("by-flows");
    for name in ["as shipped", "LRU hash", "one memory access", ">\n1 M\n<"] {
        assert!(text.contains(name), "{name} is missing:\n{text}");
    }
    // A dark page must not swallow dark text.
    assert!(text.contains("fill=\"#FFFFFF\""), "no white ground:\n{text}");
}

#[test]
fn only_what_grows_is_in_its_plot() {
    let points = |name| plot(name).matches("<circle").count();
    assert_eq!((points("by-services"), points("by-endpoints")), (2, 1));
}

#[test]
fn bars_have_their_values_and_the_target() {
    let text = plot("shares");
    for label in ["0.90", "0.85", "l2", "ipip", "one flow", "target, at least"] {
        assert!(
            text.contains(&format!(">\n{label}\n<")),
            "{label} is missing:\n{text}"
        );
    }
    let text = plot("floods");
    assert!(!text.contains("target"), "{text}");
    assert!(text.contains(">\n0.25\n<"), "{text}");
}

#[test]
fn a_report_that_is_missing_is_named_with_its_command() {
    let error = documents(Path::new("/nowhere")).expect_err("no reports");
    let text = format!("{error:#}");
    assert!(text.contains("cargo xtask bench packet --json"), "{text}");
}
