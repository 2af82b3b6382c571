use super::*;
use crate::resources::read;

fn parse_fault(text: &str) -> Vec<String> {
    parse("f.json", text)
        .unwrap_err()
        .iter()
        .map(Fault::to_string)
        .collect()
}

#[test]
fn an_object_an_array_and_a_list_are_documents() {
    let paths = |text: &str| -> Vec<String> {
        parse("f.json", text)
            .unwrap()
            .into_iter()
            .map(|document| document.json_path)
            .collect()
    };
    assert_eq!(paths(r#"{"kind": "compute#healthCheck"}"#), ["$"]);
    assert_eq!(paths(r#"[{"a": 1}, {"b": 2}]"#), ["$[0]", "$[1]"]);
    assert_eq!(
        paths(r#"{"kind": "compute#healthCheckList", "items": [{}, {}]}"#),
        ["$.items[0]", "$.items[1]"]
    );
    assert!(paths(r#"{"kind": "compute#healthCheckList"}"#).is_empty());
}

#[test]
fn items_have_the_kind_that_their_list_implies() {
    let list = r#"{"kind": "compute#healthCheckList", "id": "x", "items": [{"name": "a"}, {"kind": "own"}]}"#;
    let documents = parse("f.json", list).unwrap();
    assert_eq!(documents[0].value["kind"], "compute#healthCheck");
    assert_eq!(documents[1].value["kind"], "own");
}

#[test]
fn malformed_json_has_a_line_and_a_column() {
    let [fault] = &parse_fault("[\n  {\"a\": }\n]")[..] else {
        panic!()
    };
    assert_eq!(
        fault,
        "f.json: $: line 2, column 9: malformed JSON: expected value"
    );
    assert!(parse_fault("[] []")[0].contains("line 1, column 4"));
    assert!(parse_fault("")[0].contains("line 1, column 0"));
    assert!(parse_fault("3")[0].contains("expected a resource"));
    assert!(parse_fault(&"[".repeat(10_000))[0].contains("malformed JSON"));
}

#[test]
fn every_repeated_key_is_a_fault_at_its_path() {
    let text = r#"[{"a": 1, "b": [{"c": 1, "c": 1}], "a": 2}, {"a": 3}]"#;
    let paths: Vec<String> = parse("f", text)
        .unwrap_err()
        .into_iter()
        .map(|fault| fault.path)
        .collect();
    assert_eq!(paths, ["$[0].b[0].c", "$[0].a"]);
}

#[test]
fn a_list_must_be_whole_and_plain() {
    assert!(
        parse_fault(r#"{"kind": "xList", "items": [], "nextPageToken": "z"}"#)[0].contains("$.nextPageToken")
    );
    assert!(parse_fault(r#"{"kind": "xList", "items": {}}"#)[0].contains("$.items"));
    assert!(parse_fault(r#"{"kind": "xList", "itemz": []}"#)[0].contains("$.itemz"));
}

#[test]
fn a_directory_is_read_in_order_and_every_bad_file_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
    write("b.json", "{}");
    write("a.json", "[{}, {}]");
    write("notes.txt", "no JSON");
    let documents = read(&[directory.path().to_owned()]).unwrap();
    let sources: Vec<_> = documents
        .iter()
        .map(|document| document.source.rsplit('/').next().unwrap())
        .collect();
    assert_eq!(sources, ["a.json", "a.json", "b.json"]);

    write("a.json", "{");
    write("c.json", "}");
    let faults = read(&[directory.path().to_owned(), directory.path().join("absent.json")]).unwrap_err();
    assert_eq!(
        kinds(&faults),
        [FaultKind::Malformed, FaultKind::Malformed, FaultKind::Unreadable]
    );
}

#[test]
fn an_empty_directory_is_a_fault() {
    let directory = tempfile::tempdir().unwrap();
    assert!(
        read(&[directory.path().to_owned()]).unwrap_err()[0]
            .reason
            .contains("no *.json")
    );
}

#[test]
fn a_document_must_say_what_it_is() {
    let of = |value: Value| faults(&value).iter().map(Fault::to_string).collect::<Vec<_>>();
    assert!(of(json!([3]))[0].starts_with("test.json: $[0]: '3': expected a resource"));
    assert!(of(json!({"name": "x"}))[0].starts_with("test.json: $.kind: is required"));
    let misspelt = of(json!({"kind": "compute#backendservice", "name": "x"}));
    assert!(
        misspelt[0].contains("did you mean compute#backendService?"),
        "{misspelt:?}"
    );
    assert!(of(json!({"kind": 7, "name": "x"}))[0].starts_with("test.json: $.kind: '7': expected a string"));
    let misplaced = of(
        json!({"kind": "compute#networkEndpointGroup", "name": "x", "zone": "a/b/c/d",
        "networkEndpointType": "GCE_VM_IP"}),
    );
    assert_eq!(
        misplaced,
        ["test.json: $.zone: 'a/b/c/d': is no URL or name of a zone"]
    );
}

#[test]
fn nameless_documents_are_judged_too() {
    let value = json!([{"kind": "compute#healthCheck", "type": "TCP", "timeoutSec": 9}, {"kind": "compute#healthCheck"}]);
    expect(
        value,
        &[],
        &["$[0].name", "$[0].timeoutSec", "$[1].name", "$[1].type"],
    );
}

#[test]
fn the_self_link_places_what_has_no_region() {
    let link = "https://www.googleapis.com/compute/v1/projects/p/global/healthChecks/probe";
    let applied =
        apply(&json!({"kind": "compute#healthCheck", "name": "probe", "type": "TCP", "selfLink": link}))
            .unwrap();
    assert_eq!(
        applied.changes[0].path.as_str(),
        "projects/p/global/healthChecks/probe"
    );
    let kindless = apply(&json!({"name": "probe", "type": "TCP", "selfLink": link})).unwrap();
    assert_eq!(kindless.changes, applied.changes);
}
