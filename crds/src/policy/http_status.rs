//! HTTP status codes as users write them: `5xx`, `503`, `500-599`, `429,5xx`.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

/// What [`HttpStatus::from_str`] takes, for the API server.
const PATTERN: &str =
    "^([1-5]xx|[1-5][0-9]{2}(-[1-5][0-9]{2})?)(,([1-5]xx|[1-5][0-9]{2}(-[1-5][0-9]{2})?)){0,15}$";
const PARTS_MAX: usize = 16;

/// Kept as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpStatus {
    text: String,
    ranges: Vec<(u16, u16)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidHttpStatus(String);

impl HttpStatus {
    /// First and last code of each part, both included, in the order in which they are written.
    pub fn ranges(&self) -> &[(u16, u16)] {
        &self.ranges
    }
}

impl FromStr for HttpStatus {
    type Err = InvalidHttpStatus;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let ranges: Option<Vec<_>> = text.split(',').map(range).collect();
        ranges
            .filter(|ranges| ranges.len() <= PARTS_MAX)
            .map(|ranges| Self { text: text.to_owned(), ranges })
            .ok_or_else(|| InvalidHttpStatus(text.to_owned()))
    }
}

fn range(part: &str) -> Option<(u16, u16)> {
    if let Some(class) = part.strip_suffix("xx") {
        let first = code(&format!("{class}00"))?;
        return Some((first, first + 99));
    }
    let (first, last) = part.split_once('-').unwrap_or((part, part));
    let (first, last) = (code(first)?, code(last)?);
    (first <= last).then_some((first, last))
}

fn code(text: &str) -> Option<u16> {
    let digits = text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|code| digits && (100..600).contains(code))
}

impl fmt::Display for HttpStatus {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.text)
    }
}

impl fmt::Display for InvalidHttpStatus {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "`{}` is no HTTP status: write 5xx, 503, 500-599, or up to {PARTS_MAX} of these with \
             commas and no spaces",
            self.0
        )
    }
}

impl std::error::Error for InvalidHttpStatus {}

impl Serialize for HttpStatus {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for HttpStatus {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for HttpStatus {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "HttpStatus".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "maxLength": 127, "pattern": PATTERN})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<&[(u16, u16)]>) {
        let read = text.parse::<HttpStatus>().ok();
        assert_eq!(read.as_ref().map(HttpStatus::ranges), expected, "{text}");
    }

    #[test]
    fn classes_codes_ranges_and_lists_of_them_are_read() {
        check("5xx", Some(&[(500, 599)]));
        check("503", Some(&[(503, 503)]));
        check("500-599", Some(&[(500, 599)]));
        check("429,5xx,100-101", Some(&[(429, 429), (500, 599), (100, 101)]));
    }

    #[test]
    fn what_is_no_status_is_refused() {
        let many = ["404"; 17].join(",");
        for text in ["", "5", "6xx", "0xx", "xx", "5XX", "99", "600", "+50", "599-500", "500-"] {
            check(text, None);
        }
        for text in ["500-5xx", "500,", "500, 503", "500-501-502", many.as_str()] {
            check(text, None);
        }
    }
}
