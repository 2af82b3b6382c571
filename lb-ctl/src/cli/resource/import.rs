//! `import`: a resource as its file says. Fields that the file does not have are reset; members of a group stay as they
//! are when the file does not list them.

use std::io::Read;
use std::path::PathBuf;

use clap::Args;
use http::Method;
use serde_json::{Map, Value};

use super::super::options::Connection;
use super::super::prompt::confirm;
use super::super::scope::Scope;
use super::change::{apply, send};
use super::find::named;
use super::new::{insert, new_path};
use super::{Failure, Streams, load};
use crate::client::Client;
use crate::control::place::url;
use crate::control::wire::WireFault;
use crate::model::ResourcePath;
use crate::output::from_yaml;
use crate::resources::Kind;

#[derive(Debug, Args)]
pub(in crate::cli) struct ImportArgs<S: Scope> {
    /// The resource's name or URL.
    name: String,
    #[command(flatten)]
    scope: S,
    /// The file, YAML or JSON; standard input by default.
    #[arg(long, value_name = "FILE")]
    source: Option<PathBuf>,
    /// Don't ask before a resource is replaced.
    #[arg(long, short)]
    quiet: bool,
    #[command(flatten)]
    connection: Connection,
}

/// What the place and the history of a resource make of it, not its file.
const NOT_IMPORTED: [&str; 12] = [
    "creationTimestamp",
    "fingerprint",
    "id",
    "kind",
    "labelFingerprint",
    "name",
    "region",
    "selfLink",
    "selfLinkWithId",
    "size",
    "usedBy",
    "zone",
];

type Fields = Map<String, Value>;

pub(super) async fn run<S: Scope>(
    kind: Kind,
    args: &ImportArgs<S>,
    streams: &mut Streams<'_>,
) -> Result<(), Failure> {
    let (source, document) = read(args.source.as_ref())?;
    let client = args.connection.client();
    let resources = load(&client).await?;
    let path = match named(&resources, kind, &args.name, &args.scope)? {
        Some(path) => path,
        None => new_path(&client, kind, &args.name, &args.scope).await?,
    };
    check(kind, &path, &document, &source)?;
    let fingerprint = document.get("fingerprint").cloned();
    let import = Import {
        client,
        kind,
        path,
        source,
        fields: settable(document),
    };
    match resources.get(&import.path).and_then(Value::as_object) {
        None => import.create(streams).await,
        Some(current) => {
            let unchanged = import
                .fields
                .iter()
                .all(|(name, value)| current.get(name) == Some(value))
                && settable(current.clone())
                    .keys()
                    .all(|name| import.fields.contains_key(name));
            if unchanged {
                writeln!(
                    streams.err,
                    "[{}] is as the file says already.",
                    url(import.path.as_str())
                )?;
                return Ok(());
            }
            if !args.quiet {
                confirm(&format!("The {kind} {} will be replaced.", import.path), streams)?;
            }
            import.replace(current, fingerprint, streams).await
        }
    }
}

struct Import {
    client: Client,
    kind: Kind,
    path: ResourcePath,
    source: String,
    fields: Fields,
}

impl Import {
    async fn create(self, streams: &mut Streams<'_>) -> Result<(), Failure> {
        if self.needs_apply() {
            self.apply(streams).await?;
            writeln!(streams.err, "Created [{}].", url(self.path.as_str()))?;
            return Ok(());
        }
        insert(&self.client, &self.path, &self.body(None), streams).await
    }

    async fn replace(
        self,
        current: &Fields,
        fingerprint: Option<Value>,
        streams: &mut Streams<'_>,
    ) -> Result<(), Failure> {
        let known = current.get("fingerprint").cloned();
        if self.needs_apply() {
            if fingerprint.is_some() && fingerprint != known {
                return Err(Failure::stale(self.path.name()));
            }
            self.apply(streams).await?;
        } else {
            let fingerprint = fingerprint.or(known);
            let (method, body) = match self.kind {
                Kind::ForwardingRule => (Method::PATCH, self.difference(current, fingerprint)),
                _ => (Method::PUT, self.body(fingerprint)),
            };
            send(&self.client, method, self.path.as_str(), &body, streams).await?;
        }
        writeln!(streams.err, "Updated [{}].", url(self.path.as_str()))?;
        Ok(())
    }

    /// The API can neither replace a group or an instance nor take its members with it.
    fn needs_apply(&self) -> bool {
        self.kind.is_zonal()
    }

    async fn apply(&self, streams: &mut Streams<'_>) -> Result<(), Failure> {
        let resource = Value::Object(self.fields.clone());
        apply(
            &self.client,
            self.kind,
            &self.path,
            &resource,
            &self.source,
            streams,
        )
        .await
    }

    fn body(&self, fingerprint: Option<Value>) -> Value {
        let mut body = self.fields.clone();
        body.insert("name".to_owned(), self.path.name().into());
        body.extend(fingerprint.map(|fingerprint| ("fingerprint".to_owned(), fingerprint)));
        body.into()
    }

    /// As a merge patch, for what has no PUT.
    fn difference(&self, current: &Fields, fingerprint: Option<Value>) -> Value {
        let mut patch = self.fields.clone();
        patch.retain(|name, value| current.get(name) != Some(value));
        for name in settable(current.clone()).keys() {
            if !self.fields.contains_key(name) {
                patch.insert(name.clone(), Value::Null);
            }
        }
        patch.extend(fingerprint.map(|fingerprint| ("fingerprint".to_owned(), fingerprint)));
        patch.into()
    }
}

fn settable(mut resource: Fields) -> Fields {
    resource.retain(|name, _| !NOT_IMPORTED.contains(&name.as_str()));
    resource
}

fn read(source: Option<&PathBuf>) -> Result<(String, Fields), Failure> {
    let file = source.filter(|file| file.as_os_str() != "-");
    let name = file.map_or_else(|| "-".to_owned(), |file| file.display().to_string());
    let text = match file {
        Some(file) => std::fs::read_to_string(file),
        None => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).map(|_| text)
        }
    };
    let text = text.map_err(|error| fault(&name, "$", format!("can't be read: {error}")))?;
    let value = from_yaml(&text).map_err(|error| fault(&name, "$", format!("malformed YAML: {error}")))?;
    match value {
        Value::Object(fields) => Ok((name, fields)),
        _ => Err(fault(&name, "$", "must be one resource".to_owned())),
    }
}

/// The file is of this resource.
fn check(kind: Kind, path: &ResourcePath, document: &Fields, source: &str) -> Result<(), Failure> {
    let differs = |field: &str, expected: &str| document.get(field).is_some_and(|given| given != expected);
    let mut faults = Vec::new();
    for (field, expected) in [("kind", kind.as_api()), ("name", path.name())] {
        if differs(field, expected) {
            faults.push(WireFault {
                source: source.to_owned(),
                path: format!("$.{field}"),
                value: document.get(field).map(crate::output::text),
                reason: format!("the resource to import has '{expected}'"),
                hint: None,
            });
        }
    }
    if faults.is_empty() {
        Ok(())
    } else {
        Err(Failure::Invalid(faults))
    }
}

fn fault(source: &str, path: &str, reason: String) -> Failure {
    Failure::Invalid(vec![WireFault {
        source: source.to_owned(),
        path: path.to_owned(),
        value: None,
        reason,
        hint: None,
    }])
}
