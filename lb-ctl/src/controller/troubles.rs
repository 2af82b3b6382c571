//! What is not as it should be, and since when: logged once, shown by `status` until it is mended.

use std::collections::BTreeMap;

use tokio::time::Instant;

use crate::views;

/// What can be in trouble, with what is said when it is well again.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Subject {
    /// The maps don't hold what they should.
    Maps,
    /// A part of the configuration does not fit the maps.
    Plan,
    /// The store of resources.
    Store,
    /// What was found in it.
    Stored,
    /// What is kept of numbers and health for the next start.
    History,
    /// `detach` was asked for.
    Detached,
    /// The pinned state is that of another store.
    Ownership,
    /// One interface's attachment.
    Interface(String),
    /// Endpoints that no frame can leave towards, by the device that is in the way.
    Way(String),
    /// Interfaces on which nobody can tell whom a frame is for.
    Arrivals,
    /// What is known of links, addresses and routes.
    Network,
    /// VIPs that can't be answered for.
    Vips,
    /// The way that health probes to VIPs leave by.
    Probes,
}

impl Subject {
    fn mended(&self) -> String {
        match self {
            Self::Maps => "the kernel's maps hold what they should again".to_owned(),
            Self::Plan => "everything that is configured fits again".to_owned(),
            Self::Store => "the store can be written again".to_owned(),
            Self::Stored => "everything that is stored has an effect again".to_owned(),
            Self::History => "the history can be written again".to_owned(),
            Self::Detached => "packets are forwarded again".to_owned(),
            Self::Ownership => "the pinned state is this store's".to_owned(),
            Self::Interface(name) => format!("{name} is balanced again"),
            Self::Way(device) => format!("no endpoint is undeliverable by {device} any more"),
            Self::Arrivals => "whom frames are for is judged on every interface again".to_owned(),
            Self::Network => "links, addresses and routes are followed again".to_owned(),
            Self::Vips => "all VIPs are answered for again".to_owned(),
            Self::Probes => "health probes to VIPs can leave again".to_owned(),
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Troubles(BTreeMap<Subject, Trouble>);

#[derive(Debug)]
struct Trouble {
    text: String,
    since: Instant,
}

impl Troubles {
    /// The same trouble is logged once.
    pub(super) fn set(&mut self, subject: Subject, text: String) {
        let known = self.0.get(&subject);
        if known.is_none_or(|known| known.text != text) {
            tracing::error!("{text}");
        }
        self.note(subject, text);
    }

    /// Without a word in the log: somebody asked for it.
    pub(super) fn note(&mut self, subject: Subject, text: String) {
        let known = self.0.get(&subject);
        let since = known.map_or_else(Instant::now, |known| known.since);
        self.0.insert(subject, Trouble { text, since });
    }

    pub(super) fn clear(&mut self, subject: &Subject) {
        if self.0.remove(subject).is_some() {
            tracing::info!("{}", subject.mended());
        }
    }

    /// Clears all of a kind but those that are in trouble now.
    pub(super) fn replace(&mut self, is_of_kind: impl Fn(&Subject) -> bool, now: BTreeMap<Subject, String>) {
        let gone: Vec<Subject> = self
            .0
            .keys()
            .filter(|subject| is_of_kind(subject) && !now.contains_key(subject))
            .cloned()
            .collect();
        for subject in &gone {
            self.clear(subject);
        }
        for (subject, text) in now {
            self.set(subject, text);
        }
    }

    pub(super) fn has(&self, subject: &Subject) -> bool {
        self.0.contains_key(subject)
    }

    pub(super) fn text_of(&self, subject: &Subject) -> Option<String> {
        self.0.get(subject).map(|trouble| trouble.text.clone())
    }

    pub(super) fn views(&self) -> Vec<views::Trouble> {
        let view = |trouble: &Trouble| views::Trouble {
            text: trouble.text.clone(),
            for_sec: trouble.since.elapsed().as_secs(),
        };
        self.0.values().map(view).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_trouble_keeps_its_beginning_until_it_is_cleared() {
        let mut troubles = Troubles::default();
        troubles.set(Subject::Maps, "the kernel refused it".to_owned());
        tokio::time::advance(Duration::from_secs(3)).await;
        troubles.set(Subject::Maps, "the kernel refused it twice".to_owned());
        let [view] = &troubles.views()[..] else {
            panic!("one trouble");
        };
        assert_eq!(
            (view.text.as_str(), view.for_sec),
            ("the kernel refused it twice", 3)
        );
        troubles.clear(&Subject::Maps);
        assert!(troubles.views().is_empty() && !troubles.has(&Subject::Maps));
    }

    #[test]
    fn of_a_kind_only_what_is_told_stays() {
        let mut troubles = Troubles::default();
        troubles.set(Subject::Plan, "does not fit".to_owned());
        troubles.set(Subject::Interface("eth0".to_owned()), "gone".to_owned());
        let now = BTreeMap::from([(Subject::Interface("eth1".to_owned()), "gone".to_owned())]);
        troubles.replace(|subject| matches!(subject, Subject::Interface(_)), now);
        assert!(!troubles.has(&Subject::Interface("eth0".to_owned())));
        assert!(troubles.has(&Subject::Interface("eth1".to_owned())) && troubles.has(&Subject::Plan));
    }
}
