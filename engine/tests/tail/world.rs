//! A collector's tail on its own: two namespaces, each with a pipeline, a clock that the test owns.

use crate::spans::{Left, Span, read, request, request_by};
use bytes::Bytes;
use sluice_engine::compiled::Compiled;
use sluice_engine::config::sampling::{AtMost, Cap, Floor, Match, Mode, Policy, Sampling, Scope};
use sluice_engine::config::{Config, Namespaces};
use sluice_engine::remote_sampling::RemoteSampling;
use sluice_engine::sender::{Pod, Sender, Source};
use sluice_engine::tail::{Decisions, Now, Request, Sorter, Tail};
use sluice_engine::tick::Tick;
use sluice_wire::sampling::Threshold;
use sluice_wire::{Limits, Signal, survey};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// 2026-01-01, in nanoseconds since 1970: when every test begins.
pub(crate) const START_NS: u64 = 1_767_225_600_000_000_000;
pub(crate) const NAMESPACES: [&str; 2] = ["pay", "shop"];

pub(crate) struct World {
    pub(crate) tail: Tail,
    compiled: Compiled,
    pub(crate) remote: RemoteSampling,
    sorters: BTreeMap<&'static str, Sorter>,
    pub(crate) now_ms: u64,
    pub(crate) left: Vec<Left>,
    /// The requests that they left in.
    pub(crate) requests: Vec<Bytes>,
    /// Spans that were sampled out or dropped.
    pub(crate) lost: u64,
    pub(crate) held: u64,
    /// New traces must reach it.
    pub(crate) admitted: Threshold,
}

impl World {
    pub(crate) fn new(sampling: &Sampling, shards: usize) -> Self {
        Self::seeded(sampling, shards, 7)
    }

    pub(crate) fn seeded(sampling: &Sampling, shards: usize, seed: u64) -> Self {
        Self {
            tail: Tail::new(sampling, shards, seed).unwrap(),
            compiled: compiled(sampling),
            remote: RemoteSampling::default(),
            sorters: BTreeMap::new(),
            now_ms: 0,
            left: Vec::new(),
            requests: Vec::new(),
            lost: 0,
            held: 0,
            admitted: Threshold::EVERYTHING,
        }
    }

    /// From now on, where memory is short.
    pub(crate) fn protect_errors(&mut self, sampling: &Sampling) {
        let mut config = self.compiled.config.clone();
        config.sampling = sampling.clone();
        config.gateway.protect_errors = true;
        self.compiled = Compiled::new(config).unwrap();
    }

    /// One request of a sender in this namespace.
    pub(crate) fn send(&mut self, namespace: &'static str, spans: &[&Span]) {
        self.offer(namespace, &request(spans));
    }

    /// The same, in an agent with remote sampling.
    pub(crate) fn send_marked(
        &mut self,
        namespace: &'static str,
        spans: &[&Span],
        language: Option<&str>,
    ) {
        let body = request_by(spans, language);
        let survey = survey(Signal::Traces, &body, &Limits::default()).unwrap();
        let marked = self.remote.mark(&sender(namespace), (&body, &survey), self.now().tick);
        if marked.is_news {
            self.remote.learn(&sender(namespace), (&body, &survey));
        }
        self.offer(namespace, &marked.body);
    }

    /// What a service of this namespace is told to keep.
    pub(crate) fn ask(&mut self, namespace: &'static str, service: &str) -> f64 {
        let now = self.now();
        let told = self.remote.tell(&self.compiled, (&sender(namespace), service), now);
        told.probability()
    }

    pub(crate) fn set_rules(&mut self, sampling: &Sampling) {
        self.compiled = compiled(sampling);
        self.tail.set_rules(sampling).unwrap();
    }

    fn now(&self) -> Now {
        Now { tick: tick(self.now_ms), wall_ns: START_NS + self.now_ms * 1_000_000 }
    }

    pub(crate) fn offer(&mut self, namespace: &'static str, body: &[u8]) {
        let request = Request {
            compiled: &self.compiled,
            generation: 1,
            sender: &sender(namespace),
            source: &Source::Otlp,
            body,
            limits: &Limits::default(),
        };
        let now = self.now();
        let sorter = self.sorters.entry(namespace).or_default();
        let sorted = self.tail.sort(sorter, &request, now).unwrap();
        let taken = self.tail.take_up(sorted, Some(self.admitted), now.tick);
        self.held += taken.held.iter().map(|(_, items)| items).sum::<u64>();
        self.lost += taken.lost.iter().map(|(.., items)| items).sum::<u64>();
        assert_eq!(taken.unwanted, 0);
    }

    pub(crate) fn harvest(&mut self) {
        for shard in 0..self.tail.shards() {
            let parts = self.tail.harvest(shard, tick(self.now_ms), 0);
            parts.for_each(|decisions| self.take(&decisions));
        }
    }

    pub(crate) fn harvest_all(&mut self) {
        for shard in 0..self.tail.shards() {
            let parts = self.tail.harvest_all(shard, tick(self.now_ms));
            parts.for_each(|decisions| self.take(&decisions));
        }
    }

    fn take(&mut self, decisions: &Decisions) {
        for outgoing in &decisions.kept {
            let request = outgoing.request(&outgoing.origin.targets[0]);
            let found = read(&request);
            self.requests.push(request);
            assert_eq!(found.len() as u64, outgoing.items);
            self.held -= outgoing.items;
            self.left.extend(found);
        }
        for (_, _, items) in &decisions.lost {
            self.held -= items;
            self.lost += items;
        }
    }
}

fn sender(namespace: &str) -> Sender {
    let namespace = namespace.to_owned();
    Sender::Pod(Arc::new(Pod { uid: namespace.clone(), namespace, ..Pod::default() }))
}

fn tick(ms: u64) -> Tick {
    Tick(Duration::from_millis(ms))
}

fn compiled(sampling: &Sampling) -> Compiled {
    let mut config = Config::from_bytes(include_bytes!("../config-1.json")).unwrap();
    let (_, pipeline) = config.pipelines.pop_first().unwrap();
    let of = |namespace: &str| {
        let mut pipeline = pipeline.clone();
        pipeline.namespaces = Namespaces::Only([namespace.to_owned()].into());
        pipeline.workload = Default::default();
        pipeline.otlp = true;
        pipeline.traces = vec!["shop/debug".to_owned()];
        (format!("{namespace}/all"), pipeline)
    };
    config.pipelines = NAMESPACES.into_iter().map(of).collect();
    config.sampling = sampling.clone();
    Compiled::new(config).unwrap()
}

/// A policy of one namespace.
pub(crate) fn policy(namespace: &str, default_ppm: Option<u32>) -> Policy {
    Policy {
        generation: 1,
        mode: Mode::Enforce,
        scope: Scope { namespace: Some(namespace.to_owned()), pipelines: None },
        keep: Vec::new(),
        limit: Vec::new(),
        default_ppm,
        tag_decision: false,
        head: None,
        adaptive: None,
    }
}

pub(crate) fn floor(name: &str, at_least_ppm: u32, matches: Match) -> Floor {
    Floor { name: name.to_owned(), matches, at_least_ppm }
}

pub(crate) fn cap(name: &str, ppm: u32, matches: Match) -> Cap {
    Cap { name: name.to_owned(), matches, at_most: AtMost::Ppm(ppm) }
}
