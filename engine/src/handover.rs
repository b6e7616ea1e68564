//! What a gateway may decide: the traces of its own slots, once the gateways that owned them before
//! have handed over what they had, or were given up.

use crate::ring::{Ring, SLOTS, slot_of};
use crate::tick::Tick;
use bytes::Bytes;
use sluice_wire::forward as wire;
use std::collections::BTreeMap;
use std::sync::Arc;

/// By so many rings later it is forgotten who has handed over: gateways that left are gone by then.
const DONE_KEPT: u64 = 64;

/// Slots whose traces may be decided; those of all others are held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slots([u64; SLOTS / 64]);

/// What one gateway knows of the ring and of who has handed over.
#[derive(Debug)]
pub struct Handover {
    name: String,
    ring: Option<Arc<Ring>>,
    /// By the gateway that had the slots.
    awaited: BTreeMap<String, Awaited>,
    /// By gateway: the newest ring by which it has handed over everything.
    done: BTreeMap<String, u64>,
}

#[derive(Debug)]
struct Awaited {
    /// Of the ring by which it is to hand over.
    epoch: u64,
    until: Tick,
    slots: Vec<u16>,
    /// Some of the slots have another owner by now.
    moved_on: bool,
}

impl Handover {
    pub fn new(name: &str) -> Self {
        let (awaited, done) = Default::default();
        Self { name: name.to_owned(), ring: None, awaited, done }
    }

    /// From now on slots go by this ring. Who owned some of them before is waited for until the
    /// given time.
    pub fn turn(&mut self, ring: Arc<Ring>, until: Tick) {
        let last = self.ring.replace(Arc::clone(&ring));
        self.done.retain(|_, epoch| ring.epoch() <= *epoch + DONE_KEPT);
        let mut awaited = std::mem::take(&mut self.awaited);
        for one in awaited.values_mut() {
            let before = one.slots.len();
            one.slots.retain(|slot| self.owns(*slot));
            one.moved_on |= one.slots.len() < before;
        }
        self.awaited = awaited;
        let own: Vec<u16> = self.own_slots().collect();
        for slot in own {
            // Where it became ours by a ring that was missed, its owner is the one we know of.
            let missed = || last.as_ref().map(|l| (l.owner(slot).name.as_str(), l.epoch() + 1));
            let before = ring.owner_before(slot).filter(|owner| *owner != self.name);
            let owner = before.map(|owner| (owner, ring.epoch())).or_else(missed);
            if let Some((owner, epoch)) = owner {
                self.wait_for(owner, epoch, until, [slot]);
            }
        }
    }

    fn wait_for(
        &mut self,
        owner: &str,
        epoch: u64,
        until: Tick,
        slots: impl IntoIterator<Item = u16>,
    ) {
        if owner == self.name || self.done.get(owner).is_some_and(|done| epoch <= *done) {
            return;
        }
        let nothing = || Awaited { epoch, until, slots: Vec::new(), moved_on: false };
        let one = self.awaited.entry(owner.to_owned()).or_insert_with(nothing);
        (one.epoch, one.until) = (epoch.max(one.epoch), until.max(one.until));
        one.slots.extend(slots);
    }

    /// A gateway has handed over everything that is not its own by the ring of this epoch, but for
    /// what `missing` were to hand over to it: from now on they hand that over to here.
    pub fn done<'a>(
        &mut self,
        (from, epoch): (&str, u64),
        missing: impl IntoIterator<Item = (&'a str, u64)>,
        until: Tick,
    ) {
        let newest = self.done.entry(from.to_owned()).or_default();
        *newest = epoch.max(*newest);
        if self.awaited.get(from).is_none_or(|one| epoch < one.epoch) {
            return;
        }
        let Some(Awaited { slots, .. }) = self.awaited.remove(from) else { return };
        for (owner, epoch) in missing {
            self.wait_for(owner, epoch, until, slots.iter().copied());
        }
    }

    /// What this gateway tells the others once it has handed over everything by the ring of this
    /// epoch, but for what was to be handed over to it.
    pub fn word(&self, epoch: u64) -> Bytes {
        let missing = self.missing().collect();
        let word = wire::Handover {
            from: &self.name,
            epoch,
            done: true,
            missing,
            ..wire::Handover::default()
        };
        let mut out = Vec::new();
        wire::write_handover(&word, &mut out);
        Bytes::from(out)
    }

    /// Who has not handed over yet what has moved on to others since, and by which ring it would.
    fn missing(&self) -> impl Iterator<Item = (&str, u64)> {
        let moved_on = self.awaited.iter().filter(|(_, one)| one.moved_on);
        moved_on.map(|(name, one)| (name.as_str(), one.epoch))
    }

    /// Who did not hand over in time is waited for no longer. Returns how many slots that is about:
    /// their traces may lack spans.
    pub fn expire(&mut self, now: Tick) -> usize {
        let late = self.awaited.extract_if(.., |_, one| one.until <= now);
        late.map(|(_, one)| one.slots.len()).sum()
    }

    pub fn has_ring(&self) -> bool {
        self.ring.is_some()
    }

