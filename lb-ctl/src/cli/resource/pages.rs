//! Lists that the API gives in pages.

use serde_json::Value;

use crate::client::{Client, ClientError};

/// All items. With a body the list is a method that is posted to.
pub(in crate::cli) async fn all_pages(
    client: &Client,
    url: &str,
    body: Option<&Value>,
) -> Result<Vec<Value>, ClientError> {
    let mut items = Vec::new();
    let mut token: Option<String> = None;
    loop {
        let page_url = match &token {
            Some(token) => format!("{url}?pageToken={}", query_escape(token)),
            None => url.to_owned(),
        };
        let mut page: Value = match body {
            Some(body) => client.post(&page_url, body).await?,
            None => client.get(&page_url).await?,
        };
        if let Some(page) = page["items"].as_array_mut() {
            items.append(page);
        }
        match page["nextPageToken"].as_str() {
            Some(next) => token = Some(next.to_owned()),
            None => return Ok(items),
        }
    }
}

/// Percent-encodes everything but the characters that mean nothing in a query.
fn query_escape(text: &str) -> String {
    let escape = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    text.bytes().map(escape).collect()
}
