//! From documents to what the planner reads: each object judged as the API server would judge it.

use crate::arguments::Cluster;
use crate::read::{self, Document, Unreadable, line_of};
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use sluice_plan::{Kind, ObjectName, Observed, Problem, Settings, offline};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

/// What the files hold.
pub(crate) struct Loaded {
    /// The objects that the API server would take; the others are in `findings`.
    pub(crate) observed: Observed,
    pub(crate) findings: Vec<Finding>,
    /// Objects that are not for Sluice, one line each.
    pub(crate) notes: Vec<String>,
    /// Where each object stands.
    places: BTreeMap<(Kind, ObjectName), Document>,
}

/// What is wrong with one object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    pub(crate) file: String,
    pub(crate) line: usize,
    /// `Kind namespace/name`.
    pub(crate) object: String,
    pub(crate) verdict: Verdict,
    /// The field, or empty.
    pub(crate) path: String,
    /// What is wrong and what to do.
    pub(crate) message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verdict {
    /// The API server would not take it.
    Refused,
    /// The API server would take it; its conditions would say that it cannot run.
    Rejected,
    /// It names what these files do not hold.
    Unresolved,
    /// It would run, but a part of it does nothing.
    Ineffective,
}

impl Verdict {
    /// Whether it is wrong in any case.
    pub(crate) fn is_error(self) -> bool {
        match self {
            Self::Refused | Self::Rejected => true,
            Self::Unresolved | Self::Ineffective => false,
        }
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Rejected => "rejected",
            Self::Unresolved => "unresolved",
            Self::Ineffective => "ineffective",
        }
    }
}

/// Reads and judges. `image` is what a Collector runs that names none.
///
/// # Errors
/// When a file cannot be read, or none holds an object of Sluice.
pub(crate) fn load(
    paths: &[PathBuf],
    cluster: &Cluster,
    image: &str,
    now: Timestamp,
) -> Result<Loaded, Unreadable> {
    let settings = Settings::new(&cluster.system_namespace, env!("CARGO_PKG_VERSION"), image);
    let mut loaded = Loaded {
        observed: Observed::new(now, settings),
        findings: Vec::new(),
        notes: Vec::new(),
        places: BTreeMap::new(),
    };
    for document in read::read(paths)? {
        loaded.take(document);
    }
    if loaded.places.is_empty() && loaded.findings.is_empty() {
        let names: Vec<_> = paths.iter().map(|path| path.display().to_string()).collect();
        return Err(Unreadable::new(format!(
            "{}: no Collector, TelemetryPipeline, Destination or SamplingPolicy there \
             (apiVersion: {})",
            names.join(", "),
            sluice_plan::API_VERSION
        )));
    }
    loaded.name_namespaces();
    Ok(loaded)
}

impl Loaded {
    fn take(&mut self, document: Document) {
        let value = &document.value;
        let kind = value["kind"].as_str().unwrap_or_default();
        let group = value["apiVersion"].as_str().and_then(|version| version.split('/').next());
        let ours = group == Some(sluice_crds::GROUP) || offline::is_namespaced(kind).is_some();
        if !ours {
            if kind == "Namespace" {
                self.take_namespace(value);
            } else {
                let name = value["metadata"]["name"].as_str().unwrap_or_default();
                let (file, line) = (&document.file, document.line);
                self.notes.push(format!("{file}:{line}: {kind} {name} is not for Sluice: skipped"));
            }
            return;
        }
        let problems = offline::validate(value);
        if problems.is_empty() {
            return self.take_object(document);
        }
        for problem in problems {
            let finding = Finding::of_problem(&document, &problem);
            self.findings.push(finding);
        }
    }

