//! From one request to what each pipeline gets of it.
//!
//! A lane belongs to one connection or file: its sender is fixed, so its routes are remembered.

mod head;

pub use head::Headed;

use crate::compiled::{Compiled, Route};
use crate::sender::{Sender, Source};
use crate::tail::{Now, Request, Sorted, Sorter, Tail};
use bytes::Bytes;
use sluice_wire::{Block, Limits, Malformed, Signal, Survey, thin_traces, write_block};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// Claimed namespaces that one lane remembers the routes of.
const REMEMBERED_MAX: usize = 256;

#[derive(Debug)]
pub struct Lane {
    sender: Sender,
    source: Source,
    /// Of the config that the routes were made for.
    generation: u64,
    routes: HashMap<(Signal, Option<String>), Arc<Route>>,
    sorter: Sorter,
    sender_bytes: Option<Bytes>,
}

/// What one pipeline gets of a request.
#[derive(Debug)]
pub struct Part {
    /// Index in [`Compiled::pipelines`].
    pub pipeline: usize,
    /// Empty when every item was sampled out.
    pub body: Bytes,
    /// Items of the request that the pipeline wanted.
    pub accepted: u64,
    /// Those of them that are not in `body`.
    pub sampled_out: u64,
}

#[derive(Debug, Default)]
pub struct Parts {
    pub parts: Vec<Part>,
    /// Items that no pipeline wanted.
    pub unwanted: u64,
}

impl Lane {
    pub fn new(sender: Sender, source: Source) -> Self {
        Self {
            sender,
            source,
            generation: 0,
            routes: HashMap::new(),
            sorter: Sorter::default(),
            sender_bytes: None,
        }
    }

    /// [`Sender::to_bytes`] of its sender.
    pub fn sender_bytes(&mut self) -> Bytes {
        let bytes = self.sender_bytes.get_or_insert_with(|| Bytes::from(self.sender.to_bytes()));
        bytes.clone()
    }

    pub fn sender(&self) -> &Sender {
        &self.sender
    }

    pub fn source(&self) -> &Source {
        &self.source
    }

    /// `generation` tells one config from the next; `threshold` thins traces ([`thin_traces`]).
    pub fn parts(
        &mut self,
        compiled: &Compiled,
        generation: u64,
        signal: Signal,
        (body, survey): (&Bytes, &Survey),
        threshold: Option<u64>,
    ) -> Parts {
        self.renew(generation);
        let mut parts = match self.sender {
            Sender::Claimed => self.per_block(compiled, signal, body, survey),
            Sender::Pod(_) | Sender::Unknown => self.whole(compiled, signal, body, survey),
        };
        if let (Some(threshold), Signal::Traces) = (threshold, signal) {
            parts.parts.iter_mut().for_each(|part| thin(part, threshold));
        }
        parts
    }

    /// Numbers of the pipelines that a request for traces goes to.
    pub fn pipelines(
        &mut self,
        compiled: &Compiled,
        generation: u64,
        body: &Bytes,
        survey: &Survey,
    ) -> BTreeSet<usize> {
        self.renew(generation);
        let is_claimed = self.sender == Sender::Claimed;
        let blocks = survey.blocks.iter().take(if is_claimed { usize::MAX } else { 1 });
        let mut pipelines = BTreeSet::new();
        for block in blocks {
            let claimed = is_claimed.then(|| block.attribute(body, "k8s.namespace.name")).flatten();
            let route = self.route(compiled, Signal::Traces, claimed);
            pipelines.extend(route.targets.iter().map(|target| target.pipeline));
        }
        pipelines
    }

    fn renew(&mut self, generation: u64) {
        if self.generation != generation {
            self.generation = generation;
            self.routes.clear();
        }
    }

    /// [`Tail::sort`] of a request.
    ///
    /// # Errors
    /// When the body is no request for traces.
    pub fn sort<'b>(
        &mut self,
        tail: &Tail,
        (compiled, generation): (&Compiled, u64),
        (body, limits): (&'b [u8], &Limits),
        now: Now,
    ) -> Result<Sorted<'b>, Malformed> {
        let Self { sender, source, sorter, .. } = self;
        let request = Request { compiled, generation, sender, source, body, limits };
        tail.sort(sorter, &request, now)
    }

    /// Every block has the same sender, hence the same route.
    fn whole(
        &mut self,
        compiled: &Compiled,
        signal: Signal,
        body: &Bytes,
        survey: &Survey,
    ) -> Parts {
        let route = self.route(compiled, signal, None);
        let accepted = u64::from(survey.items);
        if route.targets.is_empty() {
            return Parts { parts: Vec::new(), unwanted: accepted };
        }
        let parts = route.targets.iter().map(|target| {
            let body = match &target.edit {
                None => body.clone(),
                Some(edit) => {
                    let mut out = Vec::with_capacity(body.len() + 512 * survey.blocks.len());
                    for block in &survey.blocks {
                        write_block(body, block, Some(edit), &mut out);
                    }
                    Bytes::from(out)
                }
            };
            Part { pipeline: target.pipeline, body, accepted, sampled_out: 0 }
        });
        Parts { parts: parts.collect(), unwanted: 0 }
    }

    /// Each block goes where the namespace it claims sends it.
    fn per_block(
        &mut self,
        compiled: &Compiled,
        signal: Signal,
        body: &Bytes,
        survey: &Survey,
    ) -> Parts {
        let mut open: Vec<(usize, Vec<u8>, u64)> = Vec::new();
        let mut unwanted = 0;
        for block in &survey.blocks {
            let claimed = block.attribute(body, "k8s.namespace.name");
            let route = self.route(compiled, signal, claimed);
            if route.targets.is_empty() {
                unwanted += u64::from(block.items);
            }
            for target in &route.targets {
                let at = open.iter().position(|(pipeline, ..)| *pipeline == target.pipeline);
                let at = at.unwrap_or_else(|| {
                    open.push((target.pipeline, room_for(body, block, survey), 0));
                    open.len() - 1
                });
                let (_, out, items) = &mut open[at];
                write_block(body, block, target.edit.as_ref(), out);
                *items += u64::from(block.items);
            }
        }
        let parts = open.into_iter().map(|(pipeline, out, accepted)| Part {
            pipeline,
            body: Bytes::from(out),
            accepted,
            sampled_out: 0,
        });
        Parts { parts: parts.collect(), unwanted }
    }

    fn route(&mut self, compiled: &Compiled, signal: Signal, claimed: Option<&str>) -> Arc<Route> {
        let key = (signal, claimed.map(str::to_owned));
        if let Some(route) = self.routes.get(&key) {
            return Arc::clone(route);
        }
        let route = Arc::new(compiled.route(signal, &self.source, &self.sender, claimed));
        if REMEMBERED_MAX <= self.routes.len() {
            self.routes.clear();
        }
        self.routes.insert(key, Arc::clone(&route));
        route
    }
}

/// Enough for the whole request, which the common case fills with one allocation.
fn room_for(body: &Bytes, block: &Block, survey: &Survey) -> Vec<u8> {
    let rest = body.len() - block.field.start.min(body.len());
    Vec::with_capacity(rest + 512 * survey.blocks.len())
}

fn thin(part: &mut Part, threshold: u64) {
    let mut out = Vec::with_capacity(part.body.len());
    let thinned = thin_traces(&part.body, threshold, &mut out);
    part.sampled_out = u64::from(thinned.sampled_out);
    part.body = Bytes::from(out);
}
