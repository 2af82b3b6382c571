//! Building selection tables: which algorithm, which size, which candidates.

use std::sync::Arc;

use lb_common::maglev::{self, Candidate, Walk};
use lb_common::rendezvous;

use super::members::EndpointId;
use crate::model::LocalityPolicy;

/// What a table depends on: with the same recipe it need not be built again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Recipe {
    is_maglev: bool,
    size: u32,
    /// Sorted by identity, so that the order of the resources plays no part.
    candidates: Vec<Candidate>,
}

impl Recipe {
    /// `configured` is the number of attached endpoints of the larger pool: the size follows the configuration, not
    /// health, because a change of size moves flows.
    pub(super) fn new(locality: LocalityPolicy, configured: usize, mut candidates: Vec<Candidate>) -> Self {
        candidates.sort();
        let is_maglev = matches!(locality, LocalityPolicy::Maglev | LocalityPolicy::WeightedMaglev);
        let size = if is_maglev {
            maglev::size_for(configured)
        } else {
            rendezvous::size_for(configured)
        };
        Self {
            is_maglev,
            size,
            candidates,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.candidates.is_empty()
    }

    pub(super) fn build(&self) -> Arc<[u32]> {
        let mut table = vec![0; self.size as usize];
        if self.is_maglev {
            let mut walks = vec![Walk::default(); self.candidates.len()];
            maglev::build(&self.candidates, &mut table, &mut walks);
        } else {
            rendezvous::build(&self.candidates, &mut table);
        }
        table.into()
    }
}

/// The identity of an endpoint in table builds, the same on every host that has the seed.
pub(super) fn identity(seed: u128, endpoint: &EndpointId) -> u64 {
    let instance = endpoint.instance.as_deref().unwrap_or_default();
    let name = format!("{}\0{}\0{instance}", endpoint.group, endpoint.address);
    lb_common::hash::identity(seed, name.as_bytes())
}
