//! Stores whose disk is full, whose file is damaged, and that are told to fail.

use std::fs;
use std::path::Path;
use std::task::Poll;

use futures_util::StreamExt as _;
use redb::{Database, TableDefinition};

use super::store::{keep, wait_for};
use super::*;
use crate::model::ResourcePath;
use crate::resources::{
    DatabaseStore, Failure, Followed, MemoryStore, OwnedChanges, Owners, Resource, ResourceStore, StoreError,
    StoreState, Stored,
};
use crate::testing::{SmallDisk, eventually};

const DISK_BYTES: usize = 12 << 20;

/// A row of so many bytes.
fn large(name: &str, bytes: usize) -> OwnedChanges {
    let (path, resource) = internal_resource();
    let mut value = resource.value.clone();
    value.insert("description".into(), "x".repeat(bytes).into());
    let resource = Resource { value, ..resource };
    OwnedChanges {
        resources: vec![(
            ResourcePath::from_canonical(format!("{path}-{name}")),
            Some(resource),
        )],
        ..OwnedChanges::default()
    }
}

fn internal_resource() -> (ResourcePath, Resource) {
    let all = apply(&internal()).unwrap().resources;
    let (path, resource) = all.iter().next().unwrap();
    (path.clone(), resource.clone())
}

#[test]
fn a_full_disk_refuses_changes_while_it_is_full_and_no_longer() {
    let Some(disk) = SmallDisk::mount(DISK_BYTES) else {
        return;
    };
    let directory = disk.path().join("state");
    let store = DatabaseStore::open(&directory).unwrap();
    let id = store.id();
    keep(
        &store,
        &Stored {
            resources: apply(&internal()).unwrap().resources,
            ..Stored::default()
        },
    );
    let kept = store.load().unwrap();
    disk.fill();
    for attempt in 0..3 {
        let error = wait_for(store.propose(large("big", 4 << 20))).unwrap_err();
        assert!(
            matches!(error, StoreError::Unavailable { .. }),
            "{attempt}: {error}"
        );
        assert!(error.to_string().contains("resources.redb can't be"), "{error}");
        assert!(matches!(store.state(), StoreState::Unavailable { .. }));
    }
    disk.free();
    // The very next one, without waiting for the store's own trial.
    wait_for(store.propose(large("small", 10))).unwrap();
    assert_eq!(store.state(), StoreState::Available);
    let after = store.load().unwrap();
    assert_eq!(after.resources.iter().count(), kept.resources.iter().count() + 1);
    assert!(
        after
            .resources
            .iter()
            .all(|(path, _)| !path.as_str().ends_with("-big"))
    );

    disk.fill();
    wait_for(store.propose(large("big", 4 << 20))).unwrap_err();
    disk.free();
    eventually("told that there is space again", || {
        store.state() == StoreState::Available
    });
    wait_for(store.propose(large("big", 4 << 20))).unwrap();
    let last = store.load().unwrap();
    drop(store);
    let store = DatabaseStore::open(&directory).unwrap();
    assert_eq!((store.load().unwrap(), store.id()), (last, id));
}

#[test]
fn a_store_opens_on_a_full_disk() {
    let Some(disk) = SmallDisk::mount(DISK_BYTES) else {
        return;
    };
    let directory = disk.path().join("state");
    let store = DatabaseStore::open(&directory).unwrap();
    keep(
        &store,
        &Stored {
            resources: apply(&internal()).unwrap().resources,
            ..Stored::default()
        },
    );
    let kept = store.load().unwrap();
    // As a process that was killed leaves it.
    let killed = disk.path().join("killed");
    fs::create_dir(&killed).unwrap();
    fs::copy(directory.join("resources.redb"), killed.join("resources.redb")).unwrap();
    fs::write(killed.join("lock"), "").unwrap();
    disk.fill();
    let again = DatabaseStore::open(&killed).unwrap();
    assert_eq!((again.load().unwrap(), again.id()), (kept, store.id()));
}

