//! A percentage as users write it: `1`, `100`, `"0.25"`; a part of a percent goes in quotes.

use crate::rule;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

/// What [`Percent::from_str`] takes, for the API server.
pub const PATTERN: &str = "^(100|[0-9]{1,2}(\\.[0-9]{1,4})?)$";
const DECIMALS: usize = 4;
const PPM_OF_ONE: u32 = 10_000;

/// A share of a whole, 0 to 100 %, in whole parts per million.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Percent {
    ppm: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidPercent(String);

impl Percent {
    /// 100 %.
    pub const ALL: Self = Self { ppm: 100 * PPM_OF_ONE };

    /// # Panics
    /// Above a million.
    pub const fn from_ppm(ppm: u32) -> Self {
        assert!(ppm <= Self::ALL.ppm, "a percentage is at most 100");
        Self { ppm }
    }

    /// Parts per million: 100 % is 1 000 000.
    pub const fn ppm(self) -> u32 {
        self.ppm
    }
}

impl FromStr for Percent {
    type Err = InvalidPercent;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (whole, decimals) = match text.split_once('.') {
            Some((whole, decimals)) => (whole, Some(decimals)),
            None => (text, None),
        };
        let is_number = |text: &str, digits: usize| {
            (1..=digits).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
        };
        let well_formed = match decimals {
            None => text == "100" || is_number(whole, 2),
            Some(decimals) => is_number(whole, 2) && is_number(decimals, DECIMALS),
        };
        // The digits of percents and of their ten-thousandths, side by side, count parts per million.
        let digits = format!("{whole}{:0<DECIMALS$}", decimals.unwrap_or_default());
        digits
            .parse()
            .ok()
            .filter(|_| well_formed)
            .map(Self::from_ppm)
            .ok_or_else(|| InvalidPercent(text.to_owned()))
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.ppm / PPM_OF_ONE)?;
        match self.ppm % PPM_OF_ONE {
            0 => Ok(()),
            rest => write!(out, ".{}", format!("{rest:04}").trim_end_matches('0')),
        }
    }
}

impl fmt::Display for InvalidPercent {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "`{}` is no percentage: write 0 to 100 with at most {DECIMALS} decimals, as 5 or \"0.25\"",
            self.0
        )
    }
}

impl std::error::Error for InvalidPercent {}

impl Serialize for Percent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.ppm % PPM_OF_ONE {
            0 => serializer.serialize_u32(self.ppm / PPM_OF_ONE),
            _ => serializer.collect_str(self),
        }
    }
}

impl<'de> Deserialize<'de> for Percent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(IntOrString)
    }
}

struct IntOrString;

impl Visitor<'_> for IntOrString {
    type Value = Percent;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a percentage, 0 to 100, with decimals in quotes as \"0.25\"")
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Percent, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Percent, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Percent, E> {
        text.parse().map_err(E::custom)
    }
}

impl JsonSchema for Percent {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Percent".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"x-kubernetes-int-or-string": true, "maxLength": 7, "pattern": PATTERN})
    }
}

/// The rule that keeps a percentage within `min` and `max`, both included.
pub(crate) fn between(min: f64, max: f64) -> serde_json::Value {
    let number = PATTERN.replace('\\', "\\\\");
    rule::list(&[(
        &format!(
            "string(self).matches('{number}') && double(self) >= {min:?} && double(self) <= {max:?}"
        ),
        &format!("must be {min} to {max} with at most {DECIMALS} decimals"),
    )])
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn check(text: &str, expected: Option<u32>) {
        assert_eq!(text.parse::<Percent>().ok().map(Percent::ppm), expected, "{text}");
    }

    #[test]
    fn a_percentage_is_0_to_100_with_at_most_4_decimals() {
        check("0", Some(0));
        check("1", Some(10_000));
        check("100", Some(1_000_000));
        check("0.1", Some(1000));
        check("0.0001", Some(1));
        check("99.99", Some(999_900));
        check("07.50", Some(75_000));
    }

    #[test]
    fn what_is_no_percentage_is_refused() {
        for text in ["", "101", "100.0", "1000", "-1", "+1", "1.", ".5", "1.55555", "1 ", "1%"] {
            check(text, None);
        }
        for text in ["1e1", "1,5", "1.2.3", "1.-5", "\u{661}"] {
            check(text, None);
        }
    }

    #[test]
    fn what_users_write_without_quotes_is_read_when_it_is_whole() {
        let read = |json: Value| serde_json::from_value::<Percent>(json).map_err(|e| e.to_string());
        assert_eq!(read(json!(20)), Ok(Percent::from_ppm(200_000)));
        assert_eq!(read(json!("20")), Ok(Percent::from_ppm(200_000)));
        let said = |json| read(json).unwrap_err();
        assert_eq!(
            said(json!(101)),
            "`101` is no percentage: write 0 to 100 with at most 4 decimals, as 5 or \"0.25\""
        );
        assert!(said(json!(-1)).starts_with("`-1` is no percentage"), "{}", said(json!(-1)));
        assert_eq!(
            said(json!(0.25)),
            "invalid type: floating point `0.25`, expected a percentage, 0 to 100, with decimals \
             in quotes as \"0.25\""
        );
    }

    #[test]
    fn a_written_percentage_reads_back_as_itself() {
        for ppm in [0, 1, 1000, 10_000, 12_500, 999_900, 1_000_000] {
            let percent = Percent::from_ppm(ppm);
            assert_eq!(percent.to_string().parse(), Ok(percent));
            let json = serde_json::to_value(percent).unwrap();
            assert_eq!(serde_json::from_value::<Percent>(json).unwrap(), percent);
        }
        assert_eq!(Percent::from_ppm(12_500).to_string(), "1.25");
        assert_eq!(json!([Percent::ALL, Percent::from_ppm(1000)]), json!([100, "0.1"]));
    }
}
