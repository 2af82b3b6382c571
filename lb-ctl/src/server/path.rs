//! The path of a URL, segment by segment: decoded after it is taken apart, so that an encoded slash joins nothing.

use percent_encoding::percent_decode_str;

use super::error::{ApiError, ApiResult};

/// What resource names, locations and projects of every kind are made of.
fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':' | '~')
}

/// The segments of `path`, decoded and joined again. What no name can hold is refused: slashes, control characters, dot
/// segments, and all that is not ASCII.
pub(super) fn decode(path: &str) -> ApiResult<String> {
    let segments: Vec<String> = path.split('/').map(segment).collect::<ApiResult<_>>()?;
    Ok(segments.join("/"))
}

fn segment(raw: &str) -> ApiResult<String> {
    let refused = |why: &str| ApiError::bad_request(format!("Invalid URL segment '{raw}'. {why}"));
    let broken = raw.split('%').skip(1).any(|after| {
        !after
            .get(..2)
            .is_some_and(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()))
    });
    if broken {
        return Err(refused("A '%' must be followed by two hexadecimal digits."));
    }
    let decoded = percent_decode_str(raw)
        .decode_utf8()
        .map_err(|_| refused("It is not UTF-8."))?;
    match decoded.as_ref() {
        "." | ".." => Err(refused("Dot segments are not resolved.")),
        text if text.chars().all(is_plain) => Ok(text.to_owned()),
        _ => Err(refused(
            "Names are made of letters, digits, '-', '_', '.', ':' and '~'.",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_decoded_once_and_never_joined() {
        assert_eq!(
            decode("p/regions/r%31/%62ackendServices").unwrap(),
            "p/regions/r1/backendServices"
        );
        assert_eq!(decode("example.com:p//x/").unwrap(), "example.com:p//x/");
        for path in [
            "a%2Fb", "a%2fb", "a%00", "%2e%2e", "..", ".", "%2E", "a/../b", "%ff", "%c3%a4", "a%", "a%2",
            "a%zz", "a%2525", "a b", "a\\b", "a%0a", "ä", "a;b", "a?b", "a%+1",
        ] {
            assert!(decode(path).is_err(), "{path}");
        }
    }
}
