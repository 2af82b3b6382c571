use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::*;
use crate::model::ResourcePath;
use crate::resources::{
    DatabaseStore, Kind, MemoryStore, OwnedChanges, Owners, ResourceStore, StoreError, Stored, TableRoom,
};

fn internal_set() -> Resources {
    apply(&internal()).unwrap().resources
}

fn owners_of(resources: &Resources, file: &str) -> Owners {
    let paths = resources.iter().map(|(path, _)| path.clone());
    paths.map(|path| (path, file.to_owned())).collect()
}

pub(super) fn wait_for<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(future)
}

/// Brings a store from what it holds to `next`.
pub(super) fn keep(store: &dyn ResourceStore, next: &Stored) {
    let held = store.load().unwrap();
    let changes = OwnedChanges::between((&held.resources, &held.owners), (&next.resources, &next.owners));
    wait_for(store.propose(changes)).unwrap();
}

fn assert_keeps(store: &dyn ResourceStore) {
    assert_eq!(store.load().unwrap(), Stored::default());
    let resources = internal_set();
    let first = resources.iter().next().map(|(path, _)| path.clone()).unwrap();
    let whole = Stored {
        owners: owners_of(&resources, "/etc/lb.json"),
        resources,
        ..Stored::default()
    };
    keep(store, &whole);
    assert_eq!(store.load().unwrap(), whole);
    let mut less = Stored {
        resources: whole.resources.without(&BTreeSet::from([first.clone()])),
        owners: whole.owners.clone(),
        ..Stored::default()
    };
    less.owners.remove(&first);
    keep(store, &less);
    assert_eq!(store.load().unwrap(), less);
}

#[test]
fn what_is_kept_is_loaded() {
    assert_keeps(&MemoryStore::default());
    let directory = tempfile::tempdir().unwrap();
    let nested = directory.path().join("state/lb");
    let store = DatabaseStore::open(&nested).unwrap();
    assert_keeps(&store);
    let kept = store.load().unwrap();
    drop(store);
    assert_eq!(DatabaseStore::open(&nested).unwrap().load().unwrap(), kept);
}

#[test]
fn changes_are_what_differs() {
    let before = internal_set();
    let mut after = before.clone();
    let nobody = Owners::new();
    assert!(OwnedChanges::between((&before, &nobody), (&after, &nobody)).is_empty());
    let mut paths = before.iter().map(|(path, _)| path.clone());
    let (gone, changed) = (paths.next().unwrap(), paths.next().unwrap());
    after.all.remove(&gone);
    let resource = after.all.get_mut(&changed).unwrap();
    resource.value.insert("description".into(), "another".into());
    let changes = OwnedChanges::between((&before, &nobody), (&after, &nobody));
    assert_eq!(
        changes.resources,
        [(gone, None), (changed.clone(), after.get(&changed).cloned())]
    );
}

#[test]
fn a_directory_has_one_owner() {
    let directory = tempfile::tempdir().unwrap();
    let first = DatabaseStore::open(directory.path()).unwrap();
    let second = DatabaseStore::open(directory.path()).unwrap_err();
    assert!(matches!(second, StoreError::Directory(_)));
    assert!(second.to_string().contains("in use by another lb-ctl run"));
    drop(first);
    DatabaseStore::open(directory.path()).unwrap();
}

#[test]
fn a_damaged_database_is_named_and_left_alone() {
    for damaged in ["", "not a database", &"longer than any header. ".repeat(1000)] {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("resources.redb");
        fs::write(&file, damaged).unwrap();
        let error = DatabaseStore::open(directory.path()).unwrap_err();
        assert!(error.to_string().contains("resources.redb is damaged"), "{error}");
        assert_eq!(fs::read_to_string(&file).unwrap(), damaged);
    }
}

#[test]
fn a_database_that_was_being_made_is_made_anew() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("resources.redb.new"), "half of it").unwrap();
    let store = DatabaseStore::open(directory.path()).unwrap();
    assert_keeps(&store);
}

fn write_old(directory: &Path, text: &str) {
    fs::write(directory.join("resources.json"), text).unwrap();
}

#[test]
fn the_file_of_an_older_version_is_taken_over_once() {
    let directory = tempfile::tempdir().unwrap();
    let resources = internal_set();
    let old = json!({"formatVersion": 1, "resources": &resources});
    write_old(directory.path(), &old.to_string());
    let store = DatabaseStore::open(directory.path()).unwrap();
    assert_eq!(store.load().unwrap().resources, resources);
    assert!(!directory.path().join("resources.json").exists());
    assert!(directory.path().join("resources.json.imported").exists());
    drop(store);
    write_old(directory.path(), "of no interest any more");
    let store = DatabaseStore::open(directory.path()).unwrap();
    assert_eq!(store.load().unwrap().resources, resources);
}

