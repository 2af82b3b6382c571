//! The body of `setIamPolicy`, `{"policy": …}`, judged by the reference's rules for `Policy`: every fault at once.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::SOURCE;
use crate::resources::{Fault, FaultKind, nearest};

/// The etag of a resource whose policy nobody has set.
pub(super) const EMPTY_ETAG: &str = "ACAB";
/// The mark of a role whose condition a reader of an older version isn't shown.
const WITH_CONDITION: &str = "_withcond_";
const MOST_PRINCIPALS: usize = 1500;
const LARGEST: usize = 256 << 10;
const PRINCIPALS: [&str; 10] = [
    "user",
    "serviceAccount",
    "group",
    "domain",
    "principal",
    "principalSet",
    "deleted",
    "projectOwner",
    "projectEditor",
    "projectViewer",
];
const LOG_TYPES: [&str; 3] = ["ADMIN_READ", "DATA_READ", "DATA_WRITE"];

#[derive(Debug)]
pub(super) struct Asked {
    /// Without its etag.
    pub(super) policy: Map<String, Value>,
    pub(super) etag: Option<String>,
}

pub(super) fn etag(policy: &Value) -> String {
    STANDARD.encode(&Sha256::digest(policy.to_string())[..8])
}

pub(super) fn is_conditional(policy: &Value) -> bool {
    let bindings = policy["bindings"].as_array().into_iter().flatten();
    bindings
        .into_iter()
        .any(|binding| binding.get("condition").is_some())
}

/// As a reader sees it who does not know conditions: he must not take a conditional binding for one without.
pub(super) fn without_conditions(policy: &Value) -> Value {
    let mut policy = policy.clone();
    policy["version"] = json!(1);
    for binding in policy["bindings"].as_array_mut().into_iter().flatten() {
        let condition = binding
            .as_object_mut()
            .and_then(|binding| binding.shift_remove("condition"));
        if let Some(condition) = condition {
            let digest = Sha256::digest(condition.to_string());
            let mark: String = digest[..10].iter().map(|byte| format!("{byte:02x}")).collect();
            let role = binding["role"].as_str().unwrap_or_default();
            binding["role"] = json!(format!("{role}{WITH_CONDITION}{mark}"));
        }
    }
    policy
}

pub(super) fn fault(field: &str, value: Option<&Value>, reason: impl Into<String>) -> Fault {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let shorten = |text: String| text.chars().take(100).collect();
    Fault {
        path: format!("$.{field}"),
        field: field.to_owned(),
        value: value.map(text).map(shorten),
        ..Fault::of_source(SOURCE, FaultKind::Invalid, reason)
    }
}

/// Takes the flat form (`bindings` and `etag` beside each other) too, which the reference calls deprecated.
pub(super) fn read(mut body: Map<String, Value>) -> Result<Asked, Vec<Fault>> {
    let mut judge = Judge::default();
    judge.known(&body, "", &["policy", "bindings", "etag"]);
    let flat: Map<String, Value> = ["bindings", "etag"]
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), body.shift_remove(*name)?)))
        .collect();
    let (mut policy, at) = match body.shift_remove("policy") {
        Some(Value::Object(policy)) => {
            for (name, value) in &flat {
                judge.invalid(name, Some(value), "stands beside 'policy'; put it into that");
            }
            (policy, "policy")
        }
        Some(other) => {
            judge.invalid("policy", Some(&other), "must be an object");
            (Map::new(), "policy")
        }
        None if flat.is_empty() => {
            judge.faults.push(Fault {
                kind: FaultKind::Required,
                ..fault("policy", None, "is required and missing")
            });
            (Map::new(), "policy")
        }
        None => (flat, ""),
    };
    policy.retain(|_, value| !value.is_null());
    if json!(policy).to_string().len() > LARGEST {
        judge.invalid(at, None, &format!("is larger than {LARGEST} bytes"));
    }
    judge.policy(&policy, at);
    let etag = policy.shift_remove("etag");
    let etag = etag
        .as_ref()
        .and_then(Value::as_str)
        .filter(|etag| !etag.is_empty());
    match judge.faults.is_empty() {
        true => Ok(Asked {
            etag: etag.map(str::to_owned),
            policy,
        }),
        false => Err(judge.faults),
    }
}

#[derive(Default)]
struct Judge {
    faults: Vec<Fault>,
    principals: usize,
    conditional: bool,
}

impl Judge {
    fn invalid(&mut self, field: &str, value: Option<&Value>, why: &str) {
        self.faults.push(fault(field, value, why));
    }

    fn known(&mut self, object: &Map<String, Value>, at: &str, known: &[&str]) {
        for (name, value) in object.iter().filter(|(name, _)| !known.contains(&name.as_str())) {
            let hint = nearest(name, known.iter().copied()).map(|near| format!("did you mean {near}?"));
            self.faults.push(Fault {
                hint,
                kind: FaultKind::UnknownField,
                ..fault(&join(at, name), Some(value), "is no field of the reference")
            });
        }
    }

