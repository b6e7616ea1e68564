//! Writes YAML: the one place that does.

use serde::Serialize;

/// One document, block style, without `---`.
///
/// # Errors
/// When the value has a map key that is no text.
pub fn write(value: &impl Serialize) -> Result<String, String> {
    serde_yaml::to_string(value).map_err(|error| error.to_string())
}
