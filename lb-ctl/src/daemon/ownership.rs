//! Whether what is pinned was made for the resources that this run holds.

use std::path::Path;

use crate::dataplane::Pinned;
use crate::resources::StoreId;

/// Whose the pinned maps are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ownership {
    /// Nothing forwards by what is pinned, if anything is.
    New,
    /// They were written from this store.
    Ours,
    /// They were written from another store, or nobody knows from which.
    Foreign { store: Option<StoreId> },
}

impl Ownership {
    /// `fits`: whether a history of ours is of these maps. Maps of an older version do not say from which store they are.
    pub(super) fn of(pinned: Option<&Pinned>, ours: StoreId, fits: impl FnOnce(u32) -> bool) -> Self {
        match pinned {
            None => Self::New,
            Some(Pinned { store: Some(id), .. }) if *id == ours => Self::Ours,
            Some(Pinned {
                store: None,
                incarnation,
                ..
            }) if fits(*incarnation) => Self::Ours,
            Some(Pinned { store, .. }) => Self::Foreign { store: *store },
        }
    }

    /// Why nothing may be changed; nothing if all may.
    pub(super) fn refusal(&self, pin_dir: &Path, state_dir: &Path, ours: StoreId) -> Option<String> {
        let Self::Foreign { store } = self else {
            return None;
        };
        let theirs = match store {
            Some(id) => format!("those of the store {id}"),
            None => "unknown".to_owned(),
        };
        Some(format!(
            "packets are forwarded by what is pinned in {}, whose resources are {theirs}, and not those of {} (store {ours}): \
             nothing is changed until the state directory that it was made from is back, or lb-ctl is started with \
             --discard-pinned, which begins anew with the resources that are here",
            pin_dir.display(),
            state_dir.display(),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataplane::Sizes;

    const OURS: [u64; 2] = [1, 2];
    const THEIRS: [u64; 2] = [1, 3];

    #[test]
    fn maps_are_ours_by_their_store_or_by_the_history() {
        let id = |words| StoreId::from_words(words).expect("no zero");
        let pinned = |words: [u64; 2]| Pinned {
            store: StoreId::from_words(words),
            incarnation: 7,
            sizes: Sizes::default(),
        };
        let foreign = |store| Ownership::Foreign { store };
        let table = [
            (None, false, Ownership::New),
            (Some(pinned(OURS)), false, Ownership::Ours),
            (Some(pinned(OURS)), true, Ownership::Ours),
            (Some(pinned(THEIRS)), true, foreign(Some(id(THEIRS)))),
            (Some(pinned([0, 0])), true, Ownership::Ours),
            (Some(pinned([0, 0])), false, foreign(None)),
        ];
        for (pinned, fits, expected) in table {
            let found = Ownership::of(pinned.as_ref(), id(OURS), |incarnation| {
                assert_eq!(incarnation, 7);
                fits
            });
            assert_eq!(found, expected, "{pinned:?}");
            let told = found.refusal(Path::new("/pins"), Path::new("/state"), id(OURS));
            assert_eq!(told.is_some(), matches!(found, Ownership::Foreign { .. }));
            assert!(told.is_none_or(|told| told.contains("--discard-pinned") && told.contains("/state")));
        }
    }
}