    fn policy(&mut self, policy: &Map<String, Value>, at: &str) {
        self.known(policy, at, &["bindings", "etag", "version", "auditConfigs"]);
        self.text(policy, at, "etag", false);
        self.each(policy, at, "bindings", Self::binding);
        self.each(policy, at, "auditConfigs", Self::audit_config);
        let version = policy.get("version");
        match version.map(Value::as_i64) {
            None | Some(Some(0 | 1)) if self.conditional => {
                let why = "must be 3: there are conditions in the policy";
                self.invalid(&join(at, "version"), version, why);
            }
            None | Some(Some(0 | 1 | 3)) => {}
            _ => self.invalid(&join(at, "version"), version, "must be 0, 1 or 3"),
        }
        if self.principals > MOST_PRINCIPALS {
            let why = format!(
                "name {} principals; at most {MOST_PRINCIPALS} may be",
                self.principals
            );
            self.invalid(&join(at, "bindings"), None, &why);
        }
    }

    fn binding(&mut self, binding: &Map<String, Value>, at: &str) {
        self.known(binding, at, &["role", "members", "condition"]);
        if let Some(role) = self.text(binding, at, "role", true)
            && !is_role(role)
        {
            let why = "is not a role such as roles/compute.viewer or projects/P/roles/R";
            self.invalid(&join(at, "role"), binding.get("role"), why);
        }
        match binding.get("members") {
            Some(Value::Array(members)) if !members.is_empty() => {
                self.principals += members.len();
                self.members(members, &join(at, "members"));
            }
            other => {
                let why = "must be a list of at least one principal";
                self.invalid(&join(at, "members"), other, why);
            }
        }
        match binding.get("condition") {
            None => {}
            Some(Value::Object(condition)) => {
                self.conditional = true;
                let at = join(at, "condition");
                self.known(
                    condition,
                    &at,
                    &["expression", "title", "description", "location"],
                );
                self.text(condition, &at, "expression", true);
                for field in ["title", "description", "location"] {
                    self.text(condition, &at, field, false);
                }
            }
            other => self.invalid(&join(at, "condition"), other, "must be an object"),
        }
    }

    fn members(&mut self, members: &[Value], at: &str) {
        for (index, member) in members.iter().enumerate() {
            if !member.as_str().is_some_and(is_principal) {
                let why = "is not a principal such as user:alice@example.com or allUsers";
                self.invalid(&format!("{at}[{index}]"), Some(member), why);
            }
        }
    }

    fn audit_config(&mut self, config: &Map<String, Value>, at: &str) {
        self.known(config, at, &["service", "auditLogConfigs"]);
        self.text(config, at, "service", true);
        if config.get("auditLogConfigs").is_none() {
            self.invalid(&join(at, "auditLogConfigs"), None, "must have at least one item");
        }
        self.each(config, at, "auditLogConfigs", |judge, log, at| {
            judge.known(log, at, &["logType", "exemptedMembers"]);
            if let Some(kind) = judge.text(log, at, "logType", true)
                && !LOG_TYPES.contains(&kind)
            {
                let why = format!("must be one of {}", LOG_TYPES.join(", "));
                judge.invalid(&join(at, "logType"), log.get("logType"), &why);
            }
            match log.get("exemptedMembers") {
                None => {}
                Some(Value::Array(members)) => judge.members(members, &join(at, "exemptedMembers")),
                other => judge.invalid(&join(at, "exemptedMembers"), other, "must be a list"),
            }
        });
    }

    fn each(
        &mut self,
        object: &Map<String, Value>,
        at: &str,
        name: &str,
        judge: impl Fn(&mut Self, &Map<String, Value>, &str),
    ) {
        let at = join(at, name);
        match object.get(name) {
            None => {}
            Some(Value::Array(items)) => {
                for (index, item) in items.iter().enumerate() {
                    let at = format!("{at}[{index}]");
                    match item {
                        Value::Object(item) => judge(self, item, &at),
                        other => self.invalid(&at, Some(other), "must be an object"),
                    }
                }
            }
            other => self.invalid(&at, other, "must be a list"),
        }
    }

    fn text<'a>(
        &mut self,
        object: &'a Map<String, Value>,
        at: &str,
        name: &str,
        required: bool,
    ) -> Option<&'a str> {
        match object.get(name) {
            Some(Value::String(text)) if !(required && text.is_empty()) => return Some(text),
            None if !required => {}
            None => self.faults.push(Fault {
                kind: FaultKind::Required,
                ..fault(&join(at, name), None, "is required and missing")
            }),
            other => self.invalid(&join(at, name), other, "must be a string, and not empty"),
        }
        None
    }
}

fn join(at: &str, name: &str) -> String {
    match at {
        "" => name.to_owned(),
        at => format!("{at}.{name}"),
    }
}

fn is_role(role: &str) -> bool {
    let is_id = |id: &str| {
        !id.is_empty()
            && !id.contains(WITH_CONDITION)
            && id
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_'))
    };
    match role.split('/').collect::<Vec<_>>().as_slice() {
        ["roles", id] => is_id(id),
        ["projects" | "organizations", owner, "roles", id] => !owner.is_empty() && is_id(id),
        _ => false,
    }
}

fn is_principal(member: &str) -> bool {
    if matches!(member, "allUsers" | "allAuthenticatedUsers") {
        return true;
    }
    let is_plain =
        |rest: &str| !rest.is_empty() && !rest.chars().any(|c| c.is_whitespace() || c.is_control());
    member
        .split_once(':')
        .is_some_and(|(kind, rest)| PRINCIPALS.contains(&kind) && is_plain(rest))
}
