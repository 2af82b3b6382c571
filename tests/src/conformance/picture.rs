//! What a service looks like at one time of an event: who is what, and where new connections may go.

/// What a backend is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackendState {
    pub name: char,
    pub is_attached_or_draining: bool,
    pub is_draining: bool,
    pub healthy: bool,
    pub pool_counts: bool,
}

/// A picture, read.
#[derive(Clone, Debug)]
pub struct Picture {
    backends: Vec<BackendState>,
    eligible: Vec<char>,
    /// The flow's entry has timed out.
    pub entry_is_old: bool,
}

impl Picture {
    pub fn of(text: &str, entry_is_old: bool) -> Self {
        let (backends, eligible) = text.split_once("->").expect("backends -> eligible");
        let state = |word: &str| BackendState {
            name: word.chars().next().expect("words are not empty"),
            is_attached_or_draining: !word.contains('-'),
            is_draining: word.contains('~'),
            healthy: !word.contains('!'),
            pool_counts: !word.contains('.'),
        };
        Self {
            backends: backends.split_whitespace().map(state).collect(),
            eligible: eligible.split_whitespace().flat_map(str::chars).collect(),
            entry_is_old,
        }
    }

    pub fn backend(&self, name: char) -> BackendState {
        let mut found = self.backends.iter().filter(|backend| backend.name == name);
        *found.next().unwrap_or_else(|| panic!("no backend {name}"))
    }

    /// Where new connections may go.
    pub fn eligible(&self) -> &[char] {
        &self.eligible
    }

    /// Of what is attached.
    pub fn nothing_is_healthy(&self) -> bool {
        let mut attached = self
            .backends
            .iter()
            .filter(|backend| backend.is_attached_or_draining && !backend.is_draining);
        attached.all(|backend| !backend.healthy)
    }
}
