//! The status of a Destination.

use super::Source;
use super::adoption::Count;
use super::conditions::{Conditions, Readiness};
use super::delivery::{Failing, Summary};
use super::flow::sentence;
use crate::children::{AGENT, GATEWAY};
use crate::compile::{Compiled, destinations_of};
use crate::observed::{ObjectName, Observed};
use crate::report::{Delivery, DeliveryKey, Signal};
use sluice_crds::conditions::{ConditionType, Reason, Status};
use sluice_crds::destination::{AuthType, Member, TlsMode};
use sluice_crds::{Destination, DestinationSpec, DestinationStatus};
use std::collections::{BTreeMap, BTreeSet};

/// Pipelines that send to each destination, by its key.
pub(super) fn users(compiled: &Compiled) -> BTreeMap<&str, i32> {
    let mut users = BTreeMap::new();
    let configs = compiled.fleets.values().filter_map(|fleet| fleet.config.as_ref());
    for pipeline in configs.flat_map(|config| config.config.pipelines.values()) {
        let keys: BTreeSet<_> = destinations_of(pipeline).map(String::as_str).collect();
        for key in keys {
            *users.entry(key).or_default() += 1;
        }
    }
    users
}

pub(super) fn status(
    source: &Source<'_>,
    name: &ObjectName,
    object: &Destination,
    users: i32,
) -> DestinationStatus {
    let settings = &source.observed.settings;
    let before = object.status.as_ref();
    let conditions_before = before.map_or(&[][..], |before| &before.conditions);
    let generation = object.metadata.generation.unwrap_or_default();
    let key = name.to_string();
    let mut conditions = Conditions::new(conditions_before, generation, source.observed.now);
    let summary = Summary::of(deliveries(source.observed, &key));
    let readiness = match source.compiled.destinations.get(name) {
        Some(Err(problem)) => {
            let message =
                format!("{problem}. The last good version, if there was one, is used on.");
            Readiness::Failed(problem.reason(), message)
        }
        Some(Ok(_)) | None => {
            let adoption = source.adoptions.fleets().filter(|fleet| {
                fleet.wanted.is_some_and(|wanted| wanted.destinations.contains_key(&key))
            });
            let count = adoption.map(|f| f.destination(&key)).fold(Count::default(), Count::add);
            readiness(&conditions, name, &object.spec, &summary, users, count, source.observed)
        }
    };
    set_credentials(&mut conditions, source.observed, name, &object.spec, &summary);
    set_reachable(&mut conditions, &object.spec, &summary);
    set_tls(&mut conditions, &object.spec, &summary);
    set_delivering(&mut conditions, &summary, users);
    conditions.set_readiness(readiness, settings.progress_deadline);
    DestinationStatus {
        observed_generation: Some(generation),
        endpoint: endpoint(&object.spec),
        users: Some(users),
        conditions: conditions.finish(),
    }
}

/// All deliveries to one destination, over all fleets.
fn deliveries<'a>(observed: &'a Observed, key: &'a str) -> impl Iterator<Item = &'a Delivery> {
    let first = DeliveryKey {
        destination: key.to_owned(),
        pipeline: String::new(),
        signal: Signal::Traces,
    };
    observed.fleets.values().flat_map(move |fleet| {
        let from = fleet.report.deliveries.range(first.clone()..);
        from.take_while(move |(found, _)| found.destination == key).map(|(_, delivery)| delivery)
    })
}

fn readiness(
    conditions: &Conditions<'_>,
    name: &ObjectName,
    spec: &DestinationSpec,
    summary: &Summary,
    users: i32,
    count: Count,
    observed: &Observed,
) -> Readiness {
    match summary.credentials {
        Some(reason @ (Reason::SecretMissing | Reason::SecretKeyMissing)) => {
            let message = credentials_message(observed, name, spec, reason);
            return Readiness::UnderWay {
                ready: reason,
                reconciling: reason,
                stuck: reason,
                message,
            };
        }
        Some(reason @ Reason::SecretAccessDenied) => {
            return Readiness::Failed(reason, credentials_message(observed, name, spec, reason));
        }
        _ => {}
    }
    let settled = conditions.was_true(ConditionType::Ready);
    if users == 0 || count.is_enough() || (count.of == 0 && settled) || no_nodes(observed) {
        return Readiness::Done(Reason::Reconciled, sentence(Reason::Reconciled));
    }
    Readiness::UnderWay {
        ready: Reason::Progressing,
        reconciling: Reason::WaitingForAgents,
        stuck: Reason::ProgressDeadlineExceeded,
        message: sentence(Reason::WaitingForAgents),
    }
}

/// No fleet has a node to run on: nobody will ever report.
fn no_nodes(observed: &Observed) -> bool {
    let mut sets = observed.fleets.values().filter_map(|fleet| fleet.daemon_set).peekable();
    sets.peek().is_some()
        && sets.all(|set| set.observed_generation >= set.generation && set.desired == 0)
}

/// The Secrets that a destination names, each once.
pub(crate) fn secrets(spec: &DestinationSpec) -> BTreeSet<String> {
    let tls = spec.tls();
    let ca = tls.ca_secret_ref.map(|secret| secret.name);
    let client = tls.client_secret_ref.map(|secret| secret.name);
    let auth = spec.auth().secret_ref.map(|secret| secret.name);
    [ca, client, auth].into_iter().flatten().collect()
}