    fn take_namespace(&mut self, value: &Value) {
        let Some(name) = value["metadata"]["name"].as_str() else { return };
        let labels = value["metadata"]["labels"].as_object().into_iter().flatten();
        let labels = labels.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.into())));
        self.observed.namespaces.insert(name.to_owned(), labels.collect());
    }

    fn take_object(&mut self, document: Document) {
        let value = as_stored(&document.value);
        let name = name_of(&value);
        let observed = &mut self.observed;
        let (kind, taken) = match value["kind"].as_str() {
            Some("Collector") => {
                (Kind::Collector, insert(&mut observed.collectors, name.name.clone(), value))
            }
            Some("TelemetryPipeline") => {
                (Kind::TelemetryPipeline, insert(&mut observed.pipelines, name.clone(), value))
            }
            Some("SamplingPolicy") => {
                (Kind::SamplingPolicy, insert(&mut observed.policies, name.clone(), value))
            }
            _ => (Kind::Destination, insert(&mut observed.destinations, name.clone(), value)),
        };
        match taken {
            Ok(()) => self.place(kind, name, document),
            Err(message) => {
                self.findings.push(Finding::new(&document, Verdict::Refused, "", &message));
            }
        }
    }

    fn place(&mut self, kind: Kind, name: ObjectName, document: Document) {
        if let Some(first) = self.places.get(&(kind, name.clone())) {
            let message =
                format!("stands also in {}:{}; remove one of the two", first.file, first.line);
            self.findings.push(Finding::new(&document, Verdict::Refused, "", &message));
        }
        self.places.insert((kind, name), document);
    }

    /// A namespace needs no file of its own, and the API server labels each with its name.
    fn name_namespaces(&mut self) {
        let observed = &mut self.observed;
        let named = observed.pipelines.keys().chain(observed.destinations.keys());
        let named = named.chain(observed.policies.keys());
        let mut names: Vec<String> = named.map(|name| name.namespace.clone()).collect();
        names.push(observed.settings.system_namespace.clone());
        for name in names {
            observed.namespaces.entry(name).or_default();
        }
        for (name, labels) in &mut observed.namespaces {
            labels.insert("kubernetes.io/metadata.name".to_owned(), name.clone());
        }
    }

    /// How many objects of Sluice there are, good or bad.
    pub(crate) fn objects(&self) -> usize {
        let refused = self.findings.iter().filter(|f| f.verdict == Verdict::Refused);
        let refused: BTreeSet<_> = refused.map(|f| (&f.file, &f.object)).collect();
        self.places.len() + refused.len()
    }

    /// A finding about an object that the API server took.
    pub(crate) fn finding(
        &self,
        kind: Kind,
        name: &ObjectName,
        verdict: Verdict,
        (reason, message): (&str, &str),
    ) -> Option<Finding> {
        let document = self.places.get(&(kind, name.clone()))?;
        // Where a field is to blame, the message begins with it.
        let path = message.split(": ").next().filter(|path| path.starts_with("spec."));
        let path = path.filter(|path| !path.contains(' ')).unwrap_or_default();
        Some(Finding::new(document, verdict, path, &format!("{reason}: {message}")))
    }
}

impl Finding {
    fn new(document: &Document, verdict: Verdict, path: &str, message: &str) -> Self {
        let kind = document.value["kind"].as_str().unwrap_or("object");
        let name = name_of(&document.value);
        Self {
            file: document.file.clone(),
            line: line_of(document, path),
            object: format!("{kind} {name}"),
            verdict,
            path: path.to_owned(),
            message: message.to_owned(),
        }
    }

    fn of_problem(document: &Document, problem: &Problem) -> Self {
        let path = match problem {
            Problem::Invalid { path, .. } => path.as_str(),
            _ => "",
        };
        Self::new(document, Verdict::Refused, path, &problem.to_string())
    }
}

fn insert<K: Ord, T: DeserializeOwned>(
    objects: &mut BTreeMap<K, Arc<T>>,
    name: K,
    value: Value,
) -> Result<(), String> {
    let object = serde_json::from_value(value).map_err(|error| error.to_string())?;
    objects.insert(name, Arc::new(object));
    Ok(())
}

/// With the schema's defaults and what the API server adds to the metadata.
fn as_stored(value: &Value) -> Value {
    let mut value = offline::with_defaults(value);
    let name = name_of(&value);
    let uid = format!("{}-{name}", value["kind"].as_str().unwrap_or_default().to_lowercase());
    value["metadata"]["generation"] = json!(1);
    value["metadata"]["uid"] = json!(uid.replace('/', "-"));
    if !name.namespace.is_empty() {
        value["metadata"]["namespace"] = json!(name.namespace);
    }
    if let Some(fields) = value.as_object_mut() {
        fields.remove("status");
    }
    value
}

/// An object of a namespace that names none stands in `default`, as with kubectl.
fn name_of(value: &Value) -> ObjectName {
    let text = |field: &str| value["metadata"][field].as_str().unwrap_or_default();
    let kind = value["kind"].as_str().unwrap_or_default();
    let namespace = match (offline::is_namespaced(kind), text("namespace")) {
        (Some(false), _) => "",
        (Some(true), "") => "default",
        (_, namespace) => namespace,
    };
    ObjectName::new(namespace, text("name"))
}
