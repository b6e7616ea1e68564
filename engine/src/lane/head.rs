//! What heads of policies take out of traces before they go to gateways: these would do the same,
//! with the same threshold.

use super::Lane;
use crate::compiled::{Compiled, destinations};
use crate::sender::Sender;
use bytes::Bytes;
use sluice_wire::sampling::Threshold;
use sluice_wire::{Block, Signal, Survey, thin_blocks};
use std::collections::BTreeMap;

/// A request for traces, thinned.
#[derive(Debug, PartialEq, Eq)]
pub struct Headed {
    pub body: Bytes,
    /// Spans in it.
    pub items: u64,
    /// Of those that are not: by index of the pipeline, spans and their copies.
    pub sampled_out: BTreeMap<usize, (u64, u64)>,
}

impl Lane {
    /// `None`: no head in force is about this sender, so everything stays.
    pub fn thin_by_head(
        &mut self,
        compiled: &Compiled,
        generation: u64,
        (body, survey): (&Bytes, &Survey),
    ) -> Option<Headed> {
        self.renew(generation);
        let is_claimed = self.sender == Sender::Claimed;
        let mut route = |block: &Block| {
            let claimed = is_claimed.then(|| block.attribute(body, "k8s.namespace.name")).flatten();
            self.route(compiled, Signal::Traces, claimed)
        };
        let routes: Vec<_> = survey.blocks.iter().map(&mut route).collect();
        if routes.iter().all(|route| route.head == Threshold::EVERYTHING) {
            return None;
        }
        let mut out = Vec::new();
        let mut heads = routes.iter().map(|route| route.head);
        let thinned = thin_blocks(body, survey, |_| heads.next().unwrap_or_default(), &mut out);
        let mut sampled_out = BTreeMap::<usize, (u64, u64)>::new();
        for (route, thinned) in routes.iter().zip(&thinned) {
            for target in &route.targets {
                let (_, pipeline) = &compiled.pipelines[target.pipeline];
                let copies = destinations(pipeline, Signal::Traces).len() as u64;
                let spans = u64::from(thinned.sampled_out);
                let own = sampled_out.entry(target.pipeline).or_default();
                *own = (own.0 + spans, own.1 + spans * copies);
            }
        }
        let items = thinned.iter().map(|own| u64::from(own.kept)).sum();
        Some(Headed { body: Bytes::from(out), items, sampled_out })
    }
}
