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

/// The flow sends once, one step after its first packet.
const fn step(picture: &'static str) -> Step {
    Step {
        from: 1,
        to: 1,
        does: &[],
        sends: true,
        idle: false,
        picture,
    }
}

impl Step {
    const fn at(self, from: u32, to: u32) -> Self {
        Self { from, to, ..self }
    }

    const fn does(self, does: &'static [Does]) -> Self {
        Self { does, ..self }
    }

    const fn silent(self) -> Self {
        Self { sends: false, ..self }
    }

    const fn after_idle(self) -> Self {
        Self { idle: true, ..self }
    }
}

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
        steps: &[step("a b c -> a b c")],
        ..EVENT
    },
    Event {
        name: "its backend becomes unhealthy",
        section: "§5",
        steps: &[step("a! b c -> b c").does(&[Does::Fails("a")])],
        ..EVENT
    },
    Event {
        name: "its backend becomes unhealthy, and it never pauses",
        section: "§5",
        steps: &[
            step("a b c -> a b c").at(1, 3),
            step("a! b c -> b c").at(3, 4).does(&[Does::Fails("a")]),
        ],
        ..EVENT
    },
    Event {
        name: "another backend becomes unhealthy",
        section: "§5",
        steps: &[step("a b! c -> a c").does(&[Does::Fails("b")])],
        ..EVENT
    },
    Event {
        name: "all backends become unhealthy",
        section: "§5",
        steps: &[step("a! b! c! -> a b c").does(&[Does::Fails("abc")])],
        ..EVENT
    },
    Event {
        name: "all backends become unhealthy, dropTrafficIfUnhealthy",
        section: "§6",
        fields: r#"{"failoverPolicy": {"dropTrafficIfUnhealthy": true}}"#,
        steps: &[step("a! b! c! -> ").does(&[Does::Fails("abc")])],
        ..EVENT
    },
    Event {
        name: "its backend was unhealthy while it was silent",
        section: "§5",
        steps: &[
            step("a! b c -> b c").does(&[Does::Fails("a")]).silent(),
            step("a b c -> a b c").does(&[Does::Recovers("a")]),
        ],
        ..EVENT
    },
    Event {
        name: "its backend was unhealthy while it sent, and recovers",
        section: "§5",
        steps: &[
            step("a! b c -> b c").does(&[Does::Fails("a")]),
            step("a b c -> a b c").at(2, 2).does(&[Does::Recovers("a")]),
        ],
        ..EVENT
    },
    Event {
        name: "its endpoint is removed, drainingTimeoutSec 0",
        section: "§7",
        steps: &[step("a- b c -> b c").does(&[Does::Removes('a')])],
        ..EVENT
    },
    Event {
        name: "its endpoint is removed, and drains",
        section: "§7",
        steps: &[step("a~ b c -> b c").at(1, 3).does(&[Does::Removes('a')])],
        ..DRAINING
    },
    Event {
        name: "its endpoint is removed, and its drain has ended",
        section: "§7",
        steps: &[
            step("a~ b c -> b c").at(1, 3).does(&[Does::Removes('a')]),
            step("a- b c -> b c").at(4, 4),
        ],
        ..DRAINING
    },
    Event {
        name: "its endpoint drains and becomes unhealthy",
        section: "§7",
        steps: &[
            step("a~ b c -> b c").does(&[Does::Removes('a')]),
            step("a~! b c -> b c").at(2, 2).does(&[Does::Fails("a")]),
        ],
        ..DRAINING
    },
    Event {
        name: "its endpoint is removed and added again while it drains",
        section: "§7",
        steps: &[
            step("a~ b c -> b c").does(&[Does::Removes('a')]),
            step("a b c -> a b c").at(2, 5).does(&[Does::Adds('a')]),
        ],
        ..DRAINING
    },
    Event {
        name: "its group is detached, drainingTimeoutSec 100",
        section: "§7",
        steps: &[step("a- b c -> b c").does(&[Does::Detaches('a')])],
        ..DRAINING
    },
    Event {
        name: "a backend is added",
        section: "§5",
        steps: &[step("a b c d -> a b c d").does(&[Does::Adds('d')])],
        ..EVENT
    },
    Event {
        name: "its backend's weight becomes 0",
        section: "§6",
        is_weighted: true,
        steps: &[step("a b c -> b c").does(&[Does::Weight('a', 0)])],
        ..EVENT
    },
    Event {
        name: "failover by ratio, its connections drain",
        section: "§6",
        steps: &[step("a b c! f g -> f g").at(1, 13).does(&[Does::Fails("c")])],
        ..FAILOVER
    },
    Event {
        name: "failover by ratio, 600 s later",
        section: "§6",
        steps: &[
            step("a b c! f g -> f g").at(1, 13).does(&[Does::Fails("c")]),
            step("a. b. c!. f g -> f g").at(14, 14),
        ],
        ..FAILOVER
    },
    Event {
        name: "failover by ratio, disableConnectionDrainOnFailover",
        section: "§6",
        steps: &[step("a. b. c!. f g -> f g").does(&[Does::Fails("c")])],
        ..FAILOVER_AT_ONCE
    },
    Event {
        name: "failover because no primary is healthy, its connections drain",
        section: "§6",
        steps: &[step("a! b! c! f g -> f g").does(&[Does::Fails("abc")])],
        ..FAILOVER
    },
    Event {
        name: "failback, its connections drain",
        section: "§6",
        steps: &[step("a b c f g -> a b c").at(1, 13).does(&[Does::Recovers("c")])],
        ..FAILED_OVER
    },
    Event {
        name: "failback, 600 s later",
        section: "§6",
        steps: &[
            step("a b c f g -> a b c").at(1, 13).does(&[Does::Recovers("c")]),
            step("a b c f. g. -> a b c").at(14, 14),
        ],
        ..FAILED_OVER
    },
    Event {
        name: "primaries and failover backends all become unhealthy",
        section: "§6",
        steps: &[step("a! b! c! f! g! -> a b c").does(&[Does::Fails("abcfg")])],
        ..FAILOVER_AT_ONCE
    },
    Event {
        name: "failed over, then all become unhealthy, its connections drain",
        section: "§6",
        steps: &[step("a! b! c! f! g! -> a b c").does(&[Does::Fails("abfg")])],
        ..FAILED_OVER
    },
    Event {
        name: "failed over, then all become unhealthy, dropTrafficIfUnhealthy",
        section: "§6",
        fields: r#"{"failoverPolicy": {"failoverRatio": 0.7, "dropTrafficIfUnhealthy": true, "disableConnectionDrainOnFailover": true}}"#,
        steps: &[step("a! b! c! f! g! -> ").does(&[Does::Fails("abfg")])],
        ..FAILED_OVER
    },
    Event {
        name: "it was silent for 48 s",
        section: "§3",
        scheme: Some("EXTERNAL"),
        steps: &[step("a b c -> a b c")],
        ..EVENT
    },
    Event {
        name: "it was silent for 96 s",
        section: "§3",
        scheme: Some("EXTERNAL"),
        steps: &[step("a b c -> a b c").at(2, 2).after_idle()],
        ..EVENT
    },
    Event {
        name: "it was silent for 576 s",
        section: "§3",
        scheme: Some("INTERNAL"),
        steps: &[step("a b c -> a b c").at(12, 12)],
        ..EVENT
    },
    Event {
        name: "it was silent for 624 s",
        section: "§3",
        scheme: Some("INTERNAL"),
        steps: &[step("a b c -> a b c").at(13, 13).after_idle()],
        ..EVENT
    },
];
