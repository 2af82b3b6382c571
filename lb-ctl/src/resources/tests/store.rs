use super::*;
use crate::resources::{FileStore, Kind, MemoryStore, ResourceStore, StoreError};

#[test]
fn what_is_saved_is_loaded() {
    let directory = tempfile::tempdir().unwrap();
    let nested = directory.path().join("state/lb");
    let resources = apply(&internal()).unwrap().resources;
    let store = FileStore::open(&nested).unwrap();
    assert!(store.load().unwrap().is_empty());
    store.save(&resources).unwrap();
    drop(store);
    let store = FileStore::open(&nested).unwrap();
    assert_eq!(store.load().unwrap(), resources);
    store.save(&Resources::default()).unwrap();
    assert!(store.load().unwrap().is_empty());
    assert!(!nested.join("resources.json.new").exists());

    let memory = MemoryStore::default();
    memory.save(&resources).unwrap();
    assert_eq!(memory.load().unwrap(), resources);
}

#[test]
fn a_directory_has_one_owner() {
    let directory = tempfile::tempdir().unwrap();
    let first = FileStore::open(directory.path()).unwrap();
    let second = FileStore::open(directory.path()).unwrap_err();
    assert!(matches!(second, StoreError::InUse(_)));
    assert!(second.to_string().contains("in use by another lb-ctl run"));
    drop(first);
    FileStore::open(directory.path()).unwrap();
}

#[test]
fn a_damaged_file_is_named_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let store = FileStore::open(directory.path()).unwrap();
    let file = directory.path().join("resources.json");
    for damaged in [
        "",
        "{",
        "[]",
        r#"{"formatVersion": 1}"#,
        r#"{"formatVersion": 1, "resources": {"x": {"kind": "y"}}}"#,
    ] {
        std::fs::write(&file, damaged).unwrap();
        let error = store.load().unwrap_err();
        assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
        assert!(error.to_string().contains("resources.json is damaged"));
        assert_eq!(std::fs::read_to_string(&file).unwrap(), damaged);
    }
    std::fs::write(&file, r#"{"formatVersion": 2}"#).unwrap();
    assert!(store.load().unwrap_err().to_string().contains("format version 2"));
}

#[test]
fn a_failed_write_keeps_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let store = FileStore::open(directory.path()).unwrap();
    let resources = apply(&internal()).unwrap().resources;
    store.save(&resources).unwrap();
    std::fs::create_dir(directory.path().join("resources.json.new")).unwrap();
    assert!(matches!(
        store.save(&Resources::default()),
        Err(StoreError::Io { .. })
    ));
    assert_eq!(store.load().unwrap(), resources);
}

#[test]
fn stored_resources_are_judged_again() {
    let resources = apply(&internal()).unwrap().resources;
    let mut text = serde_json::to_value(&resources).unwrap();
    let front = "projects/local/regions/local/forwardingRules/front";
    text[front]["value"]["ports"] = json!(["0"]);
    let edited: Resources = serde_json::from_value(text).unwrap();
    let found = edited.config().unwrap_err();
    assert_eq!(
        found.iter().map(Fault::to_string).collect::<Vec<_>>(),
        [format!(
            "stored: {front}.ports[0]: '0': expected a port such as 80, or a range such as 8000-8010, in 1..65535"
        )]
    );
}

#[test]
fn a_policy_lives_and_dies_with_its_resource() {
    let directory = tempfile::tempdir().unwrap();
    let resources = apply(&internal()).unwrap().resources;
    let front = Scope::default().path(Kind::ForwardingRule, "front");
    let policy = json!({"bindings": [{"role": "roles/viewer", "members": ["allUsers"]}]});
    let with = resources.with_iam_policy(&front, policy.clone()).unwrap();
    let store = FileStore::open(directory.path()).unwrap();
    store.save(&with).unwrap();
    let loaded = store.load().unwrap();
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
