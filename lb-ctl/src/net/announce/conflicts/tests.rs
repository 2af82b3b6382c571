use super::*;

const MAC: MacAddr = [2, 0, 0, 0, 0, 9];

fn vip(last: u8) -> IpAddr {
    IpAddr::from([192, 0, 2, last])
}

fn watch(ifindex: u32) -> (Watch, watch::Receiver<Arc<Conflicts>>) {
    let all = Arc::new(watch::Sender::new(Arc::default()));
    let receiver = all.subscribe();
    (Watch::new(ifindex, Family::Ipv4, all), receiver)
}

#[test]
fn a_claim_is_told_once_and_ends_three_rounds_after_the_last_one() {
    let (mut watch, mut told) = watch(3);
    let start = Instant::now();
    assert!(watch.on_claim(vip(1), MAC, Claim::Announced, start), "defended");
    assert!(told.has_changed().unwrap());
    let known = told.borrow_and_update().clone();
    let (key, conflict) = known.first_key_value().unwrap();
    assert_eq!((key.ifindex, key.address, key.mac), (3, vip(1), MAC));
    assert_eq!(conflict.claim, Claim::Announced);

    let soon = start + Duration::from_secs(1);
    assert!(
        !watch.on_claim(vip(1), MAC, Claim::AskedInItsName, soon),
        "not defended in haste"
    );
    assert!(!told.has_changed().unwrap(), "nothing new to tell");
    let last = start + Duration::from_secs(20);
    assert!(
        watch.on_claim(vip(1), MAC, Claim::Answered, last),
        "defended again"
    );
    assert!(told.has_changed().unwrap());
    assert_eq!(
        told.borrow_and_update().values().next().unwrap().claim,
        Claim::Answered
    );

    assert_eq!(watch.next_end(), Some(last + LIFETIME));
    watch.end(last + 3 * ASK_INTERVAL, |_| true);
    assert_eq!(told.borrow().len(), 1);
    watch.end(last + LIFETIME, |_| true);
    assert!(told.borrow().is_empty());
    assert_eq!(watch.next_end(), None);
}

#[test]
fn what_is_answered_for_no_more_is_no_conflict() {
    let (mut watch, told) = watch(3);
    let now = Instant::now();
    for last in [1, 2] {
        watch.on_claim(vip(last), MAC, Claim::Answered, now);
    }
    watch.end(now, |address| address == vip(2));
    let known = told.borrow().clone();
    assert_eq!(known.keys().map(|key| key.address).collect::<Vec<_>>(), [vip(2)]);
}

#[test]
fn each_interface_and_family_tells_of_its_own() {
    let all = Arc::new(watch::Sender::new(Arc::default()));
    let told = all.subscribe();
    let watch = |ifindex, family| Watch::new(ifindex, family, all.clone());
    let (mut first, mut second) = (watch(3, Family::Ipv4), watch(4, Family::Ipv4));
    let mut six = watch(3, Family::Ipv6);
    let now = Instant::now();
    first.on_claim(vip(1), MAC, Claim::Answered, now);
    second.on_claim(vip(1), MAC, Claim::Answered, now);
    six.on_claim("2001:db8::1".parse().unwrap(), MAC, Claim::Answered, now);
    assert_eq!(told.borrow().len(), 3);
    drop(first);
    let left: Vec<_> = told
        .borrow()
        .keys()
        .map(|key| (key.ifindex, key.address.is_ipv4()))
        .collect();
    assert_eq!(left, [(3, false), (4, true)]);
}

#[test]
fn forged_claims_fill_no_memory() {
    let (mut watch, told) = watch(3);
    let now = Instant::now();
    for n in 0..1_000u16 {
        let [high, low] = n.to_be_bytes();
        watch.on_claim(vip(1), [2, 0, 0, 0, high, low], Claim::Answered, now);
    }
    assert_eq!(told.borrow().len(), MOST);
}
