//! The rings of a fleet's gateways: each follows from the last one and from who is ready.

use sluice_engine::ring::{Member, Ring, SLOTS, mix};
use std::collections::BTreeMap;

/// The ring after `previous` over the gateways that are `ready`. Where nothing changes it is the
/// same; otherwise its epoch is the next one, also above `seen`, the highest that was ever heard
/// of. Without any ready gateway the last ring stands.
///
/// Every member has an equal share of the slots, one more or less, and no slot moves that does not
/// have to for that. A slot that needs an owner goes to the member with room that weighs most
/// (rendezvous hashing): `mix(fnv1a64(name) + mix(slot))`.
pub fn next_ring(previous: Option<&Ring>, mut ready: Vec<Member>, seen: u64) -> Option<Ring> {
    ready.sort();
    ready.dedup_by(|a, b| a.name == b.name);
    if ready.is_empty() {
        return previous.cloned();
    }
    if let Some(same) = previous.filter(|p| p.members() == ready && p.epoch() >= seen) {
        return Some(same.clone());
    }
    let slots = share(previous, &ready);
    let epoch = previous.map_or(0, Ring::epoch).max(seen) + 1;
    let ring = Ring::new(epoch, ready, slots).ok()?;
    Some(match previous {
        Some(previous) => ring.after(previous),
        None => ring,
    })
}

/// By slot, the index of its owner.
fn share(previous: Option<&Ring>, members: &[Member]) -> Vec<u16> {
    let hashes: Vec<u64> = members.iter().map(|member| fnv1a64(&member.name)).collect();
    let weight = |slot: usize, member: usize| mix(hashes[member].wrapping_add(mix(slot as u64)));
    let mut owners = kept(previous, members);
    let mut held: Vec<Vec<usize>> = vec![Vec::new(); members.len()];
    for (slot, owner) in owners.iter().enumerate() {
        if let Some(owner) = owner {
            held[*owner].push(slot);
        }
    }
    let quotas = quotas(&held);
    for (member, slots) in held.iter_mut().enumerate() {
        let surplus = slots.len().saturating_sub(quotas[member]);
        slots.sort_by_key(|slot| weight(*slot, member));
        for slot in slots.drain(..surplus) {
            owners[slot] = None;
        }
    }
    let mut room: Vec<usize> =
        held.iter().zip(&quotas).map(|(slots, quota)| quota - slots.len()).collect();
    let mut take = |slot: usize| {
        let with_room = (0..members.len()).filter(|member| room[*member] > 0);
        let taker = with_room.max_by_key(|member| weight(slot, *member)).unwrap_or_default();
        room[taker] = room[taker].saturating_sub(1);
        taker
    };
    let owned = owners.iter().enumerate().map(|(slot, owner)| owner.unwrap_or_else(|| take(slot)));
    owned.map(|owner| u16::try_from(owner).unwrap_or_default()).collect()
}

/// By slot, the index of its owner if that one is still there.
fn kept(previous: Option<&Ring>, members: &[Member]) -> Vec<Option<usize>> {
    let Some(previous) = previous else { return vec![None; SLOTS] };
    let places = members.iter().enumerate().map(|(at, member)| (member.name.as_str(), at));
    let places: BTreeMap<_, _> = places.collect();
    let place = |member: &Member| places.get(member.name.as_str()).copied();
    let now: Vec<_> = previous.members().iter().map(place).collect();
    previous.slots().iter().map(|owner| now[usize::from(*owner)]).collect()
}

/// How many slots each member is to have: equal shares, and what is left over to those that hold
/// most.
fn quotas(held: &[Vec<usize>]) -> Vec<usize> {
    let (share, left_over) = (SLOTS / held.len(), SLOTS % held.len());
    let mut order: Vec<usize> = (0..held.len()).collect();
    order.sort_by_key(|member| usize::MAX - held[*member].len());
    let mut quotas = vec![share; held.len()];
    for member in order.into_iter().take(left_over) {
        quotas[member] += 1;
    }
    quotas
}

