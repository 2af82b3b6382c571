//! `migrate`: what is pinned, and the history of it, as an older version knows them.

use std::path::PathBuf;

use anyhow::{Context as _, bail};

use crate::controller::HistoryPlace;
use crate::dataplane::PinDirectory;
use crate::dataplane::migrate::{self, Step};
use crate::resources::{DatabaseStore, ResourceStore as _};

/// Where the daemon has run that is given back.
#[derive(Clone, Debug)]
pub struct GivenBack {
    pub state_dir: PathBuf,
    pub runtime_dir: PathBuf,
    pub pin_dir: PathBuf,
}

/// Needs that no daemon runs there.
pub fn give_back(places: &GivenBack) -> anyhow::Result<()> {
    give_back_until(places, &mut |_| Ok(()))
}

/// The same, told each step; an error ends it there.
pub fn give_back_until(places: &GivenBack, at: migrate::AtStep<'_>) -> anyhow::Result<()> {
    if !places.pin_dir.exists() {
        bail!("nothing is pinned: there is no {}", places.pin_dir.display());
    }
    let store = DatabaseStore::open(&places.state_dir)?;
    let pins = PinDirectory::new(&places.pin_dir);
    let mut taken = pins.take()?;
    pins.refuse_unknown_layouts()?;
    if let Some(pinned) = pins.pinned()?
        && let Some(theirs) = pinned.store.filter(|id| *id != store.id())
    {
        bail!(
            "what is pinned in {} is of the store {theirs}, and {} is the store {}; give the state directory of the \
             daemon that has run",
            places.pin_dir.display(),
            places.state_dir.display(),
            store.id()
        );
    }
    let history = HistoryPlace {
        runtime_dir: places.runtime_dir.clone(),
        state_dir: places.state_dir.clone(),
        store: store.id(),
    };
    let mut keep = |from, to| {
        let given = history.give_back(from, to);
        given.context("giving the history back; give the --runtime-dir of the daemon that has run")
    };
    let mut at = |step| {
        at(step)?;
        match step {
            // From here on it is worth keeping, also if the rest fails.
            Step::Merged => taken.keep_so_far(),
            _ => Ok(()),
        }
    };
    migrate::give_back(&pins, &mut keep, &mut at)?;
    history.forget();
    taken.keep();
    Ok(())
}
