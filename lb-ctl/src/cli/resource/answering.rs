//! How packets for a rule's VIP are made to come to the balancer, which the cloud's shape has no field for.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde_json::{Value, json};

use crate::client::{Client, ClientError};
use crate::views::Status;

/// By VIP; or why it can't be told.
pub(super) struct Answering(Result<BTreeMap<IpAddr, String>, ClientError>);

impl Answering {
    pub(super) async fn load(client: &Client) -> Self {
        let status = client.get::<Status>("/lb/v1/status").await;
        let by_vip = |status: Status| {
            let vips = status.vips.into_iter();
            vips.map(|vip| (vip.address, vip.answering)).collect()
        };
        Self(status.map(by_vip))
    }

    /// `lb.answering` of a forwarding rule.
    pub(super) fn annotate(&self, rule: &mut Value) {
        let text = rule["IPAddress"].as_str().unwrap_or_default();
        let address = text.split('/').next().unwrap_or_default();
        let answering = match &self.0 {
            Ok(vips) => address
                .parse()
                .ok()
                .and_then(|address: IpAddr| vips.get(&address).cloned()),
            Err(error) => Some(format!("not known: {error}")),
        };
        if let Some(answering) = answering {
            rule["lb"] = json!({ "answering": answering });
        }
    }
}
