//! The fields of the Compute v1 reference: for each its shape, and what it is to us.
//!
//! The tables are data; `walk` is the one reader of them that reports, so a field can neither be forgotten nor be
//! ignored in silence.

mod backend_service;
mod forwarding_rule;
mod group;
mod health_check;
mod walk;

pub(crate) use walk::is_name;
pub(super) use walk::{Finding, add_defaults, each_reference, join, walk};

use super::kind::Kind;

/// The table of a kind.
pub(super) const fn table(kind: Kind) -> &'static [Field] {
    match kind {
        Kind::BackendService => backend_service::FIELDS,
        Kind::ForwardingRule => forwarding_rule::FIELDS,
        Kind::HealthCheck => health_check::FIELDS,
        Kind::NetworkEndpointGroup => group::NETWORK_ENDPOINT_GROUP,
        Kind::InstanceGroup => group::INSTANCE_GROUP,
        Kind::Instance => group::INSTANCE,
    }
}

pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) shape: Shape,
    pub(super) role: Role,
    pub(super) required: bool,
    /// What the cloud shows when the field was left out.
    pub(super) default: Option<Default>,
    pub(super) change: Change,
}

/// Whether a resource that exists may get another value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Free,
    /// By a file, and not by a method of the API; with what to do instead.
    NotByApi(&'static str),
    /// A resource with another value is another resource.
    Never,
}

pub(super) enum Shape {
    Bool,
    /// int32 within a range; a number.
    Int(i64, i64),
    /// int64 or uint64: a number or a string of digits.
    Long,
    /// A number within a range.
    Float(f64, f64),
    /// At most so many bytes.
    Text(usize),
    /// RFC 1035 label.
    Name,
    /// Accepted values, then values of the reference that are refused, with the reason.
    Enum(&'static [&'static str], &'static [(&'static str, &'static str)]),
    Reference(&'static [Kind]),
    List(&'static Shape, usize),
    Object(&'static [Field]),
    /// Strings by free keys.
    Map,
    /// Kept unread: a part of the reference that has no bearing on load balancing.
    Any,
}

pub(super) enum Role {
    /// It decides something.
    Acts,
    /// Set by the server; in an input ignored, as the API does.
    Output,
    /// Kept and shown, as in the cloud, where it has no effect on packets either.
    Stored,
    /// Refused with this reason when its value would act (is not false, 0, empty or a disabling enum value).
    Refused(&'static str),
    /// Refused with this reason whatever its value.
    Forbidden(&'static str),
}

#[derive(Clone, Copy)]
pub(super) enum Default {
    Int(i64),
    Text(&'static str),
    /// An object, made of its members' own defaults.
    Object,
}

impl Field {
    const fn new(name: &'static str, shape: Shape, role: Role) -> Self {
        Self {
            name,
            shape,
            role,
            required: false,
            default: None,
            change: Change::Free,
        }
    }

    const fn required(mut self) -> Self {
        self.required = true;
        self
    }

    const fn or(mut self, default: Default) -> Self {
        self.default = Some(default);
        self
    }

    const fn fixed(mut self) -> Self {
        self.change = Change::Never;
        self
    }

    const fn not_by_api(mut self, instead: &'static str) -> Self {
        self.change = Change::NotByApi(instead);
        self
    }
}

const fn acts(name: &'static str, shape: Shape) -> Field {
    Field::new(name, shape, Role::Acts)
}

const fn output(name: &'static str) -> Field {
    Field::new(name, Shape::Any, Role::Output)
}

const fn stored(name: &'static str, shape: Shape) -> Field {
    Field::new(name, shape, Role::Stored)
}

const fn refused(name: &'static str, shape: Shape, why: &'static str) -> Field {
    Field::new(name, shape, Role::Refused(why))
}

const fn forbidden(name: &'static str, shape: Shape, why: &'static str) -> Field {
    Field::new(name, shape, Role::Forbidden(why))
}

/// Text whose length nothing of ours depends on.
const TEXT: Shape = Shape::Text(2048);
const COUNT: Shape = Shape::Int(0, i32::MAX as i64);
const TEXTS: Shape = Shape::List(&TEXT, 1024);
const PORT: Shape = Shape::Int(1, 65535);

const PROXY: &str = "only a proxy load balancer can do this; packets pass through here unopened";
const MESH: &str = "only a service mesh or a proxy load balancer can do this";

const KIND: Field = output("kind");
const ID: Field = output("id");
const CREATED: Field = output("creationTimestamp");
const SELF_LINK: Field = output("selfLink");
const FINGERPRINT: Field = output("fingerprint");
const NAME: Field = acts("name", Shape::Name).required();
const DESCRIPTION: Field = stored("description", TEXT).or(Default::Text(""));