    pub fn slots(&self) -> Slots {
        let mut slots = Slots([0; SLOTS / 64]);
        self.own_slots().for_each(|slot| slots.set(slot, true));
        let awaited = self.awaited.values().flat_map(|one| &one.slots);
        awaited.for_each(|slot| slots.set(*slot, false));
        slots
    }

    fn own_slots(&self) -> impl Iterator<Item = u16> {
        (0..SLOTS as u16).filter(|slot| self.owns(*slot))
    }

    fn owns(&self, slot: u16) -> bool {
        self.ring.as_ref().is_some_and(|ring| ring.owner(slot).name == self.name)
    }
}

impl Slots {
    /// Whether a trace must wait.
    pub fn holds(&self, trace: u128) -> bool {
        let slot = slot_of(&trace.to_be_bytes());
        self.0[usize::from(slot / 64)] >> (slot % 64) & 1 == 0
    }

    fn set(&mut self, slot: u16, is_free: bool) {
        let word = &mut self.0[usize::from(slot / 64)];
        *word = *word & !(1 << (slot % 64)) | u64::from(is_free) << (slot % 64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ring::Member;
    use std::time::Duration;

    /// The slots of each gateway, in turn.
    fn ring(epoch: u64, names: &[&str]) -> Ring {
        let member = |name: &&str| Member { name: (*name).to_owned(), address: String::new() };
        let slots = (0..SLOTS).map(|slot| u16::try_from(slot % names.len()).unwrap()).collect();
        Ring::new(epoch, names.iter().map(member).collect(), slots).unwrap()
    }

    fn free(handover: &Handover) -> usize {
        handover.slots().0.iter().map(|word| word.count_ones() as usize).sum()
    }

    fn at(seconds: u64) -> Tick {
        Tick(Duration::from_secs(seconds))
    }

    #[test]
    fn the_first_ring_of_a_fleet_is_waited_for_by_nobody() {
        let mut own = Handover::new("a");
        assert_eq!(free(&own), 0);
        own.turn(Arc::new(ring(1, &["a", "b"])), at(30));
        assert_eq!(free(&own), SLOTS / 2);
    }

    #[test]
    fn slots_are_free_once_their_owner_has_handed_over() {
        let (first, second) = (ring(1, &["a", "b"]), ring(2, &["c", "b"]));
        let mut own = Handover::new("c");
        own.turn(Arc::new(second.after(&first)), at(30));
        assert_eq!(free(&own), 0);
        own.done(("b", 2), [], at(30));
        own.done(("a", 1), [], at(30));
        assert_eq!(free(&own), 0);
        own.done(("a", 2), [], at(30));
        assert_eq!(free(&own), SLOTS / 2);
    }

    #[test]
    fn who_has_handed_over_before_the_ring_came_is_not_waited_for() {
        let (first, second) = (ring(1, &["a", "b"]), ring(2, &["b"]));
        let mut own = Handover::new("b");
        own.turn(Arc::new(first.clone()), at(30));
        own.done(("a", 2), [], at(30));
        own.turn(Arc::new(second.after(&first)), at(30));
        assert_eq!(free(&own), SLOTS);
    }

    #[test]
    fn who_does_not_come_in_time_is_given_up() {
        let mut own = Handover::new("b");
        own.turn(Arc::new(ring(1, &["a", "b"])), at(0));
        own.turn(Arc::new(ring(2, &["b"])), at(30));
        assert_eq!((free(&own), own.expire(at(29))), (SLOTS / 2, 0));
        assert_eq!((own.expire(at(30)), free(&own)), (SLOTS / 2, SLOTS));
    }

    #[test]
    fn of_slots_that_move_on_before_they_came_the_next_owner_waits() {
        let rings = [ring(1, &["a"]), ring(2, &["b"]), ring(3, &["c"])];
        let [first, second, third] = &rings;
        let mut between = Handover::new("b");
        between.turn(Arc::new(second.clone().after(first)), at(30));
        between.turn(Arc::new(third.clone().after(second)), at(30));
        assert_eq!(between.missing().collect::<Vec<_>>(), [("a", 2)]);
        let mut own = Handover::new("c");
        own.turn(Arc::new(third.clone().after(second)), at(30));
        own.done(("b", 3), between.missing(), at(40));
        assert_eq!((free(&own), own.expire(at(39))), (0, 0));
        own.done(("a", 3), [], at(40));
        assert_eq!(free(&own), SLOTS);
        between.done(("a", 3), [], at(40));
        assert_eq!(between.missing().count(), 0);
    }

    #[test]
    fn two_that_wait_for_each_other_both_go_on() {
        let rings = [ring(1, &["a", "b"]), ring(2, &["b", "a"]), ring(3, &["a", "b"])];
        let [first, second, third] = rings.each_ref();
        let (mut a, mut b) = (Handover::new("a"), Handover::new("b"));
        for own in [&mut a, &mut b] {
            own.turn(Arc::new(first.clone()), at(30));
            own.turn(Arc::new(second.clone().after(first)), at(30));
            own.turn(Arc::new(third.clone().after(second)), at(30));
        }
        a.done(("b", 3), b.missing(), at(30));
        b.done(("a", 3), a.missing(), at(30));
        assert_eq!((free(&a), free(&b)), (SLOTS / 2, SLOTS / 2));
    }
}
