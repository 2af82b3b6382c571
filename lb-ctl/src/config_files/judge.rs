//! What files make of the stored resources.

use std::collections::BTreeSet;

use super::ConfigFiles;
use crate::model::ResourcePath;
use crate::resources::{
    self, Applied, Document, Fault, FaultKind, Mode, Owners, Resources, Scope, TableRoom,
};

/// The resources as the files will have them, and which file owns which.
#[derive(Clone, Debug)]
pub struct FromFiles {
    pub applied: Applied,
    pub owners: Owners,
    /// What a file defined and defines no more.
    pub dropped: BTreeSet<ResourcePath>,
}

/// Every fault, or the next resources. What a file among `files` owned and no file defines any more goes, unless
/// something that stays uses it. What a file owned that was not given this time stays, and belongs to nobody.
pub fn judge(
    resources: &Resources,
    owners: &Owners,
    files: &ConfigFiles,
    documents: &[Document],
    scope: &Scope,
    room: &TableRoom,
) -> Result<FromFiles, Vec<Fault>> {
    let defined = resources::sources(documents, scope);
    let is_dropped = |(path, file): &(&ResourcePath, &String)| {
        !defined.contains_key(*path) && files.includes(file) && resources.get(path).is_some()
    };
    let dropped: BTreeSet<ResourcePath> = owners
        .iter()
        .filter(is_dropped)
        .map(|(path, _)| path.clone())
        .collect();
    let stays = |user: &ResourcePath| !dropped.contains(user) && !defined.contains_key(user);
    let mut faults: Vec<Fault> = dropped
        .iter()
        .filter_map(|path| {
            let user = resources.used_by(path).into_iter().find(stays)?;
            Some(in_use(path, &owners[path], &user))
        })
        .collect();
    let is_consequence = |fault: &Fault| !dropped.is_empty() && fault.source == "stored";
    let rest = resources.without(&dropped);
    let applied = match rest.apply_within(documents, scope, Mode::Additive, jiff::Timestamp::now(), room) {
        Ok(applied) if faults.is_empty() => applied,
        Ok(_) => return Err(faults),
        Err(found) if faults.is_empty() => return Err(found),
        Err(found) => {
            faults.extend(found.into_iter().filter(|fault| !is_consequence(fault)));
            return Err(faults);
        }
    };
    Ok(FromFiles {
        owners: applied.sources.clone(),
        applied,
        dropped,
    })
}

fn in_use(path: &ResourcePath, file: &str, user: &ResourcePath) -> Fault {
    let reason = format!("{file} does not define it any more, but '{user}' still uses it");
    Fault::of_resource(path, FaultKind::ResourceInUse, reason)
}
