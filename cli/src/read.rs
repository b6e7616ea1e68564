//! From files, folders and stdin to documents, each with its place. Knows no kind of object.

mod kustomization;
mod place;

pub(crate) use place::line_of;

use crate::yaml;
use serde_json::Value;
use std::fmt;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Bytes in one file.
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Files in one folder.
const FILES_MAX: usize = 10_000;

/// One object, as it was written.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Document {
    pub(crate) file: String,
    /// Of its first line in the file, from 1.
    pub(crate) line: usize,
    pub(crate) text: String,
    pub(crate) value: Value,
}

/// What was given cannot be read: the user is wrong about the file, not about an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unreadable(String);

impl fmt::Display for Unreadable {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl std::error::Error for Unreadable {}

impl Unreadable {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }

    fn at(path: &Path, problem: impl fmt::Display) -> Self {
        Self(format!("{}: {problem}", path.display()))
    }
}

/// Every document of these files and folders, in the order given; within a folder by name.
///
/// # Errors
/// The first file that cannot be read, with its place and what to do.
pub(crate) fn read(paths: &[PathBuf]) -> Result<Vec<Document>, Unreadable> {
    let mut documents = Vec::new();
    for path in paths {
        if path.as_os_str() == "-" {
            let text = text_of(std::io::stdin(), Path::new("stdin"))?;
            documents.extend(parse("stdin", &text)?);
            continue;
        }
        for file in files(path, 0)? {
            let opened = fs::File::open(&file).map_err(|error| Unreadable::at(&file, error))?;
            let text = text_of(opened, &file)?;
            documents.extend(parse(&file.display().to_string(), &text)?);
        }
    }
    if documents.is_empty() {
        let names: Vec<_> = paths.iter().map(|path| path.display().to_string()).collect();
        let names = names.join(", ");
        return Err(Unreadable(format!("{names}: no YAML or JSON there; name a file or folder")));
    }
    Ok(documents)
}

/// The files that a path stands for. `depth` counts kustomizations within each other.
fn files(path: &Path, depth: usize) -> Result<Vec<PathBuf>, Unreadable> {
    let metadata = fs::metadata(path).map_err(|error| Unreadable::at(path, error))?;
    if !metadata.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    if let Some(resources) = kustomization::resources(path)? {
        if depth > kustomization::DEPTH_MAX {
            return Err(Unreadable::at(path, "kustomizations refer to each other in a ring"));
        }
        let listed = resources.iter().map(|resource| files(resource, depth + 1));
        return Ok(listed.collect::<Result<Vec<_>, _>>()?.concat());
    }
    let entries = fs::read_dir(path).map_err(|error| Unreadable::at(path, error))?;
    let mut found = Vec::new();
    for entry in entries.take(FILES_MAX) {
        let file = entry.map_err(|error| Unreadable::at(path, error))?.path();
        let extension = file.extension().and_then(|extension| extension.to_str());
        if matches!(extension, Some("yaml" | "yml" | "json")) && file.is_file() {
            found.push(file);
        }
    }
    found.sort();
    Ok(found)
}

fn text_of(source: impl Read, path: &Path) -> Result<String, Unreadable> {
    let mut bytes = Vec::new();
    let mut source = source.take(FILE_BYTES_MAX + 1);
    source.read_to_end(&mut bytes).map_err(|error| Unreadable::at(path, error))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(Unreadable::at(path, "larger than 64 MiB"));
    }
    String::from_utf8(bytes).map_err(|_| Unreadable::at(path, "not UTF-8 text"))
}

fn parse(file: &str, text: &str) -> Result<Vec<Document>, Unreadable> {
    let mut found = Vec::new();
    for (line, text) in yaml::documents(text) {
        let value = yaml::parse(&text).map_err(|error| {
            Unreadable(format!("{file}:{}: {}", line + error.line - 1, error.message))
        })?;
        let document = Document { file: file.to_owned(), line, text, value };
        found.extend(members(document));
    }
    Ok(found)
}

/// The members of a `kind: List`, else the document itself.
fn members(document: Document) -> Vec<Document> {
    let is_list = document.value["kind"].as_str().is_some_and(|kind| kind.ends_with("List"));
    let Some(items) = document.value["items"].as_array().filter(|_| is_list) else {
        return vec![document];
    };
    let item = |value: &Value| Document { value: value.clone(), ..document.clone() };
    items.iter().map(item).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        folder
    }

    fn kinds(folder: &tempfile::TempDir) -> Result<String, String> {
        let found = read(&[folder.path().to_owned()]).map_err(|error| error.to_string())?;
        let kinds = found.iter().map(|document| document.value["kind"].as_str().unwrap());
        Ok(kinds.collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn a_folder_is_read_by_name_and_nothing_below_it() {
        let folder = folder(&[
            ("b.yaml", "kind: B"),
            ("a.yml", "kind: A1\n---\nkind: A2"),
            ("c.json", "{\"kind\": \"List\", \"items\": [{\"kind\": \"C\"}]}"),
            ("notes.txt", "kind: D"),
            ("below/e.yaml", "kind: E"),
        ]);
        assert_eq!(kinds(&folder).unwrap(), "A1 A2 B C");
    }

    #[test]
    fn a_kustomization_says_which_files_count() {
        let folder = folder(&[
            ("kustomization.yaml", "resources:\n- b.yaml\n- ./x\n- below"),
            ("a.yaml", "kind: A"),
            ("b.yaml", "kind: B"),
            ("below/kustomization.yaml", "resources: [c.yaml]"),
            ("below/c.yaml", "kind: C"),
        ]);
        let error = kinds(&folder).unwrap_err();
        assert!(error.contains("/./x: No such file"), "{error}");
        let path = folder.path().join("kustomization.yaml");
        fs::write(path, "resources:\n- b.yaml\n- below").unwrap();
        assert_eq!(kinds(&folder).unwrap(), "B C");
    }

    #[test]
    fn what_kustomize_would_change_is_not_passed_over() {
        let folder = folder(&[
            ("kustomization.yaml", "namePrefix: x-\nresources: [a.yaml]"),
            ("a.yaml", "kind: A"),
        ]);
        let error = kinds(&folder).unwrap_err();
        assert!(error.contains("namePrefix is left to kubectl"), "{error}");
        let path = folder.path().join("kustomization.yaml");
        fs::write(path, "resources: [.]").unwrap();
        assert!(kinds(&folder).unwrap_err().contains("in a ring"));
    }

    #[test]
    fn a_mistake_is_told_with_file_and_line() {
        let folder = folder(&[("a.yaml", "kind: A\n---\nkind: B\nspec: [\n")]);
        let error = kinds(&folder).unwrap_err();
        assert!(error.contains("a.yaml:5: "), "{error}");
        assert!(read(&[]).unwrap_err().to_string().contains("no YAML or JSON"));
    }
}
