//! Whatever arrives is answered as specified, counted, and takes down nothing.

mod bodies;
mod cases;
mod grpc;

use crate::http;
use crate::kubectl::{get, wait_for};
use crate::stage::{SYSTEM, Stage};
use anyhow::{Context, Result, ensure};
use cases::Case;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::Duration;

/// What an agent's resident memory may grow by: four times the largest request (16 MiB), as the
/// reference of `spec.receivers.otlp` says.
const GROWTH_MAX_KIB: u64 = 64 * 1024;
const METRICS_PORT: u16 = 8888;

/// What an answer says: the HTTP status, or with gRPC the code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Http(u16),
    Grpc(u16),
}

pub(crate) fn malformed_otlp_gets_the_specified_code(_: &Stage) -> Result<()> {
    let (over_http, over_grpc) = (cases::http()?, cases::grpc()?);
    let agent = Agent::look()?;
    let books = Counters::read(&agent.address)?;
    forget_peak(&agent.processes)?;
    let memory_kib = memory_kib(&agent.processes, "VmRSS:")?;
    let mut wrong = Vec::new();
    // The first request on a connection waits until the agent gave up finding the peer's pod: so
    // all connections are made first, and wait together.
    let grpc_connection = http::connect(&agent.address, 4317)?;
    let connect = |_: &Case| http::connect(&agent.address, 4318);
    let connections: Vec<_> = over_http.iter().map(connect).collect::<Result<_>>()?;
    for (case, mut connection) in over_http.iter().zip(connections) {
        let answer = http::exchange(&mut connection, &case.http_request());
        let answer = answer.and_then(|answer| Ok(Verdict::Http(answer.status()?)));
        judge(&mut wrong, case, answer);
    }
    let mut judge = |case: &Case, answer| judge(&mut wrong, case, answer);
    grpc::call_all(grpc_connection, &over_grpc, &mut judge)?;
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));

    let refused = over_http.iter().chain(&over_grpc).filter(|case| case.is_counted).count() as u64;
    let books_after = Counters::read(&agent.address)?;
    books_after.check_balance()?;
    let counted = books_after.refused().saturating_sub(books.refused());
    ensure!(counted == refused, "{refused} requests were refused, {counted} were counted");
    let growth_kib = self::memory_kib(&agent.processes, "VmHWM:")?.saturating_sub(memory_kib);
    ensure!(growth_kib <= GROWTH_MAX_KIB, "memory grew by {growth_kib} KiB from {memory_kib}");
    let after = Agent::look()?;
    ensure!(after == agent, "the agent changed from {agent:?} to {after:?}");
    Ok(())
}

/// Keeps what is not as specified.
fn judge(wrong: &mut Vec<String>, case: &Case, answer: Result<Verdict>) {
    match answer {
        Ok(verdict) if verdict == case.expected => {}
        answer => wrong.push(format!("{}: {answer:?}, not {:?}", case.name, case.expected)),
    }
}

/// The one agent of the cluster.
#[derive(Debug, PartialEq, Eq)]
struct Agent {
    uid: String,
    address: String,
    restarts: u64,
    processes: BTreeSet<u32>,
}

impl Agent {
    /// Waits until there is exactly one, and it is ready.
    fn look() -> Result<Self> {
        wait_for("one ready agent", Duration::from_secs(60), || {
            let pods = get(&["-n", SYSTEM, "pods", "-l", "app.kubernetes.io/name=sluice-agent"])?;
            let [pod] = pods["items"].as_array().context("no list")?.as_slice() else {
                anyhow::bail!("there is not one agent");
            };
            let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
            let container = &pod["status"]["containerStatuses"][0];
            ensure!(container["ready"] == true, "the agent is not ready");
            Ok(Self {
                uid: text(&pod["metadata"]["uid"]).context("no uid")?,
                address: text(&pod["status"]["podIP"]).context("no address")?,
                restarts: container["restartCount"].as_u64().context("no restart count")?,
                processes: processes()?,
            })
        })
    }
}

/// The agents' process ids, as the node sees them.
fn processes() -> Result<BTreeSet<u32>> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir("/proc")? {
        let entry = entry?;
        let Ok(process) = entry.file_name().to_string_lossy().parse() else { continue };
        // A process may end before it is read.
        let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
        if name.trim() == "sluice-agent" {
            found.insert(process);
        }
    }
    Ok(found)
}

/// From now on `VmHWM` is the most of what comes: proc(5), `clear_refs`.
fn forget_peak(processes: &BTreeSet<u32>) -> Result<()> {
    for process in processes {
        fs::write(format!("/proc/{process}/clear_refs"), "5")
            .with_context(|| format!("process {process} is gone"))?;
    }
    Ok(())
}

/// A line of `/proc/PID/status`, of all.
fn memory_kib(processes: &BTreeSet<u32>, key: &str) -> Result<u64> {
    let mut sum = 0;
    for process in processes {
        let status = fs::read_to_string(format!("/proc/{process}/status"))
            .with_context(|| format!("process {process} is gone"))?;
        let line = status.lines().find_map(|line| line.strip_prefix(key));
        let number = line.with_context(|| format!("no {key}"))?.trim().trim_end_matches(" kB");
        sum += number.parse::<u64>()?;
    }
    Ok(sum)
}

/// The books of the receivers, by signal.
struct Counters(BTreeMap<String, BTreeMap<String, u64>>);

impl Counters {
    fn read(address: &str) -> Result<Self> {
        let mut counters = BTreeMap::<_, BTreeMap<_, _>>::new();
        let text = http::get(address, METRICS_PORT, "/metrics")?;
        for line in text.lines() {
            let Some((series, value)) = line.rsplit_once(' ') else { continue };
            let Some((name, labels)) = series.split_once('{') else { continue };
            let fate = match name {
                "sluice_received_items_total" => "received",
                "sluice_accepted_items_total" => "accepted",
                "sluice_refused_items_total" => "refused",
                _ => continue,
            };
            let signal = labels.split("signal=\"").nth(1).and_then(|rest| rest.split('"').next());
            let book = counters.entry(signal.context("no signal")?.to_owned()).or_default();
            *book.entry(fate.to_owned()).or_default() += value.parse::<f64>()? as u64;
        }
        Ok(Self(counters))
    }

    fn refused(&self) -> u64 {
        self.0.values().filter_map(|book| book.get("refused")).sum()
    }

    fn check_balance(&self) -> Result<()> {
        for (signal, book) in &self.0 {
            let of = |fate: &str| book.get(fate).copied().unwrap_or_default();
            let (received, fates) = (of("received"), of("accepted") + of("refused"));
            ensure!(received == fates, "{signal}: {received} received, {fates} have a fate");
        }
        Ok(())
    }
}
