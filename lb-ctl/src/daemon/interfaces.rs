//! The interfaces that a start names: all that is wrong of them at once, before anything is made or changed.

use anyhow::bail;

use crate::dataplane::migrate;
use crate::dataplane::{self, PinDirectory};
use crate::net::{Link, Links, NetError};

pub(super) async fn named(names: &[String], pins: &PinDirectory) -> anyhow::Result<Vec<Link>> {
    let links = Links::new()?;
    let (mut found, mut faults) = (Vec::new(), Vec::new());
    for name in names {
        match links.by_name(name).await {
            Ok(link) => match link.unbalanceable().or_else(|| foreign_program(&link, pins)) {
                Some(fault) => faults.push(fault),
                None => found.push(link),
            },
            Err(error @ NetError::InterfaceMissing { .. }) => faults.push(error.to_string()),
            Err(error) => return Err(error.into()),
        }
    }
    if !faults.is_empty() {
        bail!("{}", faults.join("; "));
    }
    Ok(found)
}

fn foreign_program(link: &Link, pins: &PinDirectory) -> Option<String> {
    let xdp = link
        .xdp
        .first()
        .filter(|_| !migrate::has_link(pins, link.index))?;
    let name = dataplane::program_name(xdp.program_id).unwrap_or_else(|| "without a name".to_owned());
    Some(format!(
        "interface {} already carries an XDP program that is not ours ({name}, id {}); detach that one first",
        link.name, xdp.program_id
    ))
}
