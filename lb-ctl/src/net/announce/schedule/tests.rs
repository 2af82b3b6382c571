use std::net::Ipv4Addr;

use super::*;

fn ranges(count: u32) -> BTreeSet<VipRange> {
    let address = |n| Ipv4Addr::from(0x0a00_0000 + n);
    (0..count).map(|n| VipRange::host(address(n).into())).collect()
}

/// Runs the schedule until `end`, and gives what was done when.
fn run(schedule: &mut Schedule, end: Instant) -> Vec<(Instant, Job, VipRange)> {
    let mut done = Vec::new();
    while let Some(next) = schedule.next().filter(|next| *next <= end) {
        let jobs = schedule.take(next);
        done.extend(jobs.into_iter().map(|(job, range)| (next, job, range)));
    }
    done
}

#[test]
fn a_new_address_is_announced_three_times_and_asked_for_every_minute() {
    let now = Instant::now();
    let mut schedule = Schedule::new(now);
    let range = *ranges(1).first().unwrap();
    schedule.begin(range, now);
    let done = run(&mut schedule, now + Duration::from_secs(300));
    let begun: Vec<u64> = done
        .iter()
        .filter(|(_, job, _)| *job == Job::Begin)
        .map(|(at, ..)| (*at - now).as_secs())
        .collect();
    assert_eq!(begun, [0, 1, 2]);
    let asked: Vec<Instant> = done
        .iter()
        .filter(|(_, job, _)| *job == Job::Ask)
        .map(|(at, ..)| *at)
        .collect();
    assert!(asked[0] >= now + ASK_INTERVAL / 2 && asked[0] <= now + ASK_INTERVAL);
    assert!(asked.windows(2).all(|pair| pair[1] - pair[0] == ASK_INTERVAL));
    assert!(asked.len() >= 4);
    assert_eq!(done.len(), begun.len() + asked.len());
}

#[test]
fn thousands_of_addresses_are_announced_without_a_burst_and_the_new_ones_first() {
    let now = Instant::now();
    let mut schedule = Schedule::new(now);
    let all = ranges(2_000);
    for range in &all {
        schedule.begin(*range, now);
    }
    let done = run(&mut schedule, now + Duration::from_secs(180));
    for window in done.windows(BATCH + 1) {
        let (first, last) = (window[0].0, window[BATCH].0);
        assert!(last - first >= BATCH_PAUSE, "{first:?} {last:?}");
    }
    let firsts: BTreeSet<VipRange> = done.iter().take(2_000).map(|(_, _, range)| *range).collect();
    assert_eq!(firsts, all, "each once before any twice");
    let of = |job| done.iter().filter(move |(_, of, _)| *of == job);
    assert_eq!(of(Job::Begin).count(), 6_000);
    // A minute has its share of the questions, in each of its seconds.
    let minute = now + Duration::from_secs(100);
    for second in 0..30 {
        let from = minute + Duration::from_secs(second);
        let asked = of(Job::Ask)
            .filter(|(at, ..)| *at >= from && *at < from + Duration::from_secs(1))
            .count();
        assert!(asked < 200, "{asked} in second {second}");
    }
}

#[test]
fn what_is_not_answered_for_any_more_is_forgotten() {
    let now = Instant::now();
    let mut schedule = Schedule::new(now);
    let all = ranges(10);
    schedule.set_repeat(Some(Duration::from_secs(5)), &all, now);
    for range in &all {
        schedule.begin(*range, now);
    }
    schedule.retain(&BTreeSet::new());
    assert_eq!(schedule.next(), None);
    assert!(schedule.moments.is_empty() && schedule.left.is_empty());
}

#[test]
fn repeats_begin_and_end_with_the_setting() {
    let now = Instant::now();
    let mut schedule = Schedule::new(now);
    let all = ranges(1);
    let range = *all.first().unwrap();
    schedule.begin(range, now);
    let end = now + Duration::from_secs(29);
    assert!(
        run(&mut schedule, end)
            .iter()
            .all(|(_, job, _)| *job != Job::Repeat)
    );
    schedule.set_repeat(Some(Duration::from_secs(2)), &all, end);
    let repeats =
        |done: Vec<(Instant, Job, VipRange)>| done.iter().filter(|(_, job, _)| *job == Job::Repeat).count();
    assert_eq!(repeats(run(&mut schedule, end + Duration::from_secs(21))), 10);
    schedule.set_repeat(None, &all, end + Duration::from_secs(21));
    assert_eq!(repeats(run(&mut schedule, end + Duration::from_secs(99))), 0);
}

#[test]
fn what_failed_is_done_again_and_an_address_is_defended_once() {
    let now = Instant::now();
    let mut schedule = Schedule::new(now);
    let range = *ranges(1).first().unwrap();
    schedule.begin(range, now);
    assert_eq!(schedule.take(now), [(Job::Begin, range)]);
    schedule.again(Job::Begin, range, now);
    let begun = run(&mut schedule, now + Duration::from_secs(10));
    assert_eq!(begun.len(), 3, "the failed one does not count: {begun:?}");
    let later = now + Duration::from_secs(11);
    schedule.announce_once(range, later);
    assert_eq!(run(&mut schedule, later), [(later, Job::Repeat, range)]);
}
