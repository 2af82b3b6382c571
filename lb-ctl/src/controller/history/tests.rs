use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::task::{Context, Poll, Waker};

use super::*;
use crate::model::{Ports, RuleProtocol, ZonalAffinity};
use crate::plan::contents::Contents;
use crate::plan::tests::world::{World, ip, state, target};
use crate::resources::StoreId;
use crate::testing::{SmallDisk, eventually};

const MAPS: u32 = 77;
const ADDRESSES: [&str; 3] = ["10.0.0.1", "10.0.0.2", "10.0.0.3"];

fn place(directory: &Path) -> HistoryPlace {
    HistoryPlace {
        runtime_dir: directory.join("run"),
        state_dir: directory.to_owned(),
        store: StoreId::from_words([0, 1]).expect("an id"),
    }
}

fn open(place: &HistoryPlace) -> History {
    History::open(place, MAPS).expect("a history")
}

fn wait_for<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.expect("a runtime").block_on(future)
}

fn keep(history: &mut History, plan: &Plan) -> Result<(), KeepError> {
    wait_for(history.save(plan, HealthChanges::new()))
}

/// What the next start takes up.
fn kept(place: &HistoryPlace) -> Option<SavedPlan> {
    open(place).saved.clone()
}

#[test]
fn what_is_kept_is_taken_up_by_the_same_maps_alone() {
    let directory = tempfile::tempdir().expect("a directory");
    let place = place(directory.path());
    let world = World::web(&ADDRESSES);
    let plan = world.compile(&Plan::default());
    let mut history = open(&place);
    keep(&mut history, &plan).expect("kept");
    let sick = (target(ip(ADDRESSES[0])), Some(state(false)));
    wait_for(history.save(&plan, vec![sick.clone()])).expect("kept");
    drop(history);
    assert!(History::fits(&place, MAPS) && !History::fits(&place, MAPS + 1));
    assert_eq!(kept(&place), Some(plan.save()));
    assert_eq!(open(&place).health().get(&sick.0), sick.1.as_ref());
    let mut other = History::open(&place, MAPS + 1).expect("a history");
    assert_eq!(other.saved, None);
    assert_eq!(other.adopt(&Contents::default()), Plan::default());
    let mode = fs::metadata(place.file()).expect("the file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn only_who_gives_out_a_number_waits_for_the_disk() {
    let Some(disk) = SmallDisk::mount(16 << 20) else {
        return;
    };
    let place = place(disk.path());
    let mut world = World::web(&ADDRESSES[..2]);
    let first = world.compile(&Plan::default());
    let mut history = open(&place);
    keep(&mut history, &first).expect("kept");
    disk.fill();

    world.health(ADDRESSES[0], false);
    let sick = world.compile(&first);
    // Ready at once, whatever becomes of it.
    let mut saving = history.save(&sick, vec![large_health()]);
    let mut context = Context::from_waker(Waker::noop());
    assert_eq!(saving.as_mut().poll(&mut context), Poll::Ready(Ok(())));
    eventually("told that the disk is full", || {
        matches!(history.state(), KeeperState::Failing { .. })
    });
    world.group("main", &ADDRESSES);
    let third = world.compile(&sick);
    let error = keep(&mut history, &third).expect_err("a number can't be given out");
    assert!(error.to_string().contains("can't be written"), "{error}");

    disk.free();
    eventually("kept by itself", || history.state() == KeeperState::Keeping);
    keep(&mut history, &third).expect("kept");
    drop(history);
    assert_eq!(kept(&place), Some(third.save()));
}

/// So large that no free page of the file has room for it.
fn large_health() -> (TargetId, Option<HealthState>) {
    let large = HealthState {
        detail: Some("x".repeat(2 << 20)),
        ..state(false)
    };
    (target(ip(ADDRESSES[0])), Some(large))
}

#[test]
fn what_was_wanted_last_is_kept_when_it_ends() {
    let directory = tempfile::tempdir().expect("a directory");
    let place = place(directory.path());
    let mut world = World::web(&ADDRESSES);
    let mut plan = world.compile(&Plan::default());
    let mut history = open(&place);
    keep(&mut history, &plan).expect("kept");
    for round in 0..200 {
        world.health(ADDRESSES[round % 3], round % 2 == 0);
        // Tables that are read no more are free again.
        world.now += 1000;
        plan = world.compile(&plan);
        drop(history.save(&plan, HealthChanges::new()));
    }
    drop(history);
    assert_eq!(kept(&place), Some(plan.save()));
}

#[test]
fn an_older_versions_history_is_taken_over_if_it_is_of_these_maps() {
    let directory = tempfile::tempdir().expect("a directory");
    let place = place(directory.path());
    let plan = World::web(&ADDRESSES).compile(&Plan::default());
    let mut history = open(&place);
    keep(&mut history, &plan).expect("kept");
    drop(history);
    fs::rename(place.file(), place.former_file()).expect("as an older version leaves it");
    assert!(!History::fits(&place, MAPS + 1));
    assert!(place.former_file().exists(), "it is somebody else's");
    assert!(History::fits(&place, MAPS));
    assert!(!place.former_file().exists());
    assert_eq!(kept(&place), Some(plan.save()));
}

#[test]
fn what_is_damaged_is_made_anew() {
    let directory = tempfile::tempdir().expect("a directory");
    let place = place(directory.path());
    let plan = World::web(&ADDRESSES).compile(&Plan::default());
    for damaged in ["", "no database", &"longer than any header. ".repeat(1000)] {
        fs::create_dir_all(&place.runtime_dir).expect("a directory");
        fs::write(place.file(), damaged).expect("writing");
        let mut history = open(&place);
        assert_eq!(history.saved, None);
        keep(&mut history, &plan).expect("kept");
        drop(history);
        assert_eq!(kept(&place), Some(plan.save()));
    }
}

#[test]
fn numbers_are_what_a_later_start_can_mistake() {
    let mut world = World::web(&ADDRESSES[..2]);
    let first = world.compile(&Plan::default());
    let mut gives = |change: &dyn Fn(&mut World)| {
        let before = world.compile(&first);
        change(&mut world);
        world.compile(&before).gives_numbers_beyond(&before, &before)
    };
    assert!(!gives(&|_| ()));
    assert!(!gives(&|world| world.health(ADDRESSES[0], false)));
    assert!(
        !gives(&|world| world.group("main", &ADDRESSES[..1])),
        "an endpoint leaves"
    );
    assert!(gives(&|world| world.group("main", &ADDRESSES)), "endpoints come");
    assert!(gives(&|world| {
        world.service("other");
        world.attach("other", "main", false);
        let ports = Ports::Ranges(vec![(81, 81)]);
        world.rule("other", "192.0.2.2", RuleProtocol::Tcp, ports, "other");
    }));
    assert!(!gives(&|world| world.remove_service("other")));
    assert!(gives(&|world| world.steer(
        "steered",
        "web-tcp",
        &["198.51.100.0/24"],
        "web"
    )));
    assert!(gives(&|world| {
        world.service("web").zonal_affinity = Some(ZonalAffinity::StayWithinZone);
        world.clients("europe-west4-a", &["10.1.0.0/16"]);
    }));
}
