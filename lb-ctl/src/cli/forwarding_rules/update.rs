//! `forwarding-rules update`.

use std::collections::BTreeMap;

use clap::Args;
use serde_json::{Value, json};

use super::super::options::Shape;
use super::super::resource::{NameArgs, Target, patch};
use super::super::scope::Regional;
use super::super::values::{EnumName, Fields, KeyValues, nothing_given, switch};
use super::super::{Failure, Streams};
use crate::resources::Kind;

#[derive(Debug, Args)]
pub(in crate::cli) struct UpdateArgs {
    #[command(flatten)]
    rule: NameArgs<Regional>,
    #[command(flatten)]
    pub(super) flags: UpdateFlags,
    #[command(flatten)]
    shape: Shape,
}

#[derive(Debug, Args)]
pub(super) struct UpdateFlags {
    /// Only for packets from these prefixes; none for an empty text.
    #[arg(long, value_name = "PREFIX,…")]
    source_ip_ranges: Option<String>,
    /// Clients may be in any region.
    #[arg(long, overrides_with = "no_allow_global_access")]
    allow_global_access: bool,
    /// Clients must be in the rule's region.
    #[arg(long, overrides_with = "allow_global_access")]
    no_allow_global_access: bool,
    /// The network tier; stored.
    #[arg(long, value_parser = EnumName(&["PREMIUM", "STANDARD"]))]
    network_tier: Option<String>,
    /// Labels to set.
    #[arg(long, value_name = "KEY=VALUE,…")]
    update_labels: Option<KeyValues>,
    /// Labels to remove.
    #[arg(long, value_name = "KEY,…", value_delimiter = ',')]
    remove_labels: Vec<String>,
    /// Remove all labels, before any are set.
    #[arg(long, conflicts_with = "remove_labels")]
    clear_labels: bool,
}

impl UpdateFlags {
    /// As a merge patch.
    pub(super) fn fields(&self) -> Fields {
        let mut fields = Fields::default();
        let ranges = self.source_ip_ranges.as_ref();
        let ranges = ranges.map(|text| {
            text.split(',')
                .filter(|part| !part.is_empty())
                .collect::<Vec<_>>()
        });
        fields.set("sourceIpRanges", ranges.map(|ranges| json!(ranges)));
        fields.set(
            "allowGlobalAccess",
            switch(self.allow_global_access, self.no_allow_global_access),
        );
        fields.set("networkTier", self.network_tier.clone());
        fields
    }

    /// What the labels become, if flags say anything of them.
    pub(super) fn labels(&self, rule: &Value) -> Option<BTreeMap<String, String>> {
        if self.update_labels.is_none() && self.remove_labels.is_empty() && !self.clear_labels {
            return None;
        }
        let before = rule["labels"].as_object().into_iter().flatten();
        let mut labels: BTreeMap<String, String> = before
            .filter(|(key, _)| !self.clear_labels && !self.remove_labels.contains(key))
            .map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_owned()))
            .collect();
        labels.extend(
            self.update_labels
                .iter()
                .flat_map(|KeyValues(pairs)| pairs.clone()),
        );
        Some(labels)
    }
}

/// Labels have a method and a fingerprint of their own.
pub(super) async fn run(args: &UpdateArgs, streams: &mut Streams<'_>) -> Result<(), Failure> {
    let target = Target::read(Kind::ForwardingRule, &args.rule).await?;
    let fields = args.flags.fields();
    let labels = args.flags.labels(target.resource());
    if fields.is_empty() && labels.is_none() {
        return Err(nothing_given::<UpdateFlags>());
    }
    if !fields.is_empty() {
        patch(&target, fields, streams).await?;
    }
    if let Some(labels) = labels {
        let mut body = Fields::default();
        body.set("labels", Some(json!(labels)));
        body.set("labelFingerprint", target.resource()["labelFingerprint"].as_str());
        target.call("setLabels", &body.into(), streams).await?;
    }
    target.updated(&args.shape, streams).await
}
