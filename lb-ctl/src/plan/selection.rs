//! Selection tables: where they come from, and where they lie.

use std::collections::BTreeMap;
use std::sync::Arc;

use lb_common::layout::Selection;

use super::compile::Space;
use super::members::EndpointId;
use super::pending::{BuiltTables, Pending, Wanted};
use super::recipe::{Made, Recipe, TableBuild};
use super::regions::Region;

/// A table and its place in the array of all tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) region: Region,
    pub(super) slots: Arc<[u32]>,
    /// Absent when the table was read back from the kernel.
    recipe: Option<Arc<Recipe>>,
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

    fn made(&self) -> Option<Made> {
        Some(Made {
            recipe: self.recipe.clone()?,
            slots: self.slots.clone(),
        })
    }
}

/// The tables of one service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tables {
    pub(super) own: Option<Table>,
    /// By zone number; clients of other zones see the service's own table.
    pub(super) zones: BTreeMap<u32, Table>,
}

impl Tables {
    pub(super) fn iter(&self) -> impl Iterator<Item = &Table> {
        self.own.iter().chain(self.zones.values())
    }

    fn get(&self, place: Place) -> Option<&Table> {
        match place {
            Place::Own => self.own.as_ref(),
            Place::Zone(zone) => self.zones.get(&zone),
        }
    }
}

/// Which of a service's tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Own,
    Zone(u32),
}

/// Where a table comes from.
enum Source {
    Made(Made),
    /// To be built here and now, or by somebody else.
    Build(TableBuild),
}

/// Where tables may lie, what they may be made of, and whose they are.
pub(super) struct Shelf<'a> {
    pub(super) space: &'a mut Space,
    pub(super) capacity: u32,
    pub(super) now: u32,
    /// The service's number.
    pub(super) service: u32,
    pub(super) built: &'a BuiltTables,
    /// Nanoseconds that are left for builds.
    pub(super) work: &'a mut u64,
}

impl Shelf<'_> {
    /// The tables that are wanted, all of them or none: those that are there if they are that already, else new ones in
    /// other places. `earlier` is what was wanted before: what was built for it is a good beginning.
    pub(super) fn obtain(
        &mut self,
        present: &Tables,
        wanted: &Wanted,
        earlier: Option<&Wanted>,
    ) -> Result<Tables, Pending> {
        let own = wanted.own.iter().map(|recipe| (Place::Own, recipe));
        let zones = wanted
            .zones
            .iter()
            .map(|(zone, recipe)| (Place::Zone(*zone), recipe));
        let sources: Vec<(Place, Source)> = own
            .chain(zones)
            .map(|(place, recipe)| (place, self.source(present.get(place), place, recipe, earlier)))
            .collect();
        let made = self.build(sources)?;
        self.place(present, made)
    }

    fn source(
        &self,
        present: Option<&Table>,
        place: Place,
        recipe: &Arc<Recipe>,
        earlier: Option<&Wanted>,
    ) -> Source {
        let present = present.and_then(Table::made);
        if let Some(made) = present.as_ref().filter(|made| made.recipe == *recipe) {
            return Source::Made(made.clone());
        }
        if let Some(made) = self.built.get(recipe) {
            return Source::Made(made);
        }
        let earlier = earlier.and_then(|earlier| match place {
            Place::Own => earlier.own.as_ref(),
            Place::Zone(zone) => earlier.zones.get(&zone),
        });
        let before = earlier.and_then(|earlier| self.built.get(earlier)).or(present);
        Source::Build(TableBuild::new(recipe.clone(), before))
    }

    /// Builds what is cheap; else the builds that somebody else has to make.
    fn build(&mut self, sources: Vec<(Place, Source)>) -> Result<Vec<(Place, Made)>, Pending> {
        let builds = sources.iter().filter_map(|(_, source)| match source {
            Source::Made(_) => None,
            Source::Build(build) => Some(build),
        });
        let cost = builds.clone().map(TableBuild::cost).fold(0, u64::saturating_add);
        if cost > *self.work {
            return Err(Pending::Build(builds.cloned().collect()));
        }
        *self.work -= cost;
        let make = |(place, source)| match source {
            Source::Made(made) => (place, made),
            Source::Build(build) => (place, build.run().0),
        };
        Ok(sources.into_iter().map(make).collect())
    }

    /// A table with the slots that are there stays where it is. There are never more than two of one place: while
    /// packets may read the one before, there is no third.
    fn place(&mut self, present: &Tables, made: Vec<(Place, Made)>) -> Result<Tables, Pending> {
        let stays = |place: Place, made: &Made| {
            present
                .get(place)
                .filter(|table| table.slots == made.slots)
                .map(|table| table.region)
        };
        let new = made.iter().filter(|(place, made)| stays(*place, made).is_none());
        let slots = new.map(|(_, made)| made.recipe.size()).sum();
        if slots > 0 && self.space.retired.has(self.service) {
            return Err(Pending::Space { slots });
        }
        let before = self.space.regions.clone();
        let mut tables = Tables::default();
        for (place, made) in made {
            let region =
                stays(place, &made).or_else(|| self.space.regions.take(made.recipe.size(), self.capacity));
            let Some(region) = region else {
                self.space.regions = before;
                return Err(Pending::Space { slots });
            };
            let table = Table {
                region,
                slots: made.slots,
                recipe: Some(made.recipe),
            };
            match place {
                Place::Own => tables.own = Some(table),
                Place::Zone(zone) => drop(tables.zones.insert(zone, table)),
            }
        }
        let kept: Vec<Region> = tables.iter().map(|table| table.region).collect();
        let gone = present.iter().filter(|table| !kept.contains(&table.region));
        for table in gone {
            self.space.retired.add(self.service, table.region, self.now);
        }
        Ok(tables)
    }
}

/// The identity of an endpoint in table builds, the same on every host that has the seed.
pub(super) fn identity(seed: u128, endpoint: &EndpointId) -> u64 {
    let instance = endpoint.instance.as_deref().unwrap_or_default();
    let name = format!("{}\0{}\0{instance}", endpoint.group, endpoint.address);
    lb_common::hash::identity(seed, name.as_bytes())
}
