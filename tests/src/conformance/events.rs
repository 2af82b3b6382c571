//! What happens to a service, and the picture that it leaves: who is what, and where new connections may go.
//!
//! What is done (`does`) goes into the system under test; the pictures are written beside it by hand, from the
//! specification, and never computed from what is done.

/// Seconds between two points of time of an event. Shorter than any idle timeout, so that a flow that sends at each
/// of them lives on.
pub const STEP_SECONDS: u32 = 48;

/// Something that an operator, a probe or a client does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Does {
    /// Probes find these unhealthy from now on.
    Fails(&'static str),
    Recovers(&'static str),
    /// The endpoint reports this weight.
    Weight(char, u32),
    /// The endpoint is removed from its group.
    Removes(char),
    /// It is added (again) to its group.
    Adds(char),
    /// The endpoint's whole group is detached from the service.
    Detaches(char),
}

/// A stretch of an event.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// First and last point of time, in steps of [`STEP_SECONDS`] from the flow's first packet.
    pub from: u32,
    pub to: u32,
    pub does: &'static [Does],
    /// The flow sends at each point of the stretch, and is judged.
    pub sends: bool,
    /// The flow has been silent for longer than its idle timeout.
    pub idle: bool,
    pub picture: &'static str,
}

const SENDS: Step = Step {
    from: 1,
    to: 1,
    does: &[],
    sends: true,
    idle: false,
    picture: "",
};

/// What happens to a service on which a flow has just begun.
#[derive(Clone, Copy, Debug)]
pub struct Event {
    pub name: &'static str,
    pub section: &'static str,
    /// Only for services of this scheme.
    pub scheme: Option<&'static str>,
    /// Fields of the service, as JSON.
    pub fields: &'static str,
    /// The endpoints f and g are there, as failover backends.
    pub has_failover: bool,
    /// Weights by health-check replies, of which each is 10 at first.
    pub is_weighted: bool,
    /// The service as the flow finds it.
    pub first: &'static [Does],
    pub first_picture: &'static str,
    /// The backend that the flow begins on.
    pub backend: char,
    pub steps: &'static [Step],
}

const EVENT: Event = Event {
    name: "",
    section: "",
    scheme: None,
    fields: "{}",
    has_failover: false,
    is_weighted: false,
    first: &[],
    first_picture: "a b c -> a b c",
    backend: 'a',
    steps: &[],
};

const FAILOVER: Event = Event {
    fields: r#"{"failoverPolicy": {"failoverRatio": 0.7}}"#,
    has_failover: true,
    first_picture: "a b c f g -> a b c",
    ..EVENT
};

const FAILOVER_AT_ONCE: Event = Event {
    fields: r#"{"failoverPolicy": {"failoverRatio": 0.7, "disableConnectionDrainOnFailover": true}}"#,
    ..FAILOVER
};

const FAILED_OVER: Event = Event {
    first: &[Does::Fails("c")],
    first_picture: "a b c! f g -> f g",
    backend: 'f',
    ..FAILOVER
};

const DRAINING: Event = Event {
    fields: r#"{"connectionDraining": {"drainingTimeoutSec": 100}}"#,
    ..EVENT
};

