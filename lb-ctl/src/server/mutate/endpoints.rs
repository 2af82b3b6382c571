//! `attachNetworkEndpoints` and `detachNetworkEndpoints`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde_json::Value;

use super::members::{Positions, asked, members, with_members};
use super::write::Written;
use super::{Mutation, Object, SOURCE, fault};
use crate::resources::{Kind, member_faults};
use crate::server::error::ApiResult;

const FIELD: &str = "networkEndpoints";

/// What tells one endpoint of a group from another, as far as it is said.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Identity {
    /// Without the URL before it.
    instance: Option<String>,
    ipv4: Option<IpAddr>,
    ipv6: Option<IpAddr>,
    port: Option<i64>,
}

/// One thing by which endpoints are found.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Address(IpAddr),
    Instance(String),
}

impl Identity {
    fn of(endpoint: &Value) -> Self {
        let text = |field: &str| endpoint[field].as_str();
        let address = |field: &str| text(field).and_then(|text| text.parse().ok());
        let instance = text("instance").and_then(|text| text.rsplit('/').next());
        Self {
            instance: instance.map(str::to_owned),
            ipv4: address("ipAddress"),
            ipv6: address("ipv6Address"),
            port: endpoint["port"].as_i64(),
        }
    }

    fn names_something(&self) -> bool {
        self.keys().next().is_some()
    }

    /// The most telling first.
    fn keys(&self) -> impl Iterator<Item = Key> {
        let addresses = self.ipv4.into_iter().chain(self.ipv6).map(Key::Address);
        addresses.chain(self.instance.clone().map(Key::Instance))
    }

    /// Whether everything said is true of the other.
    fn names(&self, other: &Self) -> bool {
        fn fits<T: PartialEq>(said: &Option<T>, is: &Option<T>) -> bool {
            said.is_none() || said == is
        }
        fits(&self.instance, &other.instance)
            && fits(&self.ipv4, &other.ipv4)
            && fits(&self.ipv6, &other.ipv6)
            && fits(&self.port, &other.port)
    }
}

/// The endpoints of a group, by what a request may say of them.
struct Attached {
    identities: Vec<Identity>,
    by_key: BTreeMap<Key, Vec<usize>>,
}

impl Attached {
    fn new(endpoints: &[Value]) -> Self {
        let identities: Vec<Identity> = endpoints.iter().map(Identity::of).collect();
        let mut by_key: BTreeMap<Key, Vec<usize>> = BTreeMap::new();
        for (k, identity) in identities.iter().enumerate() {
            for key in identity.keys() {
                by_key.entry(key).or_default().push(k);
            }
        }
        Self { identities, by_key }
    }

    fn named_by(&self, named: &Identity) -> Vec<usize> {
        let candidates = named.keys().next().and_then(|key| self.by_key.get(&key));
        let candidates = candidates.into_iter().flatten().copied();
        candidates.filter(|k| named.names(&self.identities[*k])).collect()
    }
}

/// The endpoints of the request are added to those that are there; one that is there as it is already stays.
pub(super) fn attach(mutation: &Mutation, stored: &Object, body: &Object) -> ApiResult<Written> {
    let (asked, mut faults) = asked(body, FIELD);
    let mut endpoints = members(stored, FIELD);
    let attached: BTreeMap<Identity, usize> = endpoints.iter().map(Identity::of).zip(0..).collect();
    let mut seen = BTreeMap::new();
    let mut positions = Positions::new(FIELD, endpoints.len(), mutation.target.name());
    for (i, endpoint) in asked.iter().enumerate() {
        let identity = Identity::of(endpoint);
        if let Some(first) = seen.get(&identity).filter(|_| identity.names_something()) {
            let at = format!("{FIELD}[{i}]");
            faults.push(fault(
                &at,
                Some(endpoint),
                format!("is the same endpoint as {FIELD}[{first}]"),
            ));
            continue;
        }
        if attached
            .get(&identity)
            .is_none_or(|k| plain(&endpoints[*k]) != plain(endpoint))
        {
            endpoints.push(endpoint.clone());
            positions.push(i);
        }
        seen.insert(identity, i);
    }
    Ok(Written {
        positions: Some(positions),
        ..Written::new(with_members(stored, FIELD, endpoints), faults)
    })
}

/// With the instance as its name alone.
fn plain(endpoint: &Value) -> Value {
    let mut plain = endpoint.clone();
    if let (Some(name), Some(instance)) = (Identity::of(endpoint).instance, plain.get_mut("instance")) {
        *instance = name.into();
    }
    plain
}

/// What is detached gets no new connections; those under way go on as the service's draining says.
pub(super) fn detach(stored: &Object, body: &Object) -> ApiResult<Written> {
    let (asked, mut faults) = asked(body, FIELD);
    faults.extend(member_faults(
        Kind::NetworkEndpointGroup,
        &asked.clone().into(),
        SOURCE,
    ));
    let endpoints = members(stored, FIELD);
    let attached = Attached::new(&endpoints);
    let mut gone: BTreeMap<usize, usize> = BTreeMap::new();
    for (i, endpoint) in asked.iter().enumerate() {
        let at = format!("{FIELD}[{i}]");
        if faults.iter().any(|fault| fault.field.starts_with(&at)) {
            continue;
        }
        let named = Identity::of(endpoint);
        let why = match attached.named_by(&named).as_slice() {
            _ if !named.names_something() => "names no endpoint: set instance or ipAddress".to_owned(),
            [] => "no such endpoint is attached".to_owned(),
            [only] => match gone.insert(*only, i) {
                None => continue,
                Some(first) => format!("is the same endpoint as {FIELD}[{first}]"),
            },
            several => format!("names {} attached endpoints: set ipAddress, too", several.len()),
        };
        faults.push(fault(&at, Some(endpoint), why));
    }
    let gone: BTreeSet<usize> = gone.into_keys().collect();
    let rest = endpoints
        .into_iter()
        .enumerate()
        .filter(|(k, _)| !gone.contains(k));
    let rest = rest.map(|(_, endpoint)| endpoint).collect();
    Ok(Written::new(with_members(stored, FIELD, rest), faults))
}
