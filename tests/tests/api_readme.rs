//! What the README shows of other people's clients is true: its own lines are run.

use lb_tests::clients::{Api, Gcloud, Told};
use lb_tests::topology::Lab;
use serde_json::json;

const README: &str = include_str!("../../README.md");
const SECTION: &str = "\n## gcloud and the client libraries\n";

/// The one block of this language in the section.
fn block(language: &str) -> String {
    let (_, section) = README.split_once(SECTION).expect("the section");
    let section = section.split("\n## ").next().expect("split has a first part");
    let fence = format!("```{language}\n");
    let blocks: Vec<&str> = section
        .split(&fence)
        .skip(1)
        .map(|rest| rest.split("```").next().expect("split has a first part"))
        .collect();
    let [block] = blocks[..] else {
        panic!("{} blocks of {language}", blocks.len());
    };
    block.to_owned()
}

/// The daemon is where the README has it.
fn api<'lab>(lab: &'lab Lab) -> Api<'lab> {
    let api = Api::start(lab);
    assert!(README.contains(&api.url()), "{}", api.url());
    api
}

#[test]
fn its_python_lines_work() {
    let lab = Lab::flat("readme-python");
    let api = api(&lab);
    let mut command = api.python();
    let printed = Told::by(command.args(["-c", &block("python")])).well();
    assert_eq!(
        printed,
        "dns UDP https://www.googleapis.com/compute/v1/projects/shop/regions/north-1/backendServices/dns\n"
    );
}

#[test]
fn its_gcloud_lines_work() {
    let lab = Lab::flat("readme-gcloud");
    let api = api(&lab);
    let Some(gcloud) = Gcloud::of(&api) else { return };
    let mut command = gcloud.command("sh");
    // The lines say this themselves.
    for name in [
        "CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE",
        "CLOUDSDK_AUTH_DISABLE_CREDENTIALS",
        "CLOUDSDK_CORE_PROJECT",
    ] {
        command.env_remove(name);
    }
    let printed = Told::by(command.args(["-euc", &block("sh")])).well();
    for part in [
        "healthState: UNHEALTHY",
        "ipAddress: 10.66.0.11",
        "forwardingRuleIp: 10.66.0.100",
    ] {
        assert!(printed.contains(part), "no {part:?} in {printed}");
    }
    let rules = gcloud.json("forwarding-rules list");
    assert_eq!(rules[0]["ports"], json!(["80", "443"]));
}
