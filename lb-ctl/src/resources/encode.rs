//! The derived values of a stored resource: content hash, fingerprint, numeric id.

use serde_json::{Map, Value};

/// FNV-1a with a final mix. It detects change; it defends nothing.
#[derive(Clone, Copy)]
struct Hash(u64);

impl Hash {
    const NEW: Self = Self(0xcbf2_9ce4_8422_2325);

    fn bytes(mut self, bytes: &[u8]) -> Self {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
        self
    }

    fn finish(self) -> u64 {
        let mut x = self.0;
        x = (x ^ (x >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        x = (x ^ (x >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        x ^ (x >> 33)
    }
}

/// The `fingerprint` of a content: equal contents have equal ones, whatever the order of their members.
pub(crate) fn fingerprint(content: &Map<String, Value>) -> String {
    base64(&hash_object(Hash::NEW, content).finish().to_be_bytes())
}

/// The `id` of a resource made at `nanosecond`: a positive int64, so that every client can hold it.
pub(super) fn numeric_id(path: &str, nanosecond: i128) -> String {
    let hash = Hash::NEW
        .bytes(path.as_bytes())
        .bytes(&nanosecond.to_be_bytes())
        .finish();
    ((hash >> 1).max(1)).to_string()
}

fn hash_object(hash: Hash, object: &Map<String, Value>) -> Hash {
    let mut names: Vec<_> = object.iter().collect();
    names.sort_by_key(|(name, _)| name.as_str());
    let opened = hash.bytes(b"{");
    let inside = names.into_iter().fold(opened, |hash, (name, value)| {
        hash_value(hash_text(hash, name), value)
    });
    inside.bytes(b"}")
}

fn hash_value(hash: Hash, value: &Value) -> Hash {
    match value {
        Value::Object(object) => hash_object(hash, object),
        Value::Array(items) => items.iter().fold(hash.bytes(b"["), hash_value).bytes(b"]"),
        Value::String(text) => hash_text(hash, text),
        other => hash.bytes(other.to_string().as_bytes()).bytes(b","),
    }
}

fn hash_text(hash: Hash, text: &str) -> Hash {
    hash.bytes(b"\"")
        .bytes(&(text.len() as u64).to_be_bytes())
        .bytes(text.as_bytes())
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let group = chunk
            .iter()
            .fold(0u32, |group, byte| group << 8 | u32::from(*byte))
            << (8 * (3 - chunk.len()));
        for position in 0..4 {
            let digit = (group >> (18 - 6 * position)) & 63;
            text.push(if position <= chunk.len() {
                char::from(ALPHABET[digit as usize])
            } else {
                '='
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_follows_rfc_4648() {
        for (plain, coded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
    }

    #[test]
    fn the_fingerprint_follows_content_not_order() {
        let parse = |text: &str| serde_json::from_str::<Map<String, Value>>(text).unwrap();
        let one = fingerprint(&parse(r#"{"a": 1, "b": {"c": ["x", "y"], "d": true}}"#));
        assert_eq!(
            one,
            fingerprint(&parse(r#"{"b": {"d": true, "c": ["x", "y"]}, "a": 1}"#))
        );
        assert_ne!(
            one,
            fingerprint(&parse(r#"{"a": 1, "b": {"c": ["y", "x"], "d": true}}"#))
        );
        assert_ne!(
            one,
            fingerprint(&parse(r#"{"a": 1, "b": {"c": ["xy"], "d": true}}"#))
        );
    }
}
