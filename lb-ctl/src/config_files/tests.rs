use std::collections::BTreeSet;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::{ConfigFiles, FromFiles, judge};
use crate::model::ResourcePath;
use crate::resources::{Document, Fault, Owners, Resources, Scope, TableRoom};

const MAIN: &str = "/etc/lb/main.json";
const EXTRA: &str = "/etc/lb/extra.json";

fn group(name: &str) -> Value {
    json!({
        "kind": "compute#networkEndpointGroup", "name": name, "networkEndpointType": "GCE_VM_IP",
        "networkEndpoints": [{"ipAddress": "10.0.0.1"}],
    })
}

fn service(name: &str, group: &str) -> Value {
    json!({
        "kind": "compute#backendService", "name": name, "protocol": "TCP", "loadBalancingScheme": "EXTERNAL",
        "backends": [{"group": format!("zones/local-a/networkEndpointGroups/{group}")}],
    })
}

fn rule(name: &str, service: &str) -> Value {
    json!({
        "kind": "compute#forwardingRule", "name": name, "IPProtocol": "TCP", "IPAddress": "192.0.2.1",
        "ports": ["80"], "loadBalancingScheme": "EXTERNAL", "backendService": service,
    })
}

fn documents(source: &str, values: &[Value]) -> Vec<Document> {
    let document = |(position, value): (usize, &Value)| Document {
        source: source.to_owned(),
        json_path: format!("$[{position}]"),
        value: value.clone(),
    };
    values.iter().enumerate().map(document).collect()
}

fn files(given: &[&str]) -> ConfigFiles {
    let given: Vec<PathBuf> = given.iter().map(PathBuf::from).collect();
    ConfigFiles::new(&given).expect("absolute paths")
}

/// What is kept, and who owns it.
#[derive(Default)]
struct Kept {
    resources: Resources,
    owners: Owners,
}

impl Kept {
    fn judge(&self, files: &ConfigFiles, documents: &[Document]) -> Result<FromFiles, Vec<Fault>> {
        judge(
            &self.resources,
            &self.owners,
            files,
            documents,
            &Scope::default(),
            &TableRoom::default(),
        )
    }

    fn take(&mut self, files: &ConfigFiles, documents: &[Document]) -> FromFiles {
        let from_files = self.judge(files, documents).expect("valid documents");
        self.resources = from_files.applied.resources.clone();
        self.owners = from_files.owners.clone();
        from_files
    }

    /// As an API call does it.
    fn apply(&mut self, values: &[Value]) {
        let documents = documents("api", values);
        let applied = self.resources.apply(
            &documents,
            &Scope::default(),
            crate::resources::Mode::Additive,
            jiff::Timestamp::UNIX_EPOCH,
        );
        self.resources = applied.expect("valid documents").resources;
    }

    fn names(&self) -> BTreeSet<&str> {
        self.resources.iter().map(|(path, _)| path.name()).collect()
    }
}

fn names(paths: &BTreeSet<ResourcePath>) -> Vec<&str> {
    paths.iter().map(ResourcePath::name).collect()
}

#[test]
fn what_a_file_defines_no_more_goes_and_nothing_else() {
    let mut kept = Kept::default();
    kept.apply(&[group("others")]);
    let files = files(&[MAIN]);
    let all = [group("g"), service("web", "g"), rule("front", "web")];
    kept.take(&files, &documents(MAIN, &all));
    assert_eq!(kept.names(), BTreeSet::from(["front", "g", "others", "web"]));
    assert_eq!(kept.owners.len(), 3);
    let from_files = kept.take(&files, &documents(MAIN, &all[..1]));
    assert_eq!(names(&from_files.dropped), ["web", "front"]);
    assert_eq!(kept.names(), BTreeSet::from(["g", "others"]));
}

/// A rule that takes the address of one that leaves does not clash with it.
#[test]
fn what_goes_does_not_clash_with_what_comes() {
    let mut kept = Kept::default();
    let files = files(&[MAIN]);
    kept.take(
        &files,
        &documents(MAIN, &[group("g"), service("web", "g"), rule("front", "web")]),
    );
    kept.take(
        &files,
        &documents(MAIN, &[group("g"), service("web", "g"), rule("door", "web")]),
    );
    assert_eq!(kept.names(), BTreeSet::from(["door", "g", "web"]));
}

#[test]
fn what_something_else_uses_is_a_fault_that_names_it() {
    let mut kept = Kept::default();
    let files = files(&[MAIN]);
    kept.take(&files, &documents(MAIN, &[group("g"), group("h")]));
    kept.apply(&[service("web", "g")]);
    let bad = json!({"kind": "compute#networkEndpointGroup", "name": "h", "colour": "red"});
    let faults = kept.judge(&files, &documents(MAIN, &[bad])).unwrap_err();
    let told: Vec<String> = faults.iter().map(Fault::to_string).collect();
    assert!(
        told[0].contains("does not define it any more") && told[0].contains("backendServices/web"),
        "{told:?}"
    );
    assert!(told.iter().any(|fault| fault.contains("colour")), "{told:?}");
    assert!(!told.iter().any(|fault| fault.contains("stored")), "{told:?}");
}

