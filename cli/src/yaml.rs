//! The one place that reads YAML. Hostile text is refused before the parser sees it.

use serde_json::{Map, Number, Value};

/// Bytes in one document: what the API server takes in one request.
pub(crate) const DOCUMENT_BYTES_MAX: usize = 3 * 1024 * 1024;
/// Braces and brackets within each other.
const FLOW_DEPTH_MAX: usize = 32;
/// Columns of indentation: blocks within each other.
const INDENTATION_MAX: usize = 256;
/// Uses of an anchor in one document.
const ALIASES_MAX: usize = 64;

/// Where in the document, counted from 1, and what is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Malformed {
    pub(crate) line: usize,
    pub(crate) message: String,
}

/// One document of a stream, as JSON; an empty one is null.
pub(crate) fn parse(text: &str) -> Result<Value, Malformed> {
    guard(text)?;
    let value: serde_yaml::Value = serde_yaml::from_str(text).map_err(|error| {
        let line = error.location().map_or(1, |location| location.line());
        let message = error.to_string();
        let message = message.split(" at line ").next().unwrap_or_default().to_owned();
        Malformed { line, message }
    })?;
    to_json(value).map_err(|message| Malformed { line: 1, message })
}

/// The documents of a stream, each with the number of its first line.
pub(crate) fn documents(text: &str) -> Vec<(usize, String)> {
    let mut documents = vec![(1, String::new())];
    for (index, line) in text.lines().enumerate() {
        if line == "---" || line.starts_with("--- ") {
            documents.push((index + 2, String::new()));
        } else if let Some((_, document)) = documents.last_mut() {
            document.push_str(line);
            document.push('\n');
        }
    }
    let blank = |line: &str| line.trim().is_empty() || line.trim_start().starts_with('#');
    documents.retain(|(_, document)| !document.lines().all(blank));
    documents
}

/// Size, depth and aliases within bounds, judged line by line without a parser.
fn guard(text: &str) -> Result<(), Malformed> {
    let refuse = |line: usize, message: String| Err(Malformed { line, message });
    if text.len() > DOCUMENT_BYTES_MAX {
        let mib = DOCUMENT_BYTES_MAX / (1024 * 1024);
        return refuse(1, format!("a document may have at most {mib} MiB"));
    }
    let mut flow = Flow::default();
    for (index, line) in text.lines().enumerate() {
        if line.len() - line.trim_start().len() > INDENTATION_MAX {
            return refuse(index + 1, format!("indented by more than {INDENTATION_MAX}"));
        }
        flow.pass(line);
        if flow.deepest > FLOW_DEPTH_MAX {
            return refuse(index + 1, format!("nested deeper than {FLOW_DEPTH_MAX}"));
        }
        if flow.aliases > ALIASES_MAX {
            return refuse(index + 1, format!("more than {ALIASES_MAX} aliases"));
        }
    }
    Ok(())
}

/// Brackets and aliases seen so far, outside quotes and comments.
#[derive(Default)]
struct Flow {
    depth: usize,
    deepest: usize,
    aliases: usize,
}

impl Flow {
    fn pass(&mut self, line: &str) {
        let (mut quote, mut before) = (None, ' ');
        for letter in line.chars() {
            match (quote, letter) {
                (Some(open), _) if letter == open && before != '\\' => quote = None,
                (Some(_), _) => {}
                (None, '"' | '\'') if !before.is_alphanumeric() => quote = Some(letter),
                (None, '#') if before == ' ' => break,
                (None, '{' | '[') => self.depth += 1,
                (None, '}' | ']') => self.depth = self.depth.saturating_sub(1),
                (None, '*') if matches!(before, ' ' | '[' | ',' | '{') => self.aliases += 1,
                (None, _) => {}
            }
            self.deepest = self.deepest.max(self.depth);
            before = letter;
        }
    }
}

fn to_json(value: serde_yaml::Value) -> Result<Value, String> {
    Ok(match value {
        serde_yaml::Value::Null => Value::Null,
        serde_yaml::Value::Bool(value) => Value::Bool(value),
        serde_yaml::Value::Number(number) => Value::Number(to_number(&number)?),
        serde_yaml::Value::String(text) => Value::String(text),
        serde_yaml::Value::Sequence(items) => {
            Value::Array(items.into_iter().map(to_json).collect::<Result<_, _>>()?)
        }
        serde_yaml::Value::Mapping(mapping) => {
            let mut fields = Map::new();
            for (key, value) in mapping {
                fields.insert(to_key(key)?, to_json(value)?);
            }
            Value::Object(fields)
        }
        serde_yaml::Value::Tagged(tagged) => {
            return Err(format!("tag {} is not for JSON", tagged.tag));
        }
    })
}

fn to_number(number: &serde_yaml::Number) -> Result<Number, String> {
    let whole = number.as_i64().map(Number::from).or_else(|| number.as_u64().map(Number::from));
    whole
        .or_else(|| number.as_f64().and_then(Number::from_f64))
        .ok_or_else(|| format!("{number} is no number of JSON"))
}

fn to_key(key: serde_yaml::Value) -> Result<String, String> {
    match key {
        serde_yaml::Value::String(text) => Ok(text),
        serde_yaml::Value::Bool(value) => Ok(value.to_string()),
        serde_yaml::Value::Number(number) => Ok(number.to_string()),
        _ => Err("a key must be a string".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn documents_keep_their_place_in_the_file() {
        let text = "# only a comment\n---\na: 1\n---\n\n---\nb: 2\n";
        let found = documents(text);
        assert_eq!(found, [(3, "a: 1\n".to_owned()), (7, "b: 2\n".to_owned())]);
    }

    #[test]
    fn yaml_becomes_json() {
        let text = "a: {b: [1, 2.5, true, null, x]}\n7: &one \"#{\"\nc: *one\n";
        let expected = json!({"a": {"b": [1, 2.5, true, null, "x"]}, "7": "#{", "c": "#{"});
        assert_eq!(parse(text), Ok(expected));
    }

    #[track_caller]
    fn refused(text: &str, line: usize, message: &str) {
        let error = parse(text).unwrap_err();
        assert!(error.message.contains(message), "{error:?}");
        assert_eq!(error.line, line);
    }

    #[test]
    fn hostile_text_is_refused_before_it_is_parsed() {
        refused(&format!("a: {}", "[".repeat(100_000)), 1, "nested deeper");
        let nested: String = (0..300).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect();
        refused(&nested, 258, "indented by more");
        refused(&"- *a\n".repeat(100), 65, "aliases");
        refused(&"a".repeat(DOCUMENT_BYTES_MAX + 1), 1, "at most 3 MiB");
    }

    #[test]
    fn a_mistake_is_found_by_its_line() {
        refused("a: 1\nb: [1\nc: 2\n", 3, "did not find expected");
        refused("a: 1\na: 2\n", 1, "duplicate entry");
        refused("a: !secret x\n", 1, "tag");
    }
}
