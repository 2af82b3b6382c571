//! What the specification says, transcribed table by table, and nothing else.
//!
//! Independent of the code under test on purpose: it shares no type and no function with it, and reads its tables as
//! the text that stands here, which the rendered document shows as it is.

use super::picture::Picture;
use super::rows::{Case, Policy};

/// Which fields of a packet name its entry: 5 = src, dst, proto, sport, dport; 3 = src, dst, proto; 2 = src, dst;
/// 1 = src; off = not tracked.
pub const TRACKING: &str = "
    scheme    affinity                  mode            TCP  SCTP  UDP  UDP-fragment  ESP  AH   GRE  other  ICMP
    EXTERNAL  NONE                      PER_CONNECTION  5    5     off  off           off  off  off  off    off
    EXTERNAL  NONE                      PER_SESSION     5    5     off  off           off  off  off  off    off
    EXTERNAL  CLIENT_IP                 PER_CONNECTION  5    5     5    3             3    3    3    3      off
    EXTERNAL  CLIENT_IP                 PER_SESSION     2    2     2    2             2    2    2    2      off
    EXTERNAL  CLIENT_IP_PROTO           PER_CONNECTION  5    5     5    3             3    3    3    3      off
    EXTERNAL  CLIENT_IP_PROTO           PER_SESSION     3    3     3    3             3    3    3    3      off
    EXTERNAL  CLIENT_IP_PORT_PROTO      PER_CONNECTION  5    5     5    3             3    3    3    3      off
    EXTERNAL  CLIENT_IP_PORT_PROTO      PER_SESSION     5    5     5    3             3    3    3    3      off
    INTERNAL  NONE                      PER_CONNECTION  5    5     5    3             3    3    3    3      3
    INTERNAL  NONE                      PER_SESSION     5    5     5    3             3    3    3    3      3
    INTERNAL  CLIENT_IP_PORT_PROTO      PER_CONNECTION  5    5     5    3             3    3    3    3      3
    INTERNAL  CLIENT_IP_PORT_PROTO      PER_SESSION     5    5     5    3             3    3    3    3      3
    INTERNAL  CLIENT_IP_PROTO           PER_CONNECTION  5    5     5    3             3    3    3    3      3
    INTERNAL  CLIENT_IP_PROTO           PER_SESSION     3    3     3    3             3    3    3    3      3
    INTERNAL  CLIENT_IP                 PER_CONNECTION  5    5     5    3             3    3    3    3      3
    INTERNAL  CLIENT_IP                 PER_SESSION     2    2     2    2             2    2    2    2      2
    INTERNAL  CLIENT_IP_NO_DESTINATION  PER_CONNECTION  5    5     5    3             3    3    3    3      3
    INTERNAL  CLIENT_IP_NO_DESTINATION  PER_SESSION     1    1     1    1             1    1    1    1      1
";

/// Which fields of a packet select the backend of a new connection.
pub const SELECTION: &str = "
    affinity                  TCP  SCTP  UDP  UDP-fragment  ESP  AH  GRE  other  ICMP
    NONE                      5    5     5    3             3    3   3    3      3
    CLIENT_IP_PORT_PROTO      5    5     5    3             3    3   3    3      3
    CLIENT_IP_PROTO           3    3     3    3             3    3   3    3      3
    CLIENT_IP                 2    2     2    2             2    2   2    2      2
    CLIENT_IP_NO_DESTINATION  1    1     1    1             1    1   1    1      1
";

/// Whether a tracked flow stays on a backend that is unhealthy.
pub const PERSIST: &str = "
    persistence           mode            affinity                  TCP  SCTP  UDP  UDP-fragment  ESP  AH   GRE  other  ICMP
    DEFAULT_FOR_PROTOCOL  PER_CONNECTION  any                       yes  yes   no   no            no   no   no   no     no
    DEFAULT_FOR_PROTOCOL  PER_SESSION     NONE                      yes  yes   no   no            no   no   no   no     no
    DEFAULT_FOR_PROTOCOL  PER_SESSION     CLIENT_IP_PORT_PROTO      yes  yes   no   no            no   no   no   no     no
    DEFAULT_FOR_PROTOCOL  PER_SESSION     CLIENT_IP_PROTO           no   no    no   no            no   no   no   no     no
    DEFAULT_FOR_PROTOCOL  PER_SESSION     CLIENT_IP                 no   no    no   no            no   no   no   no     no
    DEFAULT_FOR_PROTOCOL  PER_SESSION     CLIENT_IP_NO_DESTINATION  no   no    no   no            no   no   no   no     no
    NEVER_PERSIST         any             any                       no   no    no   no            no   no   no   no     no
    ALWAYS_PERSIST        PER_CONNECTION  any                       yes  yes   yes  yes           yes  yes  yes  yes    yes
";

/// Whether a TCP SYN without ACK is a new connection whatever is tracked.
pub const SYN_IS_NEW: &str = "
    mode            affinity                  new
    PER_CONNECTION  any                       yes
    PER_SESSION     NONE                      yes
    PER_SESSION     CLIENT_IP_PORT_PROTO      yes
    PER_SESSION     CLIENT_IP_PROTO           no
    PER_SESSION     CLIENT_IP                 no
    PER_SESSION     CLIENT_IP_NO_DESTINATION  no
