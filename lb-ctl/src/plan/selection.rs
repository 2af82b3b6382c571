//! Selection tables: which algorithm, which size, which candidates, and where they lie.

use std::sync::Arc;

use lb_common::layout::Selection;

use lb_common::maglev::{self, Candidate, Walk};
use lb_common::rendezvous;

use super::compile::{PlanError, Space};
use super::members::EndpointId;
use super::regions::Region;
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

/// A table and its place in the array of all tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) region: Region,
    pub(super) slots: Arc<[u32]>,
    /// Absent when the table was read back from the kernel.
    recipe: Option<Recipe>,
}

impl Table {
    /// A table that the kernel holds.
    pub(super) fn held(region: Region, slots: Arc<[u32]>) -> Self {
        Self {
            region,
            slots,
            recipe: None,
        }
    }

    pub(super) fn selection(&self) -> Selection {
        Selection {
            offset: self.region.offset,
            size: self.region.size,
        }
    }
}

/// Where tables may lie, until when those that are replaced are left alone, and whose they are.
pub(super) struct Shelf<'a> {
    pub(super) space: &'a mut Space,
    pub(super) capacity: u32,
    pub(super) now: u32,
    pub(super) service: &'a dyn std::fmt::Display,
}

impl Shelf<'_> {
    /// The table of a recipe: the one that is there if it is that already, else a new one in another place. None for
    /// the empty set.
    pub(super) fn table(
        &mut self,
        present: Option<Table>,
        recipe: Recipe,
    ) -> Result<Option<Table>, PlanError> {
        if recipe.is_empty() {
            self.retire(present);
            return Ok(None);
        }
        if present
            .as_ref()
            .is_some_and(|table| table.recipe.as_ref() == Some(&recipe))
        {
            return Ok(present);
        }
        let slots = recipe.build();
        let recipe = Some(recipe);
        if let Some(table) = present.as_ref().filter(|table| table.slots == slots) {
            return Ok(Some(Table {
                recipe,
                ..table.clone()
            }));
        }
        let region = self.take(slots.len() as u32)?;
        self.retire(present);
        Ok(Some(Table {
            region,
            slots,
            recipe,
        }))
    }

    fn take(&mut self, size: u32) -> Result<Region, PlanError> {
        let region = self.space.regions.take(size, self.capacity);
        region.ok_or_else(|| PlanError::Tables {
            service: self.service.to_string(),
            size,
            capacity: self.capacity,
        })
    }

    pub(super) fn retire(&mut self, table: Option<Table>) {
        self.space.retire(table.map(|table| table.region), self.now);
    }
}

/// The identity of an endpoint in table builds, the same on every host that has the seed.
pub(super) fn identity(seed: u128, endpoint: &EndpointId) -> u64 {
    let instance = endpoint.instance.as_deref().unwrap_or_default();
    let name = format!("{}\0{}\0{instance}", endpoint.group, endpoint.address);
    lb_common::hash::identity(seed, name.as_bytes())
}
