//! One open trace: what is known of it without its spans.

use super::frames::{Run, Tip};
use super::origin::Origin;
use crate::matching::TraceFacts;
use sluice_wire::sampling::Threshold;
use std::sync::Arc;

/// Words of bits that need no allocation.
const WORDS_INLINE: usize = 3;

/// What rules, policies and errors were seen, as the rules in force number them.
#[derive(Clone, Debug)]
pub(super) enum Bits {
    Few([u64; WORDS_INLINE]),
    Many(Box<[u64]>),
}

#[derive(Debug)]
pub(super) struct Trace {
    pub(super) id: u128,
    /// Tells it from others that had its place in the table.
    pub(super) turn: u32,
    /// Number of the rules that were in force when it began.
    pub(super) version: u32,
    pub(super) spans: u32,
    pub(super) bytes: u32,
    start_ns: u64,
    end_ns: u64,
    /// The highest that its spans came with.
    pub(super) threshold: Threshold,
    /// What it must reach since memory was short when it began.
    pub(super) admitted: Threshold,
    /// An error would lift that.
    pub(super) on_trial: bool,
    /// Its spans are among those that do not stay for long.
    pub(super) is_brief: bool,
    pub(super) randomness: u64,
    is_explicit: bool,
    pub(super) has_root: bool,
    /// Of the root, else of the first span: when it starts, and its id.
    first: (u64, u64),
    /// Where that span comes from.
    pub(super) root: Option<Arc<Origin>>,
    bits: Bits,
    /// What spans showed that came after the rules had changed.
    later: Option<Box<Later>>,
    /// Of its last run in the table of runs.
    pub(super) last_run: u32,
    pub(super) tip: Tip,
}

/// What rules that came into force after the trace had begun saw of it.
#[derive(Debug)]
struct Later {
    version: u32,
    bits: Bits,
    /// Of rules in between.
    earlier: Option<Box<Later>>,
}

/// What one span adds to its trace.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sight {
    pub(super) trace: u128,
    pub(super) span: u64,
    pub(super) start_ns: u64,
    pub(super) end_ns: u64,
    pub(super) threshold: Threshold,
    pub(super) randomness: u64,
    pub(super) is_explicit: bool,
    pub(super) is_root: bool,
    /// Its times are so far off that they say nothing of the trace's duration.
    pub(super) is_skewed: bool,
}

/// A run in the table, and where the one before it of the same trace is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Link {
    pub(super) run: Run,
    pub(super) before: u32,
}

/// In place of the number of a run.
pub(super) const NO_RUN: u32 = u32::MAX;

impl Bits {
    pub(super) fn new(words: usize) -> Self {
        if words <= WORDS_INLINE {
            Self::Few([0; WORDS_INLINE])
        } else {
            Self::Many(vec![0; words].into())
        }
    }

    pub(super) fn words(&self) -> &[u64] {
        match self {
            Self::Few(words) => words,
            Self::Many(words) => words,
        }
    }

    /// True when some bit is new.
    pub(super) fn add(&mut self, more: &[u64]) -> bool {
        let words: &mut [u64] = match self {
            Self::Few(words) => words,
            Self::Many(words) => words,
        };
        let mut fresh = 0;
        for (word, more) in words.iter_mut().zip(more) {
            fresh |= more & !*word;
            *word |= more;
        }
        fresh != 0
    }
}

impl Trace {
    pub(super) fn new(sight: &Sight, turn: u32, version: u32, words: usize) -> Self {
        Self {
            id: sight.trace,
            turn,
            version,
            spans: 0,
            bytes: 0,
            start_ns: u64::MAX,
            end_ns: 0,
            threshold: Threshold::EVERYTHING,
            admitted: Threshold::EVERYTHING,
            on_trial: false,
            is_brief: false,
            randomness: sight.randomness,
            is_explicit: false,
            has_root: false,
            first: (u64::MAX, u64::MAX),
            root: None,
            bits: Bits::new(words),
            later: None,
            last_run: NO_RUN,
            tip: Tip::NOWHERE,
        }
    }

    /// Everything here is independent of the order of the spans.
    pub(super) fn see(&mut self, sight: &Sight, origin: &Arc<Origin>, bytes: usize) {
        self.spans = self.spans.saturating_add(1);
        self.bytes = self.bytes.saturating_add(u32::try_from(bytes).unwrap_or(u32::MAX));
        if !sight.is_skewed {
            self.start_ns = self.start_ns.min(sight.start_ns);
            self.end_ns = self.end_ns.max(sight.end_ns);
        }
        self.threshold = self.threshold.max(sight.threshold);
        // An explicit randomness wins; of several that differ, which is against the
        // specification, the lowest does.
        if sight.is_explicit {
            let least = if self.is_explicit { self.randomness } else { u64::MAX };
            self.randomness = least.min(sight.randomness);
            self.is_explicit = true;
        }
        let place = (sight.start_ns, sight.span);
        let leads = match (sight.is_root, self.has_root) {
            (true, false) => true,
            (false, true) => false,
            _ => place < self.first,
        };
        if leads {
            self.first = place;
            self.root = Some(Arc::clone(origin));
            self.has_root |= sight.is_root;
        }
    }

    /// Adds what rules of this version saw of a span; true when some of it is new.
    pub(super) fn add(&mut self, version: u32, bits: &[u64]) -> bool {
        if version == self.version {
            return self.bits.add(bits);
        }
        if self.later.as_ref().is_none_or(|later| later.version != version) {
            let earlier = self.later.take();
            self.later = Some(Box::new(Later { version, bits: Bits::new(bits.len()), earlier }));
        }
        self.later.as_mut().is_some_and(|later| later.bits.add(bits))
    }

    /// What rules of this version saw of it.
    pub(super) fn bits(&self, version: u32) -> &[u64] {
        let mut later = self.later.as_deref();
        while let Some(own) = later {
            if own.version == version {
                return own.bits.words();
            }
            later = own.earlier.as_deref();
        }
        self.bits.words()
    }

    /// The versions of the rules that saw it, the one it began under last.
    pub(super) fn versions(&self) -> impl Iterator<Item = u32> {
        let mut later = self.later.as_deref();
        let newer = std::iter::from_fn(move || {
            let own = later?;
            later = own.earlier.as_deref();
            Some(own.version)
        });
        newer.chain([self.version])
    }

    /// Whether the want of memory does not take it out of the sample.
    pub(super) fn is_admitted(&self) -> bool {
        self.admitted.keeps(self.randomness)
    }

    pub(super) fn facts(&self) -> TraceFacts {
        TraceFacts { duration_ns: self.end_ns.saturating_sub(self.start_ns), spans: self.spans }
    }
}
