//! The line on which a field stands, found by names and indentation. A hint for people: inside flow
//! style or block text it is the nearest line above.

use super::Document;

/// The line, from 1, in the document's file of a field such as `spec.traces.destinationRefs[0].name`
/// or `spec.headers[x-team]`; its nearest parent's when the field is missing.
pub(crate) fn line_of(document: &Document, path: &str) -> usize {
    let wanted = segments(path);
    let mut outline = Outline::default();
    let (mut found, mut likeness) = (None, 0);
    for (number, line) in document.text.lines().enumerate() {
        if is_blank(line) {
            continue;
        }
        let first = *found.get_or_insert(number);
        outline.pass(line, |own| {
            let shared = own.iter().zip(&wanted).take_while(|(a, b)| a.name == **b).count();
            if shared == own.len() && shared > likeness {
                likeness = shared;
                found = Some(number.max(first));
            }
        });
    }
    document.line + found.unwrap_or(0)
}

/// Where a line stands in the document: its parents, from the root.
#[derive(Default)]
struct Outline {
    parents: Vec<Entry>,
}

struct Entry {
    column: usize,
    /// A key, or the index of an item.
    name: String,
    is_item: bool,
}

impl Outline {
    /// Takes in the next line, and shows each entry that it begins with those above it.
    fn pass(&mut self, line: &str, mut begun: impl FnMut(&[Entry])) {
        let mut text = line.trim_start();
        let mut column = line.len() - text.len();
        while let Some(rest) = text.strip_prefix("- ") {
            let index = self.next_index(column);
            self.parents.push(Entry { column, name: index.to_string(), is_item: true });
            begun(&self.parents);
            column += text.len() - rest.trim_start().len();
            text = rest.trim_start();
        }
        if let Some(key) = key_of(text) {
            self.parents.retain(|parent| parent.column < column);
            self.parents.push(Entry { column, name: key.to_owned(), is_item: false });
            begun(&self.parents);
        }
    }

    /// Leaves the item before this one, if there was one. A list may stand at its key's own column.
    fn next_index(&mut self, column: usize) -> usize {
        let before = self.parents.iter().find(|parent| parent.column == column && parent.is_item);
        let index = before.and_then(|item| item.name.parse::<usize>().ok()).map_or(0, |i| i + 1);
        self.parents.retain(|p| p.column < column || (p.column == column && !p.is_item));
        index
    }
}

/// The key before the first colon, without its quotes.
fn key_of(text: &str) -> Option<&str> {
    let end = text.find(": ").or_else(|| text.strip_suffix(':').map(str::len))?;
    Some(text[..end].trim_matches(['"', '\'']))
}

/// `a.b[0].c` as `a`, `b`, `0`, `c`; what stands in brackets is one segment.
fn segments(path: &str) -> Vec<String> {
    let mut segments = vec![String::new()];
    let mut bracket = false;
    for letter in path.chars() {
        match letter {
            '.' if !bracket => segments.push(String::new()),
            '[' => {
                bracket = true;
                segments.push(String::new());
            }
            ']' => bracket = false,
            _ => segments.last_mut().into_iter().for_each(|last| last.push(letter)),
        }
    }
    segments.retain(|segment| !segment.is_empty());
    segments
}

fn is_blank(line: &str) -> bool {
    let text = line.trim_start();
    text.is_empty() || text.starts_with('#')
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
# a comment
kind: TelemetryPipeline
metadata:
  name: a
  labels: {spec: x}
spec:
  traces:
    destinationRefs:
      - name: one
        namespace: n
      - namespace: m
        name: two
  logs:
    destinationRefs:
    - name: three
  enrich: {kubernetes: Full, podLabels: [a]}
  delivery:
    queue: {maxSize: 1Gi}
";

    #[track_caller]
    fn check(path: &str, expected: &str) {
        let document = Document {
            file: "a.yaml".into(),
            line: 1,
            text: TEXT.into(),
            value: serde_json::Value::Null,
        };
        let line = TEXT.lines().nth(line_of(&document, path) - 1).unwrap();
        assert_eq!(line.trim(), expected, "{path}");
    }

    #[test]
    fn a_field_is_found_by_its_path() {
        check("", "kind: TelemetryPipeline");
        check("metadata.name", "name: a");
        check("spec", "spec:");
        check("spec.traces.destinationRefs[0].namespace", "namespace: n");
        check("spec.traces.destinationRefs[1].name", "name: two");
        check("spec.traces.destinationRefs[1].namespace", "- namespace: m");
        check("spec.logs.destinationRefs[0].name", "- name: three");
        check("spec.enrich.podLabels", "enrich: {kubernetes: Full, podLabels: [a]}");
        check("spec.delivery.queue.maxSize", "queue: {maxSize: 1Gi}");
    }

    #[test]
    fn a_missing_field_is_told_where_it_should_stand() {
        check("spec.metrics.destinationRefs", "spec:");
        check("spec.traces.destinationRefs[7]", "destinationRefs:");
        check("status.x", "kind: TelemetryPipeline");
    }
}
