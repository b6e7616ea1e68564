//! SamplingPolicies on a laptop: what they did is shown, and what became of a trace is told.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader, Lines};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use support::{folder, manifests, sluice};

const POLICY: &str = "
apiVersion: sluice.dev/v1alpha1
kind: SamplingPolicy
metadata: {name: shop, namespace: shop}
spec:
  tail: {decisionWait: 1s, decisionWaitAfterRoot: 0s}
  keep:
    - {name: errors, match: {status: Error}, atLeastPercent: 100}
  default: {keepPercent: 10}
  tagDecision: true
";

/// Spans that arrived, by their trace.
fn arrived(to: &Path) -> BTreeMap<String, Vec<Value>> {
    let path = to.join("sluice-system/files/traces.jsonl");
    let mut traces = BTreeMap::<String, Vec<Value>>::new();
    let text = fs::read_to_string(path).unwrap_or_default();
    // The last line may be on its way.
    let exports = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    for export in exports {
        let scopes = export["resourceSpans"].as_array().unwrap().iter();
        let scopes = scopes.flat_map(|block| block["scopeSpans"].as_array().unwrap());
        for span in scopes.flat_map(|scope| scope["spans"].as_array().unwrap()) {
            let trace = span["traceId"].as_str().unwrap().to_owned();
            traces.entry(trace).or_default().push(span.clone());
        }
    }
    traces
}

fn has_error(spans: &[Value]) -> bool {
    spans.iter().any(|span| span["status"]["code"] == 2)
}

fn attribute<'a>(span: &'a Value, key: &str) -> &'a Value {
    let attributes = span["attributes"].as_array().unwrap();
    let found = attributes.iter().find(|attribute| attribute["key"] == key);
    found.map_or(&Value::Null, |attribute| &attribute["value"])
}

#[test]
fn a_policy_decides_what_arrives_and_the_run_shows_it() {
    let folder = folder(&[("policy.yaml", POLICY)]);
    let (quickstart, to) = (manifests("quickstart"), folder.path().join("to"));
    let done = sluice(&[
        "run",
        "--demo",
        "--json",
        "--seed=42",
        "--for=3s",
        "--rate=100",
        "--grpc-port=0",
        "--http-port=0",
        "--to",
        to.to_str().unwrap(),
        quickstart.to_str().unwrap(),
        folder.path().join("policy.yaml").to_str().unwrap(),
    ]);
    assert_eq!(done.code, 0, "{}\n{}", done.stdout, done.stderr);
    let lines: Vec<Value> =
        done.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let ready = lines.iter().find(|line| {
        line["kind"] == "SamplingPolicy" && line["condition"] == "Ready" && line["status"] == "True"
    });
    assert!(ready.is_some(), "{}", done.stdout);
    let summary = lines.last().unwrap();
    assert_eq!(summary["balanced"], true, "{summary}");
    let policy = &summary["policies"][0];
    let number = |name: &str| policy[name].as_u64().unwrap();
    assert_eq!(policy["policy"], "shop/shop");
    assert!(number("kept") < number("traces") / 2, "{policy}");
    assert!(0 < number("errorTraces"), "{policy}");
    assert_eq!(number("errorTracesKept"), number("errorTraces"));

    let arrived = arrived(&to);
    assert_eq!(arrived.len() as u64, number("kept"));
    let errors = arrived.values().filter(|spans| has_error(spans)).count() as u64;
    assert_eq!(errors, number("errorTraces"));
    for spans in arrived.values() {
        // The shop's traces have a root each, and all of a trace is there: parents are.
        let ids: BTreeSet<&str> =
            spans.iter().map(|span| span["spanId"].as_str().unwrap()).collect();
        let parents = spans.iter().filter_map(|span| span["parentSpanId"].as_str());
        assert!(parents.filter(|id| !id.is_empty()).all(|id| ids.contains(id)), "{spans:?}");
        let rule = attribute(&spans[0], "sampling.rule")["stringValue"].as_str();
        let state = spans[0]["traceState"].as_str().unwrap_or_default();
        let expected = match has_error(spans) {
            true => (Some("shop/shop/errors"), ""),
            false => (Some("shop/shop/default"), "ot=th:e666"),
        };
        assert_eq!((rule, state), expected);
    }
}

/// `sluice run`, until it is dropped.
struct Run {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Run {
    fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sluice"));
        let command =
            command.args(["run", "--json", "--grpc-port=0", "--http-port=0", "--for=60s"]);
        let command = command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// The next line that is as asked for.
    fn line(&mut self, is_wanted: impl Fn(&Value) -> bool) -> Value {
        let lines = self.lines.by_ref().map(|line| serde_json::from_str(&line.unwrap()).unwrap());
        lines.into_iter().find(is_wanted).unwrap()
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn what_became_of_a_trace_is_explained_while_the_run_lasts() {
    let folder = folder(&[("policy.yaml", POLICY)]);
    let (quickstart, to) = (manifests("quickstart"), folder.path().join("to"));
    let policy = folder.path().join("policy.yaml");
    let quickstart = quickstart.to_str().unwrap();
    let to_text = to.to_str().unwrap();
    let mut run = Run::start(&[
        "--demo",
        "--rate=100",
        "--to",
        to_text,
        quickstart,
        policy.to_str().unwrap(),
    ]);
    let start = run.line(|line| line["type"] == "start");
    let at = start["metrics"].as_str().unwrap().to_owned();
    let explain = |trace: &str, more: &[&str]| {
        sluice(&[&["explain", "trace", "--at", &at, trace], more].concat())
    };
    let unknown = explain("77", &[]);
    assert_eq!(unknown.code, 1, "{}", unknown.stderr);
    assert!(unknown.stdout.contains("nothing is known of it"), "{}", unknown.stdout);

    let mut kept = BTreeMap::new();
    while kept.is_empty() {
        run.line(|line| line["type"] == "second");
        kept = arrived(&to);
    }
    let (trace, spans) = kept.first_key_value().unwrap();
    let rule = if has_error(spans) { "rule errors" } else { "the default" };
    let told = explain(trace, &[]);
    assert_eq!(told.code, 0, "{}", told.stderr);
    let first = format!("Trace {trace}: kept, by {rule} of SamplingPolicy shop/shop\n");
    assert!(told.stdout.starts_with(&first), "{}", told.stdout);
    let json: Value = serde_json::from_str(&explain(trace, &["-o", "json"]).stdout).unwrap();
    assert_eq!((&json["state"], &json["isKept"]), (&"decided".into(), &true.into()));
    drop(run);

    let nobody = explain(trace, &[]);
    assert_eq!(nobody.code, 3);
    assert!(nobody.stderr.contains(&format!("no collector answers at {at}")), "{}", nobody.stderr);
    let wrong = explain("not-hex", &[]);
    assert_eq!(wrong.code, 2);
    assert!(wrong.stderr.contains("32 hexadecimal digits"), "{}", wrong.stderr);
}
