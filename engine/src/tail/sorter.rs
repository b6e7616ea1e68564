//! From the bytes of a request to what each shard gets of it. Rules are evaluated here, before any
//! shard is locked: a decision needs no span.

use super::harvest::Loss;
use super::hash::TraceHasher;
use super::origin::{Context, Origin};
use super::pace::Pace;
use super::rules::Rater;
use super::trace::Sight;
use super::trackers::{Sample, Snapshot};
use super::{Current, Request};
use crate::books::{Dropped, SampledOut};
use sluice_wire::sampling::Sampling;
use sluice_wire::spans::{ScopeView, SpanView, read_spans};
use sluice_wire::{Malformed, Survey};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// As OTLP numbers it.
pub(super) const STATUS_ERROR: u64 = 2;
/// Origins that one connection remembers.
const REMEMBERED_MAX: usize = 256;
/// Of a small span.
const SPAN_BYTES: usize = 256;
/// A span whose times are further from now says nothing of its trace's duration.
const SKEW_MAX: Duration = Duration::from_secs(24 * 3600);

/// Remembers the origins of one connection, whose sender is always the same.
#[derive(Debug, Default)]
pub struct Sorter {
    /// Of the config and of the rules that the origins were made for.
    made_for: (u64, u32),
    origins: HashMap<u64, Arc<Origin>>,
    rater: Option<Rater>,
}

/// A request that was checked, and what shards would get of it.
#[derive(Debug)]
pub struct Sorted<'b> {
    pub survey: Survey,
    /// Of the rules that were in force.
    pub(super) version: u32,
    pub(super) pace: Arc<Pace>,
    pub(super) protects_errors: bool,
    pub(super) shards: Vec<Share<'b>>,
    /// Each with how many spans of it shards get.
    pub(super) origins: Vec<(Arc<Origin>, u64)>,
    /// Spans that no pipeline wants.
    pub(super) unwanted: u64,
    /// Spans that are lost at once, by the place of their origin.
    pub(super) lost: Vec<(usize, Loss)>,
    /// For trackers.
    pub(super) samples: Vec<Sample>,
    /// Words of bits of each span.
    pub(super) words: usize,
}

/// What one shard gets of a request.
#[derive(Debug, Default)]
pub(super) struct Share<'b> {
    pub(super) spans: Vec<Sorting<'b>>,
    /// [`Sorted::words`] of them a span, in the same order.
    pub(super) bits: Vec<u64>,
}

#[derive(Debug)]
pub(super) struct Sorting<'b> {
    pub(super) sight: Sight,
    pub(super) message: &'b [u8],
    /// Place in [`Sorted::origins`].
    pub(super) origin: u32,
}

impl Share<'_> {
    /// With room for as many spans as it is likely to get of so many bytes.
    fn new(bytes: usize, words: usize) -> Self {
        let spans = bytes / SPAN_BYTES;
        Self { spans: Vec::with_capacity(spans), bits: Vec::with_capacity(spans * words) }
    }
}

