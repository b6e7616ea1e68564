//! Sizes and resource quantities as users write them: `16Mi`, `512Ki`, `500m`.

use crate::rule;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as KubernetesQuantity;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

/// What [`Size::from_str`] takes, for the API server.
pub const SIZE_PATTERN: &str = "^[0-9]{1,12}(k|M|G|T|Ki|Mi|Gi|Ti)?$";
/// Cores or bytes of a container.
const QUANTITY_PATTERN: &str = "^[0-9]{1,15}(\\.[0-9]{1,3})?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$";
const UNITS: [(&str, u64); 8] = [
    ("Ti", 1 << 40),
    ("Gi", 1 << 30),
    ("Mi", 1 << 20),
    ("Ki", 1 << 10),
    ("T", 1_000_000_000_000),
    ("G", 1_000_000_000),
    ("M", 1_000_000),
    ("k", 1000),
];

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Size {
    bytes: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidSize(String);

impl Size {
    pub const fn from_bytes(bytes: u64) -> Self {
        Self { bytes }
    }

    pub const fn from_mebibytes(mebibytes: u64) -> Self {
        Self { bytes: mebibytes << 20 }
    }

    pub const fn bytes(self) -> u64 {
        self.bytes
    }

    /// `percent` of this, rounded down to whole MiB.
    pub const fn share(self, percent: u64) -> Self {
        let bytes = self.bytes as u128 * percent as u128 / 100;
        Self::from_mebibytes((bytes >> 20) as u64)
    }
}

impl FromStr for Size {
    type Err = InvalidSize;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (number, unit) = split_unit(text);
        let digits = number.bytes().all(|byte| byte.is_ascii_digit());
        number
            .parse::<u64>()
            .ok()
            .filter(|_| digits)
            .and_then(|number| number.checked_mul(unit))
            .map(Self::from_bytes)
            .ok_or_else(|| InvalidSize(text.to_owned()))
    }
}

fn split_unit(text: &str) -> (&str, u64) {
    UNITS
        .into_iter()
        .find_map(|(suffix, unit)| text.strip_suffix(suffix).map(|number| (number, unit)))
        .unwrap_or((text, 1))
}

impl fmt::Display for Size {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let binary = UNITS.iter().take(4);
        let fitting =
            binary.filter(|_| self.bytes > 0).find(|(_, unit)| self.bytes.is_multiple_of(*unit));
        match fitting {
            Some((suffix, unit)) => write!(out, "{}{suffix}", self.bytes / unit),
            None => write!(out, "{}", self.bytes),
        }
    }
}

impl fmt::Display for InvalidSize {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "`{}` is no size: write whole bytes as 512Ki, 16Mi or 2Gi", self.0)
    }
}

impl std::error::Error for InvalidSize {}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Size {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Size".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "maxLength": 16, "pattern": SIZE_PATTERN})
    }
}

/// The rule that keeps a size field within `min` and `max`, both included.
pub(crate) fn between(min: &str, max: &str) -> serde_json::Value {
    rule::list(&[(
        &format!(
            "quantity(self).compareTo(quantity('{min}')) >= 0 \
             && quantity(self).compareTo(quantity('{max}')) <= 0"
        ),
        &format!("must be {min} to {max}"),
    )])
}

/// Cores or bytes of a container, kept as written; a whole number may go without quotes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Quantity(String);

#[derive(Deserialize)]
#[serde(untagged)]
enum IntOrString {
    Int(u64),
    String(String),
}

impl Quantity {
    pub fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// As whole bytes, rounded down; `None` for what is no number of bytes.
    pub fn size(&self) -> Option<Size> {
        u64::try_from(self.millionths()? / 1_000_000).ok().map(Size::from_bytes)
    }

    /// As whole thousandths, rounded down; `None` for what is no number.
    pub fn millis(&self) -> Option<u64> {
        u64::try_from(self.millionths()? / 1000).ok()
    }

    fn millionths(&self) -> Option<u128> {
        let (number, unit) = match self.0.strip_suffix('m') {
            Some(number) => (number, 1),
            None => {
                let (number, unit) = split_unit(&self.0);
                (number, u128::from(unit) * 1000)
            }
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let thousandths = format!("{whole}{fraction:0<3}").parse::<u128>().ok()?;
        if fraction.len() > 3 {
            return None;
        }
        thousandths.checked_mul(unit)
    }
}

impl From<&Quantity> for KubernetesQuantity {
    fn from(quantity: &Quantity) -> Self {
        Self(quantity.0.clone())
    }
}

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(match IntOrString::deserialize(deserializer)? {
            IntOrString::Int(number) => number.to_string(),
            IntOrString::String(text) => text,
        }))
    }
}

impl JsonSchema for Quantity {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Quantity".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "x-kubernetes-int-or-string": true,
            "maxLength": 20,
            "pattern": QUANTITY_PATTERN,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<u64>) {
        assert_eq!(text.parse::<Size>().ok().map(Size::bytes), expected, "{text}");
    }

    #[test]
    fn sizes_are_whole_bytes_with_binary_or_decimal_units() {
        check("16Mi", Some(16 << 20));
        check("2k", Some(2000));
        check("4096", Some(4096));
        check("0", Some(0));
        check("1.5Gi", None);
        check("-1", None);
        check("+1", None);
        check("", None);
        check("Mi", None);
        check("16MiB", None);
        check("99999999999999999999Ti", None);
    }

    #[test]
    fn a_written_size_reads_back_as_itself() {
        for bytes in [0, 1, 1000, 1024, 5 << 20, 2 << 30, 3 << 40] {
            let size = Size::from_bytes(bytes);
            assert_eq!(size.to_string().parse(), Ok(size));
        }
        assert_eq!(Size::from_mebibytes(640).share(64).to_string(), "409Mi");
    }

    #[test]
    fn a_container_memory_is_read_from_any_quantity() {
        let bytes = |json: serde_json::Value| {
            serde_json::from_value::<Quantity>(json).unwrap().size().map(Size::bytes)
        };
        assert_eq!(bytes("640Mi".into()), Some(640 << 20));
        assert_eq!(bytes("1.5Gi".into()), Some(3 << 29));
        assert_eq!(bytes(671_088_640.into()), Some(640 << 20));
        assert_eq!(bytes("1000m".into()), Some(1));
        assert_eq!(bytes("much".into()), None);
    }

    #[test]
    fn cores_are_counted_in_thousandths() {
        let millis = |text| Quantity::new(text).millis();
        assert_eq!(millis("500m"), Some(500));
        assert_eq!(millis("2"), Some(2000));
        assert_eq!(millis("1.5"), Some(1500));
        assert_eq!(millis("much"), None);
    }
}