";

/// Combinations that are refused as a configuration.
pub const REFUSED: &str = "
    scheme    affinity                  mode         persistence     because
    EXTERNAL  CLIENT_IP_NO_DESTINATION  any          any             CLIENT_IP_NO_DESTINATION-needs-INTERNAL
    any       any                       PER_SESSION  ALWAYS_PERSIST  ALWAYS_PERSIST-needs-PER_CONNECTION
";

/// What is expected of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// To the backend that the flow is on, which is healthy.
    Kept,
    /// To the backend that the flow is on, although it is unhealthy.
    Persisted,
    /// The entry is no longer usable: to one of the eligible set, and recorded.
    Moved,
    /// Nothing is known of the flow, or nothing that counts: to one of the eligible set, and recorded.
    New,
    /// Not tracked: to what the hash selects in the eligible set.
    Hashed,
    /// The eligible set is empty.
    Dropped,
}

impl Outcome {
    /// The counter that shows it.
    pub fn counter(self) -> &'static str {
        match self {
            Self::Kept => "forward_tracked",
            Self::Persisted => "forward_persisted",
            Self::Moved => "forward_diverted",
            Self::New => "forward_new",
            Self::Hashed => "forward_untracked",
            Self::Dropped => "drop_no_healthy_backend",
        }
    }

    /// Whether the packet goes where the flow's former packets went.
    pub fn stays(self) -> bool {
        matches!(self, Self::Kept | Self::Persisted)
    }
}

/// A table's cells, its header row first.
pub fn table(text: &'static str) -> Vec<Vec<&'static str>> {
    text.lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .filter(|row| !row.is_empty())
        .collect()
}

/// The cell in `column` of the only row that fits all of `key` (column, value).
fn cell(text: &'static str, key: &[(&str, &str)], column: &str) -> Option<&'static str> {
    let rows = table(text);
    let place = |name: &str| {
        let found = rows[0].iter().position(|header| *header == name);
        found.unwrap_or_else(|| panic!("no column {name}"))
    };
    let fits = |row: &&Vec<&'static str>| {
        key.iter()
            .all(|(name, value)| row[place(name)] == *value || row[place(name)] == "any")
    };
    let mut fitting = rows.iter().skip(1).filter(fits);
    let found = fitting.next()?;
    assert!(fitting.next().is_none(), "two rows for {key:?}");
    Some(found[place(column)])
}

/// The tuple of the tracking key; 0 is off.
pub fn tracking(policy: &Policy, case: &Case) -> u8 {
    let key = [
        ("scheme", policy.scheme),
        ("affinity", policy.affinity),
        ("mode", policy.mode),
    ];
    match cell(TRACKING, &key, case.column).expect("a row for every policy") {
        "off" => 0,
        tuple => tuple.parse().expect("a number of fields"),
    }
}

/// The tuple that is hashed to select a backend.
pub fn selection(policy: &Policy, case: &Case) -> u8 {
    let tuple = cell(SELECTION, &[("affinity", policy.affinity)], case.column);
    tuple
        .expect("a row for every affinity")
        .parse()
        .expect("a number of fields")
}

pub fn persists(policy: &Policy, case: &Case) -> bool {
    let key = [
        ("persistence", policy.persistence),
        ("mode", policy.mode),
        ("affinity", policy.affinity),
    ];
    cell(PERSIST, &key, case.column).expect("a row for every policy") == "yes"
}

fn syn_is_new(policy: &Policy) -> bool {
    let key = [("mode", policy.mode), ("affinity", policy.affinity)];
    cell(SYN_IS_NEW, &key, "new").expect("a row for every policy") == "yes"
}

/// Why the combination is refused, if it is.
pub fn refused(policy: &Policy) -> Option<String> {
    let rows = table(REFUSED);
    let values = [policy.scheme, policy.affinity, policy.mode, policy.persistence];
    let fits = |row: &&Vec<&str>| {
        let mut cells = row.iter().zip(values);
        cells.all(|(cell, value)| *cell == "any" || *cell == value)
    };
    rows.iter().skip(1).find(fits).map(|row| row[4].replace('-', " "))
}

/// What a packet of a new flow meets.
pub fn of_new(policy: &Policy, case: &Case, picture: &Picture) -> Outcome {
    if picture.eligible().is_empty() {
        Outcome::Dropped
    } else if tracking(policy, case) == 0 {
        Outcome::Hashed
    } else {
        Outcome::New
    }
}

/// What a packet of a flow meets whose former packets went to `backend`.
pub fn of_existing(policy: &Policy, case: &Case, picture: &Picture, backend: char) -> Outcome {
    if tracking(policy, case) == 0 || (case.is_syn && syn_is_new(policy)) || picture.entry_is_old {
        return of_new(policy, case, picture);
    }
    let state = picture.backend(backend);
    let usable = state.is_attached_or_draining
        && state.pool_counts
        && (state.healthy || persists(policy, case) || picture.nothing_is_healthy());
    match (usable, state.healthy) {
        (true, true) => Outcome::Kept,
        (true, false) => Outcome::Persisted,
        (false, _) if picture.eligible().is_empty() => Outcome::Dropped,
        (false, _) => Outcome::Moved,
    }
}