impl Sorter {
    /// # Errors
    /// When the body is no request for traces.
    pub(super) fn sort<'b>(
        &mut self,
        request: &Request<'_, 'b>,
        current: &Current,
        (hasher, shards): (TraceHasher, usize),
        wall_ns: u64,
    ) -> Result<Sorted<'b>, Malformed> {
        let Request { compiled, generation, sender, source, body, limits } = *request;
        let Current { version, rules, pace, snapshot, .. } = current;
        let context = Context { compiled, generation, rules, version: *version, sender, source };
        let made_for = (context.generation, context.version);
        if self.made_for != made_for {
            self.made_for = made_for;
            self.origins.clear();
            self.rater = None;
        }
        let mut rater = self.rater.take().unwrap_or_else(|| Rater::new(rules));
        // Without policies too a span has its bits: shards pair the two.
        let words = rules.words().max(1);
        let mut sorted = Sorted {
            survey: Survey::default(),
            version: *version,
            pace: Arc::clone(pace),
            protects_errors: compiled.config.gateway.protect_errors,
            shards: (0..shards).map(|_| Share::new(body.len() / shards, words)).collect(),
            origins: Vec::new(),
            unwanted: 0,
            lost: Vec::new(),
            samples: Vec::new(),
            words,
        };
        let mut last = None;
        let probes = (rules.matcher.resource_probes(), rules.matcher.span_probes());
        let survey = read_spans(body, limits, probes, |scope, span| {
            let place = match last {
                Some((number, place)) if number == scope.number => place,
                _ => {
                    let place = sorted.place(self.origin(&context, hasher, scope));
                    last = Some((scope.number, place));
                    place
                }
            };
            sorted.add(place, span, (&mut rater, &**snapshot), (hasher, wall_ns));
        });
        self.rater = Some(rater);
        sorted.survey = survey?;
        Ok(sorted)
    }

    fn origin(
        &mut self,
        context: &Context<'_>,
        hasher: TraceHasher,
        scope: &ScopeView<'_>,
    ) -> Arc<Origin> {
        let key = hasher.of_bytes(scope.around_scopes) ^ hasher.of_bytes(scope.around_spans);
        if let Some(origin) = self.origins.get(&key)
            && origin.is_of(scope)
        {
            return Arc::clone(origin);
        }
        if REMEMBERED_MAX <= self.origins.len() {
            self.origins.clear();
        }
        let origin = Arc::new(Origin::new(context, scope));
        self.origins.insert(key, Arc::clone(&origin));
        origin
    }
}

impl<'b> Sorted<'b> {
    fn place(&mut self, origin: Arc<Origin>) -> usize {
        let known = self.origins.iter().position(|(own, _)| Arc::ptr_eq(own, &origin));
        known.unwrap_or_else(|| {
            self.origins.push((origin, 0));
            self.origins.len() - 1
        })
    }

    #[inline]
    fn add(
        &mut self,
        place: usize,
        span: &SpanView<'b>,
        (rater, snapshot): (&mut Rater, &Snapshot),
        (hasher, wall_ns): (TraceHasher, u64),
    ) {
        let (origin, items) = &mut self.origins[place];
        if origin.targets.is_empty() {
            self.unwanted += 1;
            return;
        }
        let Some(mut sight) = sight(span, wall_ns) else {
            self.lost.push((place, Loss::Dropped(Dropped::NoTraceId)));
            return;
        };
        if sight.threshold < origin.head {
            if !origin.head.keeps(sight.randomness) {
                self.lost.push((place, Loss::SampledOut(SampledOut::Head)));
                return;
            }
            sight.threshold = origin.head;
        }
        *items += 1;
        let shard = shard_of(hasher, sight.trace, self.shards.len());
        let share = &mut self.shards[shard];
        let at = share.bits.len();
        share.bits.resize(at + self.words, 0);
        self.samples.extend(rater.rate(origin, span, snapshot, &mut share.bits[at..]));
        share.spans.push(Sorting { sight, message: span.payload, origin: place as u32 });
    }
}

/// By other bits of the hash than the tables of a shard use.
pub(super) fn shard_of(hasher: TraceHasher, trace: u128, shards: usize) -> usize {
    (hasher.hash(trace) >> 40) as usize % shards
}

/// `None`: no trace can be told, since the id is empty or all zero.
fn sight(span: &SpanView<'_>, wall_ns: u64) -> Option<Sight> {
    let trace = u128::from_be_bytes(span.trace_id.try_into().ok()?);
    let sampling = Sampling::of(span.trace_id, span.trace_state);
    let skew_max = SKEW_MAX.as_nanos() as u64;
    let is_skewed = span.start_ns.abs_diff(wall_ns) > skew_max
        || span.end_ns.abs_diff(wall_ns) > skew_max
        || span.end_ns < span.start_ns;
    (trace != 0).then_some(Sight {
        trace,
        span: span.span_id.try_into().map_or(0, u64::from_be_bytes),
        start_ns: span.start_ns,
        end_ns: span.end_ns,
        threshold: sampling.threshold.unwrap_or_default(),
        randomness: sampling.randomness.unwrap_or_default(),
        is_explicit: sampling.is_explicit,
        is_root: span.is_root(),
        is_skewed,
    })
}
