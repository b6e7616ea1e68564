//! A length of time as users write it: `10s`, `1h30m`, `250ms` (Gateway API, GEP-2257).

use crate::rule;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

/// What [`Duration::from_str`] takes, for the API server.
pub const PATTERN: &str = "^([0-9]{1,5}(h|m|s|ms)){1,4}$";

/// A length of time in whole milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Duration {
    millis: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidDuration(String);

impl Duration {
    pub const fn from_millis(millis: u64) -> Self {
        Self { millis }
    }

    pub const fn from_secs(secs: u64) -> Self {
        Self { millis: secs * 1000 }
    }

    pub const fn millis(self) -> u64 {
        self.millis
    }

    pub const fn std(self) -> std::time::Duration {
        std::time::Duration::from_millis(self.millis)
    }
}

impl FromStr for Duration {
    type Err = InvalidDuration;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidDuration(text.to_owned());
        let mut rest = text;
        let mut millis = 0;
        let mut terms = 0;
        while !rest.is_empty() {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let (number, tail) = rest.split_at(digits);
            let (unit, tail) = split_unit(tail).ok_or_else(invalid)?;
            terms += 1;
            if !(1..=5).contains(&digits) || terms > 4 {
                return Err(invalid());
            }
            millis += unit * number.parse::<u64>().map_err(|_| invalid())?;
            rest = tail;
        }
        if terms == 0 { Err(invalid()) } else { Ok(Self { millis }) }
    }
}

/// Milliseconds of the unit at the start of `text`, and what follows it.
fn split_unit(text: &str) -> Option<(u64, &str)> {
    [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000)]
        .into_iter()
        .find_map(|(unit, millis)| text.strip_prefix(unit).map(|rest| (millis, rest)))
}

impl fmt::Display for Duration {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.millis == 0 {
            return out.write_str("0s");
        }
        let mut rest = self.millis;
        for (unit, millis) in [("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)] {
            if rest >= millis {
                write!(out, "{}{unit}", rest / millis)?;
                rest %= millis;
            }
        }
        Ok(())
    }
}

impl fmt::Display for InvalidDuration {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "`{}` is no duration: write it as 10s, 1h30m or 250ms", self.0)
    }
}

impl std::error::Error for InvalidDuration {}

impl Serialize for Duration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Duration {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "maxLength": 32, "pattern": PATTERN})
    }
}

/// The rule that keeps a duration field within `min` and `max`, both included.
pub(crate) fn between(min: &str, max: &str) -> serde_json::Value {
    rule::list(&[(
        &format!("duration(self) >= duration('{min}') && duration(self) <= duration('{max}')"),
        &format!("must be {min} to {max}"),
    )])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<u64>) {
        assert_eq!(text.parse::<Duration>().ok().map(Duration::millis), expected, "{text}");
    }

    #[test]
    fn durations_are_read_as_gateway_api_reads_them() {
        check("10s", Some(10_000));
        check("1h30m", Some(5_400_000));
        check("250ms", Some(250));
        check("1m5ms", Some(60_005));
        check("0s", Some(0));
        check("", None);
        check("10", None);
        check("-1s", None);
        check("1.5s", None);
        check("1 s", None);
        check("100000s", None);
        check("1d", None);
        check("1s1s1s1s1s", None);
    }

    #[test]
    fn a_written_duration_reads_back_as_itself() {
        for millis in [0, 1, 250, 1000, 5000, 90_000, 120_000, 5_400_000, 3_600_001] {
            let duration = Duration::from_millis(millis);
            assert_eq!(duration.to_string().parse(), Ok(duration));
        }
        assert_eq!(Duration::from_secs(120).to_string(), "2m");
    }
}
