//! What has to be compiled again: it stays noted until that has succeeded.

use std::collections::BTreeSet;

use crate::model::ResourcePath;
use crate::plan::Scope;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Dirty {
    all: bool,
    due: bool,
    /// Of what is due, endpoints may end.
    ends_members: bool,
    services: BTreeSet<ResourcePath>,
}

impl Dirty {
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The configuration changed.
    pub(super) fn everything(&mut self) {
        self.all = true;
    }

    /// A deadline has come: perhaps one after which endpoints are no members any more.
    pub(super) fn due(&mut self, ends_members: bool) {
        self.due = true;
        self.ends_members |= ends_members;
    }

    pub(super) fn services(&mut self, services: impl IntoIterator<Item = ResourcePath>) {
        self.services.extend(services);
    }

    pub(super) fn merge(&mut self, other: Self) {
        self.all |= other.all;
        self.due |= other.due;
        self.ends_members |= other.ends_members;
        self.services.extend(other.services);
    }

    /// The part of it that is compiled next.
    pub(super) fn take(&mut self) -> Option<Self> {
        if self.all {
            // All services are among everything, those that are due, too.
            return Some(std::mem::take(self));
        }
        if self.due {
            self.due = false;
            return Some(Self {
                due: true,
                ends_members: std::mem::take(&mut self.ends_members),
                ..Self::default()
            });
        }
        let services = std::mem::take(&mut self.services);
        (!services.is_empty()).then_some(Self {
            services,
            ..Self::default()
        })
    }

    /// Takes out the services that have to wait; everything and what is due don't.
    pub(super) fn without(&mut self, waits: impl Fn(&ResourcePath) -> bool) -> Self {
        let (waiting, ready) = std::mem::take(&mut self.services).into_iter().partition(waits);
        self.services = ready;
        Self {
            services: waiting,
            ..Self::default()
        }
    }

    /// Whether the configuration as a whole still has to be compiled.
    pub(super) fn is_everything(&self) -> bool {
        self.all
    }

    /// One turn for each service, where there are several.
    pub(super) fn split(self) -> Result<Vec<Self>, Self> {
        if self.all || self.due || self.services.len() < 2 {
            return Err(self);
        }
        let turn = |service| Self {
            services: BTreeSet::from([service]),
            ..Self::default()
        };
        Ok(self.services.into_iter().map(turn).collect())
    }

    pub(super) fn named_services(&self) -> &BTreeSet<ResourcePath> {
        &self.services
    }

    /// Whether endpoints may be followed no more after it, without a change of configuration.
    pub(super) fn may_end_members(&self) -> bool {
        self.ends_members
    }

    pub(super) fn scope(&self) -> Scope<'_> {
        match self {
            Self { all: true, .. } => Scope::All,
            Self { due: true, .. } => Scope::Due,
            Self { services, .. } => Scope::Services(services),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(name: &str) -> ResourcePath {
        ResourcePath::from_canonical(name)
    }

    #[test]
    fn everything_is_one_turn_and_stands_for_the_rest() {
        let mut dirty = Dirty::default();
        dirty.services([path("a")]);
        dirty.due(true);
        dirty.everything();
        let turn = dirty.take().expect("something to do");
        assert!(matches!(turn.scope(), Scope::All));
        assert!(dirty.is_empty() && dirty.take().is_none());
    }

    #[test]
    fn what_failed_comes_again() {
        let mut dirty = Dirty::default();
        dirty.services([path("a")]);
        dirty.due(false);
        let due = dirty.take().expect("deadlines first");
        assert!(matches!(due.scope(), Scope::Due));
        let services = dirty.take().expect("the services");
        assert!(matches!(services.scope(), Scope::Services(services) if services.contains(&path("a"))));
        dirty.merge(due);
        dirty.merge(services);
        dirty.services([path("b")]);
        assert!(matches!(dirty.take().expect("again").scope(), Scope::Due));
        let again = dirty.take().expect("again");
        assert!(matches!(again.scope(), Scope::Services(services) if services.len() == 2));
    }
}
