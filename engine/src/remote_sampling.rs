//! Which share of its traces a service's SDK is told to keep, and what its spans then stand for.
//!
//! SDKs with a remote sampler thin traces by the rate that they are told and say nothing of it. An
//! agent remembers what it told, and has spans say it (docs/decisions/0012).

use crate::compiled::Compiled;
use crate::sender::{Sender, Source};
use crate::tail::Now;
use crate::tick::Tick;
use sluice_wire::sampling::Threshold;
use sluice_wire::{Block, Signal, Survey, Told, mark_traces};
use std::collections::HashMap;
use std::time::Duration;

const SENDERS_MAX: usize = 1024;
/// Of one sender.
const SERVICES_MAX: usize = 64;
/// Bytes of a service's name; a longer one is not remembered.
pub const NAME_BYTES_MAX: usize = 256;
/// SDKs ask once a minute: one that has not asked for this long is gone.
const REMEMBERED_FOR: Duration = Duration::from_secs(3600);
const CLEANED_EVERY: Duration = Duration::from_secs(60);

/// Values of `telemetry.sdk.language`: SDKs that keep a trace if the last 8 bytes of its id, as a
/// number, are below the rate. The others' choices fit no threshold of ours.
const LANGUAGES: [&str; 3] = ["go", "python", "rust"];

/// Who asked for a rate, and what they were told.
#[derive(Debug, Default)]
pub struct RemoteSampling {
    /// By [`key`], then by the name of the service.
    senders: HashMap<String, HashMap<String, Client>>,
    cleaned: Tick,
}

#[derive(Clone, Debug)]
struct Client {
    told: Told,
    asked: Tick,
    facts: Facts,
}

/// What the spans of a service said of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Facts {
    /// Where senders are believed: the last one.
    namespace: Option<String>,
    /// It is told to keep all.
    chooses_otherwise: bool,
}

/// The same spans with their marks.
#[derive(Debug)]
pub struct Marked {
    pub body: Vec<u8>,
    /// They say what [`RemoteSampling::learn`] should know.
    pub is_news: bool,
}

impl RemoteSampling {
    /// What the sender's service is to keep: what heads of policies leave of it.
    pub fn tell(
        &mut self,
        compiled: &Compiled,
        (sender, service): (&Sender, &str),
        now: Now,
    ) -> Threshold {
        let Some(key) = key(sender) else { return Threshold::EVERYTHING };
        let known = self.senders.get_mut(key).and_then(|services| services.get_mut(service));
        let Some(client) = known else {
            let threshold = head(compiled, sender, None);
            self.remember((key, service), threshold, now.tick);
            return threshold;
        };
        let threshold = match client.facts.chooses_otherwise {
            true => Threshold::EVERYTHING,
            false => head(compiled, sender, client.facts.namespace.as_deref()),
        };
        client.asked = now.tick;
        if client.told.threshold != threshold {
            let before = client.told.threshold;
            client.told = Told { threshold, before, since_ns: now.wall_ns };
        }
        threshold
    }

    /// Without room nothing is remembered: heads then do what they do without remote samplers.
    fn remember(&mut self, (key, service): (&str, &str), threshold: Threshold, now: Tick) {
        self.clean(now);
        let is_known = self.senders.contains_key(key);
        if NAME_BYTES_MAX < service.len() || !is_known && SENDERS_MAX <= self.senders.len() {
            return;
        }
        let services = self.senders.entry(key.to_owned()).or_default();
        if services.len() < SERVICES_MAX {
            let told = Told { threshold, before: threshold, since_ns: 0 };
            let client = Client { told, asked: now, facts: Facts::default() };
            services.insert(service.to_owned(), client);
        }
    }

    fn clean(&mut self, now: Tick) {
        if now.since(self.cleaned) < CLEANED_EVERY {
            return;
        }
        self.cleaned = now;
        self.senders.retain(|_, services| {
            services.retain(|_, client| client.is_there(now));
            !services.is_empty()
        });
    }

    /// Services that are remembered.
    pub fn services(&self) -> usize {
        self.senders.values().map(HashMap::len).sum()
    }

    /// A surveyed request for traces in which spans say what their SDKs did.
    pub fn mark(&self, sender: &Sender, (body, survey): (&[u8], &Survey), now: Tick) -> Marked {
        let services = key(sender).and_then(|key| self.senders.get(key));
        let client = |block: &Block| {
            let client = services?.get(block.attribute(body, "service.name")?)?;
            client.is_there(now).then_some(client)
        };
        let told = |block: &Block| match client(block) {
            Some(client) if chooses_as_we_do(block, body) => client.told,
            _ => Told::default(),
        };
        let is_news = |block: &Block| {
            client(block).is_some_and(|own| own.facts_with(sender, (block, body)) != own.facts)
        };
        let is_news = services.is_some() && survey.blocks.iter().any(is_news);
        Marked { body: mark_traces(body, survey, told), is_news }
    }

    /// What spans tell of their services, for the next time that these ask.
    pub fn learn(&mut self, sender: &Sender, (body, survey): (&[u8], &Survey)) {
        let services = key(sender).and_then(|key| self.senders.get_mut(key));
        let Some(services) = services else { return };
        for block in &survey.blocks {
            let service = block.attribute(body, "service.name").unwrap_or_default();
            if let Some(client) = services.get_mut(service) {
                client.facts = client.facts_with(sender, (block, body));
            }
        }
    }
}

impl Client {
    fn is_there(&self, now: Tick) -> bool {
        now.since(self.asked) < REMEMBERED_FOR
    }

    /// What is known of it after this block.
    fn facts_with(&self, sender: &Sender, (block, body): (&Block, &[u8])) -> Facts {
        let claimed = || block.attribute(body, "k8s.namespace.name").map(str::to_owned);
        Facts {
            namespace: (*sender == Sender::Claimed).then(claimed).flatten(),
            chooses_otherwise: self.facts.chooses_otherwise || !chooses_as_we_do(block, body),
        }
    }
}

/// What senders are told apart by. `None`: many may be behind it, so none is told to thin.
fn key(sender: &Sender) -> Option<&str> {
    match sender {
        Sender::Pod(pod) => Some(&pod.uid),
        Sender::Claimed => Some(""),
        Sender::Unknown => None,
    }
}

fn chooses_as_we_do(block: &Block, body: &[u8]) -> bool {
    let language = block.attribute(body, "telemetry.sdk.language");
    language.is_none_or(|language| LANGUAGES.contains(&language))
}

fn head(compiled: &Compiled, sender: &Sender, claimed: Option<&str>) -> Threshold {
    compiled.route(Signal::Traces, &Source::Otlp, sender, claimed).head
}