#[test]
fn a_resource_may_move_to_another_file() {
    let mut kept = Kept::default();
    let files = files(&["/etc/lb"]);
    kept.take(&files, &documents(MAIN, &[group("g"), group("h")]));
    let mut both = documents(MAIN, &[group("g")]);
    both.extend(documents(EXTRA, &[group("h")]));
    let from_files = kept.take(&files, &both);
    assert!(from_files.dropped.is_empty());
    assert_eq!(
        kept.owners.values().map(String::as_str).collect::<Vec<_>>(),
        [MAIN, EXTRA]
    );
}

/// The file was deleted from its directory while nobody looked.
#[test]
fn what_a_deleted_file_of_a_directory_defined_goes() {
    let mut kept = Kept::default();
    let directory = files(&["/etc/lb"]);
    let mut both = documents(MAIN, &[group("g")]);
    both.extend(documents(EXTRA, &[group("h")]));
    kept.take(&directory, &both);
    let from_files = kept.take(&directory, &documents(MAIN, &[group("g")]));
    assert_eq!(names(&from_files.dropped), ["h"]);
}

#[test]
fn what_is_given_no_more_is_let_go_of_and_stays() {
    let mut kept = Kept::default();
    kept.take(&files(&[MAIN]), &documents(MAIN, &[group("g")]));
    let from_files = kept.take(&files(&[EXTRA]), &documents(EXTRA, &[group("h")]));
    assert!(from_files.dropped.is_empty());
    assert_eq!(kept.names(), BTreeSet::from(["g", "h"]));
    assert_eq!(kept.owners.len(), 1);
}

#[test]
fn a_directory_includes_its_files_and_no_deeper_ones() {
    let files = files(&["/etc/lb", "/srv/one.json"]);
    assert!(files.includes(MAIN) && files.includes("/srv/one.json"));
    assert!(!files.includes("/etc/lb/deeper/one.json") && !files.includes("/srv/two.json"));
}

mod following {
    use std::fs;
    use std::path::Path;
    use std::sync::Arc;
    use std::time::Duration;

    use tokio::sync::Notify;

    use crate::config_files::{ConfigFiles, FileWatcher};

    async fn told(changed: &Notify) -> bool {
        tokio::time::timeout(Duration::from_secs(10), changed.notified())
            .await
            .is_ok()
    }

    fn watch(path: &Path) -> (FileWatcher, Arc<Notify>) {
        let changed = Arc::new(Notify::new());
        let files = ConfigFiles::new(&[path.to_owned()]).unwrap();
        (FileWatcher::new(files, changed.clone()).unwrap(), changed)
    }

    #[tokio::test]
    async fn every_way_to_write_a_file_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("lb.json");
        fs::write(&file, "[]").unwrap();
        let (_watcher, changed) = watch(&file);
        fs::write(&file, "[1]").unwrap();
        assert!(told(&changed).await, "written in place");
        let fresh = directory.path().join(".lb.json.swp");
        fs::write(&fresh, "[2]").unwrap();
        fs::rename(&fresh, &file).unwrap();
        assert!(told(&changed).await, "renamed over");
        fs::write(&file, "[3]").unwrap();
        assert!(told(&changed).await, "written in place after that");
    }

    /// As Kubernetes replaces a mounted ConfigMap.
    #[tokio::test]
    async fn a_turned_link_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        for version in ["1", "2"] {
            fs::create_dir(at(version)).unwrap();
            fs::write(at(version).join("lb.json"), version).unwrap();
        }
        std::os::unix::fs::symlink("1", at("data")).unwrap();
        std::os::unix::fs::symlink("data/lb.json", at("lb.json")).unwrap();
        let (_watcher, changed) = watch(&at("lb.json"));
        std::os::unix::fs::symlink("2", at("data.new")).unwrap();
        fs::rename(at("data.new"), at("data")).unwrap();
        assert!(told(&changed).await, "the link was turned");
        fs::write(at("2").join("lb.json"), "3").unwrap();
        assert!(told(&changed).await, "the file behind the new link was written");
    }

    #[tokio::test]
    async fn what_comes_and_goes_in_a_directory_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let (_watcher, changed) = watch(directory.path());
        fs::write(directory.path().join("a.json"), "[]").unwrap();
        assert!(told(&changed).await);
        fs::remove_file(directory.path().join("a.json")).unwrap();
        assert!(told(&changed).await);
    }
}