fn set_credentials(
    conditions: &mut Conditions<'_>,
    observed: &Observed,
    name: &ObjectName,
    spec: &DestinationSpec,
    summary: &Summary,
) {
    let type_ = ConditionType::CredentialsValid;
    let refused = summary.failures.iter().find_map(|(failing, _, _)| match failing {
        Failing::Credentials(reason) => Some(*reason),
        _ => None,
    });
    if let Some(reason) = summary.credentials.or(refused) {
        let message = credentials_message(observed, name, spec, reason);
        return conditions.set(type_, Status::False, reason, message);
    }
    if secrets(spec).is_empty() && spec.auth().type_ == AuthType::None {
        return conditions.set(
            type_,
            Status::True,
            Reason::NotRequired,
            sentence(Reason::NotRequired),
        );
    }
    if summary.agents == 0 {
        return conditions.keep_or_unknown(type_, Reason::NotProbed, NOT_TRIED);
    }
    let reason = Reason::CredentialsValid;
    conditions.set(type_, Status::True, reason, sentence(reason));
}

fn credentials_message(
    observed: &Observed,
    name: &ObjectName,
    spec: &DestinationSpec,
    reason: Reason,
) -> String {
    let names: Vec<_> = secrets(spec).into_iter().collect();
    let (list, namespace) = (names.join(", "), &name.namespace);
    match reason {
        Reason::SecretMissing => format!(
            "A Secret that is named does not exist in namespace {namespace}: one of {list}. \
             Create it; agents read it by themselves."
        ),
        Reason::SecretKeyMissing => format!(
            "A Secret of namespace {namespace} lacks the key that is named, or its value cannot \
             be used: one of {list}. Correct it; agents read it by themselves."
        ),
        Reason::SecretAccessDenied => {
            let flags: Vec<_> = names.iter().map(|n| format!("--resource-name={n}")).collect();
            let (flags, system) = (flags.join(" "), &observed.settings.system_namespace);
            let role = crate::rbac::ROLE;
            format!(
                "Agents may not read a Secret of namespace {namespace}: one of {list}. Apply what \
                 `sluice render --rbac` prints, or run: kubectl -n {namespace} create role {role} \
                 --verb=get --resource=secrets {flags} && kubectl -n {namespace} create \
                 rolebinding {role} --role={role} --serviceaccount={system}:{AGENT} \
                 --serviceaccount={system}:{GATEWAY}"
            )
        }
        _ => sentence(reason),
    }
}

fn is_network(spec: &DestinationSpec) -> bool {
    matches!(spec.member(), Some(Member::Otlp(_) | Member::Tempo(_)))
}

fn set_reachable(conditions: &mut Conditions<'_>, spec: &DestinationSpec, summary: &Summary) {
    let type_ = ConditionType::Reachable;
    let failing = summary.failures.iter().find_map(|(failing, _, message)| match failing {
        Failing::Reach(reason) => Some((*reason, message)),
        _ => None,
    });
    match failing {
        _ if !is_network(spec) => {
            let reason = Reason::NotRequired;
            conditions.set(type_, Status::True, reason, sentence(reason));
        }
        Some((_, message)) if !summary.is_total() => {
            let reason = Reason::SomeNodesCannotReach;
            conditions.set(type_, Status::False, reason, with_answer(reason, message));
        }
        Some((reason, message)) => {
            conditions.set(type_, Status::False, reason, with_answer(reason, message));
        }
        None if summary.tried => {
            let reason = Reason::Reachable;
            conditions.set(type_, Status::True, reason, sentence(reason));
        }
        None => conditions.keep_or_unknown(type_, Reason::NotProbed, NOT_TRIED),
    }
}

const NOT_TRIED: &str = "No agent has tried yet. Send something through a pipeline that names it.";

fn with_answer(reason: Reason, answer: &str) -> String {
    match answer {
        "" => sentence(reason),
        answer => format!("{} An agent says: {answer}. {}", reason.doc().trim(), reason.remedy()),
    }
}

fn set_tls(conditions: &mut Conditions<'_>, spec: &DestinationSpec, summary: &Summary) {
    let type_ = ConditionType::TLSHealthy;
    let failing = summary.failures.iter().find_map(|(failing, _, message)| match failing {
        Failing::Tls(reason) => Some((*reason, message)),
        _ => None,
    });
    match failing {
        _ if !is_network(spec) || spec.tls().mode == TlsMode::Plaintext => {
            let reason = Reason::NotRequired;
            conditions.set(type_, Status::True, reason, sentence(reason));
        }
        Some((reason, message)) => {
            conditions.set(type_, Status::False, reason, with_answer(reason, message));
        }
        None if summary.tried && summary.failures.is_empty() => {
            conditions.set(type_, Status::True, Reason::Healthy, sentence(Reason::Healthy));
        }
        None => conditions.keep_or_unknown(type_, Reason::NotProbed, NOT_TRIED),
    }
}

fn set_delivering(conditions: &mut Conditions<'_>, summary: &Summary, users: i32) {
    let type_ = ConditionType::Delivering;
    if summary.agents == 0 && users > 0 {
        let reason = Reason::StaleReports;
        return conditions.set(type_, Status::Unknown, reason, sentence(reason));
    }
    let reason = summary.delivering();
    let answer = summary.failures.first().map_or("", |(_, _, message)| message);
    match reason {
        Reason::Delivering | Reason::NoTraffic => {
            conditions.set(type_, Status::True, reason, sentence(reason));
        }
        _ => conditions.set(type_, Status::False, reason, with_answer(reason, answer)),
    }
}

fn endpoint(spec: &DestinationSpec) -> Option<String> {
    match spec.member()? {
        Member::Otlp(otlp) | Member::Tempo(otlp) => Some(otlp.endpoint.clone()),
        Member::File(file) => Some(file.path.clone()),
        Member::Debug(_) => None,
    }
}