#[test]
fn whatever_is_damaged_is_one_sentence_or_no_harm() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("resources.redb");
    let store = DatabaseStore::open(directory.path()).unwrap();
    for number in 0..12 {
        wait_for(store.propose(large(&number.to_string(), 200))).unwrap();
    }
    drop(store);
    let whole = fs::read(&file).unwrap();
    let mut found = [0; 3];
    for at in (0..whole.len()).step_by(whole.len() / 37) {
        let mut damaged = whole.clone();
        damaged
            .iter_mut()
            .skip(at)
            .take(64)
            .for_each(|byte| *byte ^= 0xa5);
        fs::write(&file, &damaged).unwrap();
        match DatabaseStore::open(directory.path()) {
            Err(error) => {
                let sentence = error.to_string();
                assert!(sentence.contains("resources.redb"), "{sentence}");
                assert!(!sentence.contains('\n'), "{sentence}");
                found[0] += 1;
            }
            Ok(store) => match store.load() {
                Err(error) => {
                    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
                    found[1] += 1;
                }
                Ok(_) => {
                    // What can't be written either is said, and nothing hangs or panics.
                    let _ = wait_for(store.propose(large("another", 200)));
                    found[2] += 1;
                }
            },
        }
    }
    assert!(found[0] > 0 && found[2] > 0, "{found:?}");
}

#[test]
fn a_row_that_nobody_can_read_is_told_and_stays() {
    const RESOURCES: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("resources");
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("resources.redb");
    keep(
        &DatabaseStore::open(directory.path()).unwrap(),
        &Stored {
            resources: apply(&internal()).unwrap().resources,
            ..Stored::default()
        },
    );
    let path = internal_resource().0;
    let damage = |file: &Path| {
        let database = Database::open(file).unwrap();
        let transaction = database.begin_write().unwrap();
        let row: &[u8] = br#"{"kind": "of a later version"}"#;
        transaction
            .open_table(RESOURCES)
            .unwrap()
            .insert(path.as_str(), row)
            .unwrap();
        transaction.commit().unwrap();
    };
    damage(&file);
    let store = DatabaseStore::open(directory.path()).unwrap();
    let stored = store.load().unwrap();
    assert_eq!(stored.unreadable.keys().collect::<Vec<_>>(), [&path]);
    assert_eq!(
        stored.resources.iter().count() + 1,
        apply(&internal()).unwrap().resources.iter().count()
    );
    // Changes of others leave it alone; one of its own replaces it.
    wait_for(store.propose(large("other", 1))).unwrap();
    assert_eq!(store.load().unwrap().unreadable, stored.unreadable);
    let whole = OwnedChanges {
        resources: vec![(path, Some(internal_resource().1))],
        ..OwnedChanges::default()
    };
    wait_for(store.propose(whole)).unwrap();
    assert!(store.load().unwrap().unreadable.is_empty());
}

#[test]
fn a_store_in_memory_does_as_it_is_told() {
    let store = MemoryStore::default();
    let mut followed = store.follow();
    store.fail(Some(Failure::Unavailable("no space".to_owned())));
    let error = wait_for(store.propose(large("a", 1))).unwrap_err().to_string();
    assert_eq!(error, "nothing can be kept now: no space; nothing was changed");
    assert!(matches!(store.state(), StoreState::Unavailable { .. }));
    store.fail(Some(Failure::Conflict));
    let error = wait_for(store.propose(large("a", 1))).unwrap_err();
    assert!(matches!(error, StoreError::Conflict));
    store.fail(None);
    let latch = store.hold();
    let mut waiting = store.propose(large("a", 1));
    let waker = std::task::Waker::noop();
    let mut context = std::task::Context::from_waker(waker);
    assert!(matches!(waiting.as_mut().poll(&mut context), Poll::Pending));
    drop(latch);
    wait_for(waiting).unwrap();
    assert_eq!((store.commits(), store.state()), (1, StoreState::Available));

    store.change_elsewhere(large("b", 1));
    let told = wait_for(followed.next()).unwrap();
    assert_eq!(told, Followed::Changed(store.load().unwrap()));
    assert_eq!(store.load().unwrap().owners, Owners::new());
}
