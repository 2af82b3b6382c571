//! Which services' tables are being built, and what was known when that began.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::{Config, ResourcePath};
use crate::net::NextHops;
use crate::plan::{HealthMap, Ways};

#[derive(Default)]
pub(super) struct Builds(BTreeMap<ResourcePath, Begun>);

pub(super) struct Begun {
    pub(super) health: HealthMap,
    pub(super) next_hops: Arc<NextHops>,
    pub(super) ways: Arc<Ways>,
    pub(super) config: Arc<Config>,
}

impl Builds {
    pub(super) fn is_for(&self, service: &ResourcePath) -> bool {
        self.0.contains_key(service)
    }

    pub(super) fn are_any(&self) -> bool {
        !self.0.is_empty()
    }

    pub(super) fn begin(
        &mut self,
        service: ResourcePath,
        health: &HealthMap,
        next_hops: &Arc<NextHops>,
        ways: &Arc<Ways>,
        config: &Arc<Config>,
    ) {
        let begun = Begun {
            health: health.clone(),
            next_hops: next_hops.clone(),
            ways: ways.clone(),
            config: config.clone(),
        };
        self.0.insert(service, begun);
    }

    pub(super) fn end(&mut self, service: &ResourcePath) -> Option<Begun> {
        self.0.remove(service)
    }
}
