//! Which gateway owns a trace. The planner makes rings, the operator publishes them, agents and
//! gateways look owners up. Nothing here is seeded: every process finds the same owner.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A trace belongs to one of so many slots, and a slot to one gateway.
pub const SLOTS: usize = 4096;
pub(crate) const SLOT_BITS: u32 = 12;

/// The owner of each slot, as of an epoch. Never without a member.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Parts")]
pub struct Ring {
    epoch: u64,
    members: Vec<Member>,
    /// Indexes into `members`.
    slots: Vec<u16>,
    #[serde(skip_serializing_if = "Before::is_unknown")]
    before: Before,
}

/// Who owned the slots before, and may have traces of theirs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Before {
    names: Vec<String>,
    /// Indexes into `names`; empty where nothing is known.
    slots: Vec<u16>,
}

/// A gateway.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Member {
    /// Of its pod.
    pub name: String,
    /// `ip:port`.
    pub address: String,
}

/// As it is stored and sent.
#[derive(Deserialize)]
struct Parts {
    epoch: u64,
    members: Vec<Member>,
    slots: Vec<u16>,
    #[serde(default)]
    before: Before,
}

/// Parts that make no ring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidRing(String);

/// The slot of a trace: the top 12 bits of `mix(high + mix(low))`, where high and low are the id's
/// halves, big-endian, and `mix` is SplitMix64's. All bits count, since senders leave some of them
/// at zero or put the time into them.
pub fn slot_of(trace_id: &[u8; 16]) -> u16 {
    (hash_of(u128::from_be_bytes(*trace_id)) >> (64 - SLOT_BITS)) as u16
}

/// The bits that slots come from.
pub(crate) fn hash_of(trace: u128) -> u64 {
    let (high, low) = ((trace >> 64) as u64, trace as u64);
    mix(high.wrapping_add(mix(low)))
}

impl Ring {
    /// # Errors
    /// When there are no members, or not exactly [`SLOTS`] slots, or a slot names no member.
    pub fn new(epoch: u64, members: Vec<Member>, slots: Vec<u16>) -> Result<Self, InvalidRing> {
        let owned = slots.iter().all(|slot| usize::from(*slot) < members.len());
        if slots.len() != SLOTS || !owned {
            let (slots, members) = (slots.len(), members.len());
            return Err(InvalidRing(format!("{slots} slots over {members} members are no ring")));
        }
        Ok(Self { epoch, members, slots, before: Before::default() })
    }

    /// The same ring, which says that it follows another.
    #[must_use]
    pub fn after(self, previous: &Self) -> Self {
        let names = previous.members.iter().map(|member| member.name.clone()).collect();
        Self { before: Before { names, slots: previous.slots.clone() }, ..self }
    }

    /// The same ring without what it says of the ones before.
    #[must_use]
    pub fn settled(self) -> Self {
        Self { before: Before::default(), ..self }
    }

    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// By name.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// By slot, the index of its owner among [`Ring::members`].
    pub fn slots(&self) -> &[u16] {
        &self.slots
    }

    /// # Panics
    /// From [`SLOTS`] on.
    pub fn owner(&self, slot: u16) -> &Member {
        &self.members[self.place(slot)]
    }

    /// The index of a slot's owner among [`Ring::members`].
    ///
    /// # Panics
    /// From [`SLOTS`] on.
    pub fn place(&self, slot: u16) -> usize {
        usize::from(self.slots[usize::from(slot)])
    }

    /// Who owned a slot before, when that is known.
    pub fn owner_before(&self, slot: u16) -> Option<&str> {
        let place = self.before.slots.get(usize::from(slot))?;
        self.before.names.get(usize::from(*place)).map(String::as_str)
    }
}

impl Before {
    fn is_unknown(&self) -> bool {
        self.slots.is_empty()
    }
}

/// SplitMix64's output function (Steele, Lea, Flood, 2014).
pub fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

impl TryFrom<Parts> for Ring {
    type Error = InvalidRing;

    fn try_from(parts: Parts) -> Result<Self, InvalidRing> {
        let ring = Self::new(parts.epoch, parts.members, parts.slots)?;
        Ok(Self { before: parts.before, ..ring })
    }
}

/// Without its 4096 slots.
impl fmt::Debug for Ring {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = out.debug_struct("Ring");
        shown.field("epoch", &self.epoch).field("members", &self.members).finish_non_exhaustive()
    }
}

impl fmt::Display for InvalidRing {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl std::error::Error for InvalidRing {}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(count: usize) -> Vec<Member> {
        let member = |at| Member { name: format!("g{at}"), address: String::new() };
        (0..count).map(member).collect()
    }

    /// Never edited: agents and gateways of two versions must agree.
    #[test]
    fn the_slot_of_a_trace_never_changes() {
        let slots = [0, 1, 1 << 64, u128::MAX].map(|id: u128| slot_of(&id.to_be_bytes()));
        assert_eq!(slots, [0, 1963, 1385, 2521]);
    }

    #[test]
    fn slots_are_taken_evenly_whichever_bits_of_the_id_vary() {
        for shift in [0, 24, 64, 104] {
            let mut counts = vec![0_u32; SLOTS];
            for id in 0..(SLOTS as u128 * 100) {
                counts[usize::from(slot_of(&(id << shift).to_be_bytes()))] += 1;
            }
            // Six standard deviations of a count that is 100 on average.
            assert!(counts.iter().all(|count| (40..160).contains(count)), "shift {shift}");
        }
    }

    #[test]
    fn a_slot_leads_to_its_owner() {
        let slots = (0..SLOTS).map(|slot| u16::try_from(slot % 3).unwrap()).collect();
        let ring = Ring::new(1, members(3), slots).unwrap();
        assert_eq!(ring.owner(4).name, "g1");
    }

    #[test]
    fn a_ring_knows_the_owners_before() {
        let first = Ring::new(1, members(2), vec![1; SLOTS]).unwrap();
        assert_eq!(first.owner_before(7), None);
        let next = Ring::new(2, members(3), vec![2; SLOTS]).unwrap().after(&first);
        assert_eq!(next.owner_before(7), Some("g1"));
        let text = serde_json::to_string(&next).unwrap();
        assert_eq!(serde_json::from_str::<Ring>(&text).unwrap(), next);
        assert_eq!(next.settled().owner_before(7), None);
    }

    #[test]
    fn what_is_no_ring_is_refused() {
        assert!(Ring::new(1, Vec::new(), Vec::new()).is_err());
        assert!(Ring::new(1, Vec::new(), vec![0; SLOTS]).is_err());
        assert!(Ring::new(1, members(2), vec![1; SLOTS - 1]).is_err());
        assert!(Ring::new(1, members(2), vec![2; SLOTS]).is_err());
        let stored = serde_json::json!({"epoch": 1, "members": [], "slots": []});
        assert!(serde_json::from_value::<Ring>(stored).is_err());
    }

    #[test]
    fn a_stored_ring_reads_as_it_was_written() {
        let ring = Ring::new(7, members(2), vec![1; SLOTS]).unwrap();
        let text = serde_json::to_string(&ring).unwrap();
        assert_eq!(serde_json::from_str::<Ring>(&text).unwrap(), ring);
    }
}
