//! The operator's word arrives, an older leader's does not, and a restart needs neither.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are tests")]

mod support;

use sluice_agent::cluster::{RunArguments, run};
use sluice_engine::config::{Config, FORMAT, hash};
use sluice_wire::control::sampling::{Found, Known, Lookup};
use sluice_wire::control::{Adoption, NotLeader, ToCollector, to_collector};
use std::net::SocketAddr;
use support::client::Grpc;
use support::operator::{Operator, arguments, assignment};
use support::oracle::Oracle;
use support::sampling::*;
use support::{config, file, free_port, pipeline, until};

fn not_leader(address: SocketAddr) -> ToCollector {
    let not_leader = NotLeader { address: address.to_string() };
    ToCollector { message: Some(to_collector::Message::NotLeader(not_leader)) }
}

/// Different hashes for different numbers.
fn numbered(number: u64) -> (Config, String) {
    let mut config = config();
    config.batch.timeout_ms = number;
    let hash = hash(&config.to_bytes());
    (config, hash)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_assignment_is_adopted_kept_and_reported() {
    let folder = tempfile::tempdir().unwrap();
    let (first, first_hash) = numbered(50);
    let (operator, tell, address) = Operator::start(assignment(7, &first)).await;
    let agent = tokio::spawn(run(arguments(folder.path(), address)));
    until("the first config runs", || operator.last().config_hash == first_hash).await;
    assert_eq!(operator.last().adoption(), Adoption::Applied);
    assert_eq!(operator.hellos.lock().unwrap()[0].fleet, "edge");

    let (mut broken, _) = numbered(60);
    broken.pipelines.insert("shop/shop".into(), pipeline(&["shop/absent".into()]));
    tell.send_replace(assignment(7, &broken));
    until("the failure is told", || operator.last().adoption() == Adoption::Failed).await;
    assert_eq!(operator.last().config_hash, first_hash);
    assert!(operator.last().adoption_error.contains("shop/absent"));
    let kept = || std::fs::read(folder.path().join("config.json")).unwrap();
    assert_eq!(kept(), first.to_bytes(), "what was refused is not kept");

    let (mut second, _) = numbered(70);
    second.destinations.insert("shop/file".into(), file("out"));
    second.pipelines.insert("shop/shop".into(), pipeline(&["shop/file".into()]));
    let second_hash = hash(&second.to_bytes());
    tell.send_replace(assignment(8, &second));
    until("the second config runs", || operator.last().config_hash == second_hash).await;
    assert_eq!(kept(), second.to_bytes());
    let queues = || operator.last().destinations.len();
    until("its queues are reported", || queues() == 3).await;
    agent.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_assignment_that_cannot_be_read_is_refused_aloud() {
    let folder = tempfile::tempdir().unwrap();
    let (first, first_hash) = numbered(50);
    let (operator, tell, address) = Operator::start(assignment(7, &first)).await;
    let agent = tokio::spawn(run(arguments(folder.path(), address)));
    until("the config runs", || operator.last().config_hash == first_hash).await;
    let of_a_later_format = Config { format: FORMAT + 1, ..first };
    tell.send_replace(assignment(7, &of_a_later_format));
    until("the refusal is told", || operator.last().adoption() == Adoption::Failed).await;
    assert_eq!(operator.last().config_hash, first_hash);
    assert!(operator.last().adoption_error.contains("cannot be read"));
    agent.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_former_leaders_assignment_is_void() {
    let folder = tempfile::tempdir().unwrap();
    let (current, current_hash) = numbered(50);
    let (operator, tell, address) = Operator::start(assignment(7, &current)).await;
    let agent = tokio::spawn(run(arguments(folder.path(), address)));
    until("the config runs", || operator.last().config_hash == current_hash).await;
    tell.send_replace(assignment(6, &numbered(60).0));
    let seen = operator.last().sequence;
    until("two more reports", || seen + 2 <= operator.last().sequence).await;
    assert_eq!(operator.last().config_hash, current_hash);
    agent.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_sends_the_agent_to_the_leader() {
    let folder = tempfile::tempdir().unwrap();
    let (config, hash) = numbered(50);
    let (leader, _tell, leader_address) = Operator::start(assignment(7, &config)).await;
    let (_follower, _tell_too, address) = Operator::start(not_leader(leader_address)).await;
    let agent = tokio::spawn(run(arguments(folder.path(), address)));
    until("the leader is found", || leader.last().config_hash == hash).await;
    agent.abort();
}

fn lookup(id: u64, trace: u128) -> ToCollector {
    let lookup = Lookup { id, trace_id: trace.to_be_bytes().to_vec() };
    ToCollector { message: Some(to_collector::Message::Lookup(lookup)) }
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_are_reported_and_what_became_of_a_trace_is_answered() {
    let folder = tempfile::tempdir().unwrap();
    let (_oracle, destination) = Oracle::start().await;
    let mut config = config_with(destination, sampling(policy(), FOREVER_MS));
    config.receivers.grpc_port = free_port();
    let receiver = SocketAddr::from(([127, 0, 0, 1], config.receivers.grpc_port));
    let (operator, tell, address) = Operator::start(assignment(7, &config)).await;
    let agent = tokio::spawn(run(arguments(folder.path(), address)));
    until("the config runs", || operator.last().adoption() == Adoption::Applied).await;

    let mut grpc = Grpc::connect(receiver).await;
    let (broken, open) = (trace_id(1), trace_id(2));
    send(&mut grpc, vec![failed(span(broken, 0)), span(open, 0)]).await;
    send(&mut grpc, vec![span(broken, 1)]).await;
    until("the trace is reported", || {
        operator.last().policies.first().is_some_and(|policy| policy.traces == 1)
    })
    .await;
    let report = operator.last();
    let counts = &report.policies[0];
    assert_eq!((&*counts.policy, counts.kept, counts.error_traces_kept), ("shop/shop", 1, 1));
    let errors = counts.rules.iter().find(|rule| rule.rule == "errors").unwrap();
    assert_eq!((errors.matched, errors.decided, errors.kept), (1, 1, 1));
    let tail = report.tail.unwrap();
    assert_eq!((tail.open_traces, tail.late_spans), (1, 1));
    assert!(0 < tail.bytes);
    let held: u64 = report.pipelines.iter().map(|book| book.held).sum();
    assert!(0 < held, "what waits for a decision is held");

    let answer = |id| operator.found.lock().unwrap().iter().find(|found| found.id == id).cloned();
    for (id, trace) in [(1, broken), (2, open), (3, trace_id(3))] {
        tell.send_replace(lookup(id, trace));
        until("it is answered", || answer(id).is_some()).await;
    }
    let found = answer(1).unwrap();
    assert_eq!(found.known(), Known::Decided);
    let record = found.record.unwrap();
    assert_eq!((record.is_kept, record.is_early, record.threshold), (true, false, 0));
    assert_eq!((&*record.rule, record.spans, record.late_spans), ("shop/shop/errors", 1, 1));
    let without = |id, known: Known| Found { id, known: known.into(), record: None };
    assert_eq!(answer(2), Some(without(2, Known::Open)));
    assert_eq!(answer(3), Some(without(3, Known::Nothing)));
    agent.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_agent_runs_what_it_was_assigned_before() {
    let folder = tempfile::tempdir().unwrap();
    let (config, hash) = numbered(50);
    std::fs::write(folder.path().join("config.json"), config.to_bytes()).unwrap();
    let silent = ToCollector { message: None };
    let (operator, _tell, address) = Operator::start(silent).await;
    let agent = tokio::spawn(run(arguments(folder.path(), address)));
    until("the kept config runs", || operator.last().config_hash == hash).await;
    agent.abort();
}

/// As the kubelet mounts it.
fn boot_strap(folder: &std::path::Path, config: &Config) {
    let Some(to_collector::Message::Assignment(packed)) = assignment(0, config).message else {
        panic!("an assignment is one");
    };
    std::fs::write(folder.join("config.json.gz"), packed.config).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_pod_runs_the_operators_word_and_not_an_older_boot_strap() {
    let [data, boot] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let ((old, old_hash), (new, new_hash)) = (numbered(50), numbered(60));
    boot_strap(boot.path(), &old);
    let (operator, tell, address) = Operator::start(lookup(1, 1)).await;
    let mut arguments = arguments(data.path(), address);
    arguments.boot_strap = Some(boot.path().to_owned());
    let agent = tokio::spawn(run(arguments));
    until("the agent is attached", || !operator.reports.lock().unwrap().is_empty()).await;
    tell.send_replace(assignment(7, &new));
    until("the new config runs", || operator.last().config_hash == new_hash).await;
    let reports = operator.reports.lock().unwrap().clone();
    assert!(reports.iter().all(|report| report.config_hash != old_hash));
    agent.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_pod_runs_its_boot_strap_where_the_operators_word_cannot_be_run() {
    let [data, boot] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let (good, good_hash) = numbered(50);
    boot_strap(boot.path(), &good);
    let (mut broken, _) = numbered(60);
    broken.pipelines.insert("shop/shop".into(), pipeline(&["shop/absent".into()]));
    let (operator, _tell, address) = Operator::start(assignment(7, &broken)).await;
    let mut arguments = arguments(data.path(), address);
    arguments.boot_strap = Some(boot.path().to_owned());
    let agent = tokio::spawn(run(arguments));
    until("the boot-strap's config runs", || operator.last().config_hash == good_hash).await;
    assert_eq!(operator.last().adoption(), Adoption::Failed);
    assert!(operator.last().adoption_error.contains("shop/absent"));
    agent.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_operator_the_boot_strap_runs_at_once() {
    let [data, boot] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let port = free_port();
    let mut config = config();
    config.receivers.grpc_port = port;
    boot_strap(boot.path(), &config);
    let nobody = SocketAddr::from(([127, 0, 0, 1], 1));
    let boot_strap = Some(boot.path().to_owned());
    let agent = RunArguments { operator: None, boot_strap, ..arguments(data.path(), nobody) };
    let agent = tokio::spawn(run(agent));
    let listens = || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok();
    until("the agent listens", listens).await;
    agent.abort();
}