/// A backend is written with marks: `!` unhealthy, `~` draining, `-` gone, `.` its pool no longer counts. Behind the
/// arrow: where new connections may go.
pub const EVENTS: &[Event] = &[
    Event {
        name: "nothing",
        section: "§1",
        steps: &[Step {
            picture: "a b c -> a b c",
            ..SENDS
        }],
        ..EVENT
    },
    Event {
        name: "its backend becomes unhealthy",
        section: "§5",
        steps: &[Step {
            does: &[Does::Fails("a")],
            picture: "a! b c -> b c",
            ..SENDS
        }],
        ..EVENT
    },
    Event {
        name: "its backend becomes unhealthy, and it never pauses",
        section: "§5",
        steps: &[
            Step {
                to: 3,
                picture: "a b c -> a b c",
                ..SENDS
            },
            Step {
                from: 3,
                to: 4,
                does: &[Does::Fails("a")],
                picture: "a! b c -> b c",
                ..SENDS
            },
        ],
        ..EVENT
    },
    Event {
        name: "another backend becomes unhealthy",
        section: "§5",
        steps: &[Step {
            does: &[Does::Fails("b")],
            picture: "a b! c -> a c",
            ..SENDS
        }],
        ..EVENT
    },
    Event {
        name: "all backends become unhealthy",
        section: "§5",
        steps: &[Step {
            does: &[Does::Fails("abc")],
            picture: "a! b! c! -> a b c",
            ..SENDS
        }],
        ..EVENT
    },
    Event {
        name: "all backends become unhealthy, dropTrafficIfUnhealthy",
        section: "§6",
        fields: r#"{"failoverPolicy": {"dropTrafficIfUnhealthy": true}}"#,
        steps: &[Step {
            does: &[Does::Fails("abc")],
            picture: "a! b! c! -> ",
            ..SENDS
        }],
        ..EVENT
    },
    Event {
        name: "its backend was unhealthy while it was silent",
        section: "§5",
        steps: &[
            Step {
                sends: false,
                does: &[Does::Fails("a")],
                picture: "a! b c -> b c",
                ..SENDS
            },
            Step {
                does: &[Does::Recovers("a")],
                picture: "a b c -> a b c",
                ..SENDS
            },
        ],
        ..EVENT
    },
    Event {
        name: "its backend was unhealthy while it sent, and recovers",
        section: "§5",
        steps: &[
            Step {
                does: &[Does::Fails("a")],
                picture: "a! b c -> b c",
                ..SENDS
            },
            Step {
                from: 2,
                to: 2,
                does: &[Does::Recovers("a")],
                picture: "a b c -> a b c",
                ..SENDS
            },
        ],
        ..EVENT
    },
    Event {
        name: "its endpoint is removed, drainingTimeoutSec 0",
        section: "§7",
        steps: &[Step {
            does: &[Does::Removes('a')],
            picture: "a- b c -> b c",
            ..SENDS
        }],
        ..EVENT
    },
    Event {
        name: "its endpoint is removed, and drains",
        section: "§7",
        steps: &[Step {
            to: 3,
            does: &[Does::Removes('a')],
            picture: "a~ b c -> b c",
            ..SENDS
        }],
        ..DRAINING
    },
    Event {
        name: "its endpoint is removed, and its drain has ended",
        section: "§7",
        steps: &[
            Step {
                to: 3,
                does: &[Does::Removes('a')],
                picture: "a~ b c -> b c",
                ..SENDS
            },
            Step {
                from: 4,
                to: 4,
                picture: "a- b c -> b c",
                ..SENDS
            },
        ],
        ..DRAINING
    },
    Event {
        name: "its endpoint drains and becomes unhealthy",
        section: "§7",
        steps: &[
            Step {
                does: &[Does::Removes('a')],
                picture: "a~ b c -> b c",
                ..SENDS
            },
            Step {
                from: 2,
                to: 2,
                does: &[Does::Fails("a")],
                picture: "a~! b c -> b c",
                ..SENDS
            },
        ],
        ..DRAINING
    },
    Event {
        name: "its endpoint is removed and added again while it drains",
        section: "§7",
        steps: &[
            Step {
                does: &[Does::Removes('a')],
                picture: "a~ b c -> b c",
                ..SENDS
            },
            Step {
                from: 2,
                to: 5,
                does: &[Does::Adds('a')],
                picture: "a b c -> a b c",
                ..SENDS
            },
        ],
        ..DRAINING
    },
    Event {
        name: "its group is detached, drainingTimeoutSec 100",
        section: "§7",
        steps: &[Step {
            does: &[Does::Detaches('a')],
            picture: "a- b c -> b c",
            ..SENDS
        }],
        ..DRAINING
    },
    Event {
        name: "a backend is added",
        section: "§5",
        steps: &[Step {
            does: &[Does::Adds('d')],
            picture: "a b c d -> a b c d",
            ..SENDS
        }],
        ..EVENT
    },
    Event {
        name: "its backend's weight becomes 0",
        section: "§6",
        is_weighted: true,
        steps: &[Step {
            does: &[Does::Weight('a', 0)],
            picture: "a b c -> b c",
            ..SENDS
        }],
        ..EVENT
    },
    Event {
        name: "failover by ratio, its connections drain",
        section: "§6",
        steps: &[Step {
            to: 13,
            does: &[Does::Fails("c")],
            picture: "a b c! f g -> f g",
            ..SENDS
        }],
        ..FAILOVER
    },
    Event {
        name: "failover by ratio, 600 s later",
        section: "§6",
        steps: &[
            Step {
                to: 13,
                does: &[Does::Fails("c")],
                picture: "a b c! f g -> f g",
                ..SENDS
            },
            Step {
                from: 14,
                to: 14,
                picture: "a. b. c!. f g -> f g",
                ..SENDS
            },
        ],
        ..FAILOVER
    },
    Event {
        name: "failover by ratio, disableConnectionDrainOnFailover",
        section: "§6",
        steps: &[Step {
            does: &[Does::Fails("c")],
            picture: "a. b. c!. f g -> f g",
            ..SENDS
        }],
        ..FAILOVER_AT_ONCE
    },
    Event {
        name: "failover because no primary is healthy, its connections drain",
        section: "§6",
        steps: &[Step {
            does: &[Does::Fails("abc")],
            picture: "a! b! c! f g -> f g",
            ..SENDS
        }],
        ..FAILOVER
    },
    Event {
        name: "failback, its connections drain",
        section: "§6",
        steps: &[Step {
            to: 13,
            does: &[Does::Recovers("c")],
            picture: "a b c f g -> a b c",
            ..SENDS
        }],
        ..FAILED_OVER
    },
    Event {
        name: "failback, 600 s later",
        section: "§6",
        steps: &[
            Step {
                to: 13,
                does: &[Does::Recovers("c")],
                picture: "a b c f g -> a b c",
                ..SENDS
            },
            Step {
                from: 14,
                to: 14,
                picture: "a b c f. g. -> a b c",
                ..SENDS
            },
        ],
        ..FAILED_OVER
    },
    Event {
        name: "primaries and failover backends all become unhealthy",
        section: "§6",
        steps: &[Step {
            does: &[Does::Fails("abcfg")],
            picture: "a! b! c! f! g! -> a b c",
            ..SENDS
        }],
        ..FAILOVER_AT_ONCE
    },
    Event {
        name: "failed over, then all become unhealthy, its connections drain",
        section: "§6",
        steps: &[Step {
            does: &[Does::Fails("abfg")],
            picture: "a! b! c! f! g! -> a b c",
            ..SENDS
        }],
        ..FAILED_OVER
    },
    Event {
        name: "failed over, then all become unhealthy, dropTrafficIfUnhealthy",
        section: "§6",
        fields: r#"{"failoverPolicy": {"failoverRatio": 0.7, "dropTrafficIfUnhealthy": true, "disableConnectionDrainOnFailover": true}}"#,
        steps: &[Step {
            does: &[Does::Fails("abfg")],
            picture: "a! b! c! f! g! -> ",
            ..SENDS
        }],
        ..FAILED_OVER
    },
    Event {
        name: "it was silent for 48 s",
        section: "§3",
        scheme: Some("EXTERNAL"),
        steps: &[Step {
            picture: "a b c -> a b c",
            ..SENDS
        }],
        ..EVENT
    },
    Event {
        name: "it was silent for 96 s",
        section: "§3",
        scheme: Some("EXTERNAL"),
        steps: &[Step {
            from: 2,
            to: 2,
            idle: true,
            picture: "a b c -> a b c",
            ..SENDS
        }],
        ..EVENT
    },
    Event {
        name: "it was silent for 576 s",
        section: "§3",
        scheme: Some("INTERNAL"),
        steps: &[Step {
            from: 12,
            to: 12,
            picture: "a b c -> a b c",
            ..SENDS
        }],
        ..EVENT
    },
    Event {
        name: "it was silent for 624 s",
        section: "§3",
        scheme: Some("INTERNAL"),
        steps: &[Step {
            from: 13,
            to: 13,
            idle: true,
            picture: "a b c -> a b c",
            ..SENDS
        }],
        ..EVENT
    },
];

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
