//! The demonstration that `cargo xtask demo` shows: what a load balancer promises, seen from its client.

mod crowd;
mod promises;
mod screen;
mod story;

use self::crowd::Crowd;
use self::promises::Promises;
use self::screen::Screen;
use self::story::Story;
use crate::daemon::Daemon;
use crate::topology::{BACKENDS, Lab};
use crate::traffic::backend::Backend;

const DOCUMENT: &str = include_str!("../../demo/shop.json");

/// Tells the whole story; true when every promise was kept.
pub fn run(plain: bool) -> bool {
    let mut screen = Screen::new(plain);
    screen.say("making a laboratory: a client, the balancer, three primary backends and a failover backend");
    let lab = Lab::flat("demo");
    let backends = Backend::all(&lab, &BACKENDS);
    screen.say("starting `lb-ctl run` on tests/demo/shop.json");
    let daemon = Daemon::start_with(&lab, DOCUMENT);
    for name in BACKENDS {
        daemon.wait_for_health(name, true);
    }
    let mut story = Story {
        crowd: Crowd::gather(lab.client()),
        daemon: &daemon,
        lab: &lab,
        backends: backends
            .into_iter()
            .map(|backend| (backend.name.clone(), backend))
            .collect(),
        promises: Promises::default(),
        screen,
    };
    story.tell();
    story.end()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_names_the_laboratorys_hosts() {
        for name in BACKENDS {
            assert!(
                DOCUMENT.contains(&format!("\"instance\": \"{name}\"")),
                "{name} is missing"
            );
        }
        assert!(DOCUMENT.contains(&crate::topology::VIP4.to_string()));
    }
}