#[test]
fn a_damaged_file_of_an_older_version_is_named_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    for damaged in [
        "",
        "{",
        "[]",
        r#"{"formatVersion": 1}"#,
        r#"{"formatVersion": 1, "resources": {"x": {"kind": "y"}}}"#,
    ] {
        write_old(directory.path(), damaged);
        let error = DatabaseStore::open(directory.path()).unwrap_err();
        assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
        assert!(error.to_string().contains("resources.json is damaged"));
        let left = fs::read_to_string(directory.path().join("resources.json")).unwrap();
        assert_eq!(left, damaged);
    }
    write_old(directory.path(), r#"{"formatVersion": 2}"#);
    let error = DatabaseStore::open(directory.path()).unwrap_err();
    assert!(error.to_string().contains("format version 2"), "{error}");
}

#[test]
fn stored_resources_are_judged_again() {
    let resources = apply(&internal()).unwrap().resources;
    let mut text = serde_json::to_value(&resources).unwrap();
    let front = "projects/local/regions/local/forwardingRules/front";
    text[front]["value"]["ports"] = json!(["0"]);
    let edited: Resources = serde_json::from_value(text).unwrap();
    let found = edited.config().unwrap_err();
    let (lenient, told) = edited.config_leniently(&TableRoom::default());
    assert_eq!(told, found);
    let (whole, _) = resources.config().unwrap();
    let mut expected = whole;
    expected
        .rules
        .remove(&ResourcePath::from_canonical(front))
        .unwrap();
    assert_eq!(lenient, expected, "all but the rule has its effect");
    assert_eq!(
        found.iter().map(Fault::to_string).collect::<Vec<_>>(),
        [format!(
            "stored: {front}.ports[0]: '0': expected a port such as 80, or a range such as 8000-8010, in 1..65535"
        )]
    );
}

#[test]
fn what_refers_to_something_wrong_has_no_effect_either() {
    let resources = apply(&internal()).unwrap().resources;
    let mut text = serde_json::to_value(&resources).unwrap();
    let service = resources.of_kind(Kind::BackendService).next().unwrap().0.clone();
    text[service.as_str()]["value"]["protocol"] = json!("of a later version");
    let edited: Resources = serde_json::from_value(text).unwrap();
    let (config, faults) = edited.config_leniently(&TableRoom::default());
    assert!(
        config.services.is_empty() && config.rules.is_empty(),
        "{config:?}"
    );
    assert!(!config.groups.is_empty());
    assert!(
        faults.iter().all(Fault::is_stored) && faults.len() > 1,
        "{faults:?}"
    );
}

#[test]
fn a_policy_lives_and_dies_with_its_resource() {
    let directory = tempfile::tempdir().unwrap();
    let resources = apply(&internal()).unwrap().resources;
    let front = Scope::default().path(Kind::ForwardingRule, "front");
    let policy = json!({"bindings": [{"role": "roles/viewer", "members": ["allUsers"]}]});
    let with = resources.with_iam_policy(&front, policy.clone()).unwrap();
    let store = DatabaseStore::open(directory.path()).unwrap();
    let stored = Stored {
        resources: with.clone(),
        ..Stored::default()
    };
    keep(&store, &stored);
    let loaded = store.load().unwrap().resources;
    assert_eq!(loaded, with);
    assert_ne!(loaded, resources);
    let kept = |resources: &Resources| resources.get(&front).unwrap().iam_policy.clone();

    // Documents say nothing of policies, and so take none away.
    let mut changed = internal();
    changed[4]["description"] = json!("the shop");
    let applied = apply_to(&loaded, &changed, Mode::Additive).unwrap().resources;
    assert_eq!(applied.get(&front).unwrap().value["description"], "the shop");
    assert_eq!(kept(&applied), Some(policy));
    assert!(
        !json!(applied.get(&front).unwrap().document())
            .to_string()
            .contains("allUsers")
    );

    // Other ports make another rule of the same name.
    changed[4]["ports"] = json!(["81"]);
    let another = apply_to(&applied, &changed, Mode::Additive).unwrap().resources;
    assert_eq!(kept(&another), None);

    let gone = applied.delete(&front).unwrap();
    assert!(gone.with_iam_policy(&front, json!({})).is_err());
    let again = apply_to(&gone, &internal(), Mode::Additive).unwrap().resources;
    assert_eq!(kept(&again), None);
}