/// Fowler, Noll and Vo's hash, variant 1a with 64 bits.
fn fnv1a64(text: &str) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    text.bytes().fold(0xcbf2_9ce4_8422_2325, step)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(name: &str) -> Member {
        Member { name: name.to_owned(), address: format!("{name}:1") }
    }

    fn members(count: usize) -> Vec<Member> {
        (0..count).map(|at| member(&format!("sluice-gateway-{at:05}"))).collect()
    }

    fn ring(previous: Option<&Ring>, ready: Vec<Member>) -> Ring {
        next_ring(previous, ready, 0).unwrap()
    }

    /// The slots that have another owner, by name: from whom, to whom.
    fn moves(before: &Ring, after: &Ring) -> Vec<(String, String)> {
        let slots = (0..SLOTS).map(|slot| u16::try_from(slot).unwrap());
        slots
            .map(|slot| (before.owner(slot).name.clone(), after.owner(slot).name.clone()))
            .filter(|(from, to)| from != to)
            .collect()
    }

    fn assert_balanced(ring: &Ring) {
        let mut counts = vec![0; ring.members().len()];
        ring.slots().iter().for_each(|owner| counts[usize::from(*owner)] += 1);
        let share = SLOTS / counts.len();
        assert!(counts.iter().all(|count| [share, share + 1].contains(count)), "{counts:?}");
    }

    #[test]
    fn slots_are_shared_equally() {
        for count in (1..=50).chain([100, 101]) {
            assert_balanced(&ring(None, members(count)));
        }
    }

    #[test]
    fn of_a_lost_member_only_its_own_slots_move() {
        for count in 2..=50 {
            let before = ring(None, members(count));
            for lost in [0, count / 2, count - 1] {
                let mut left = members(count);
                let name = left.remove(lost).name;
                let after = ring(Some(&before), left);
                assert_balanced(&after);
                let moves = moves(&before, &after);
                assert!(moves.iter().all(|(from, _)| *from == name), "{count} without {lost}");
                assert!(moves.len() <= SLOTS / count + 1);
            }
        }
    }

    #[test]
    fn a_new_member_gets_its_share_and_nothing_else_moves() {
        for count in 1..=50 {
            let before = ring(None, members(count));
            let mut more = members(count);
            more.push(member("new"));
            let after = ring(Some(&before), more);
            assert_balanced(&after);
            let moves = moves(&before, &after);
            assert!(moves.iter().all(|(_, to)| to == "new"), "{count}");
            assert!(moves.len() <= SLOTS / (count + 1) + 1);
        }
    }

    #[test]
    fn a_rollout_moves_each_slot_few_times() {
        let mut now = ring(None, members(5));
        let mut moved = 0;
        for at in 0..5 {
            let mut ready = now.members().to_vec();
            ready.push(member(&format!("new-{at}")));
            let surged = ring(Some(&now), ready.clone());
            ready.retain(|member| member.name != format!("sluice-gateway-{at:05}"));
            let next = ring(Some(&surged), ready);
            moved += moves(&now, &surged).len() + moves(&surged, &next).len();
            now = next;
        }
        assert_balanced(&now);
        assert!(moved <= 2 * SLOTS, "{moved}");
    }

    #[test]
    fn the_epoch_rises_by_one_with_each_change_and_only_then() {
        let first = ring(None, members(3));
        assert_eq!(first.epoch(), 1);
        let mut backward = members(3);
        backward.reverse();
        assert_eq!(ring(Some(&first), backward), first);
        let second = ring(Some(&first), members(4));
        assert_eq!(second.epoch(), 2);
        let mut moved = members(4);
        moved[0].address = "elsewhere:1".to_owned();
        let third = ring(Some(&second), moved);
        assert_eq!((third.epoch(), moves(&second, &third)), (3, Vec::new()));
    }

    #[test]
    fn an_epoch_that_was_heard_of_is_never_used_again() {
        let first = next_ring(None, members(3), 1_800_000_000).unwrap();
        assert_eq!(first.epoch(), 1_800_000_001);
        let again = next_ring(Some(&first), members(3), 1_800_000_007).unwrap();
        assert_eq!((again.epoch(), again.slots()), (1_800_000_008, first.slots()));
    }

    #[test]
    fn without_a_ready_member_the_last_ring_stands() {
        assert_eq!(next_ring(None, Vec::new(), 0), None);
        let last = ring(None, members(3));
        assert_eq!(ring(Some(&last), Vec::new()), last);
    }
}
