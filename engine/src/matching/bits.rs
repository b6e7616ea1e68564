//! Ranges of a bit set.

use std::ops::Range;

/// Whether one of `range` is set.
pub(super) fn any(bits: &[u64], range: Range<usize>) -> bool {
    words(range).any(|(word, mask)| bits[word] & mask != 0)
}

/// Whether all of `range` that `of` has are set.
pub(super) fn all(bits: &[u64], range: Range<usize>, of: &[u64]) -> bool {
    words(range).all(|(word, mask)| of[word] & mask & !bits[word] == 0)
}

/// Sets those of `range` that `of` has.
pub(super) fn set(bits: &mut [u64], range: Range<usize>, of: &[u64]) {
    for (word, mask) in words(range) {
        bits[word] |= of[word] & mask;
    }
}

/// Sees the places of `range` that are set.
pub(super) fn each(bits: &[u64], range: Range<usize>, mut see: impl FnMut(usize)) {
    let mut place = range.start;
    while place < range.end {
        let rest = bits[place / 64] >> (place % 64);
        if rest == 0 {
            place = (place / 64 + 1) * 64;
            continue;
        }
        place += rest.trailing_zeros() as usize;
        if place < range.end {
            see(place);
        }
        place += 1;
    }
}

/// The words that hold `range`, and which of their bits do.
fn words(range: Range<usize>) -> impl Iterator<Item = (usize, u64)> {
    let last = range.end.saturating_sub(1);
    let words = if range.is_empty() { 0..0 } else { range.start / 64..last / 64 + 1 };
    words.map(move |word| {
        let from = if word == range.start / 64 { u64::MAX << (range.start % 64) } else { u64::MAX };
        let to = if word == last / 64 { u64::MAX >> (63 - last % 64) } else { u64::MAX };
        (word, from & to)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_cross_words() {
        let whole = [u64::MAX; 3];
        for (start, end) in [(0, 0), (0, 1), (63, 64), (63, 65), (64, 128), (10, 190), (191, 192)] {
            let mut bits = [0; 3];
            set(&mut bits, start..end, &whole);
            let mut places = Vec::new();
            each(&bits, 0..192, |place| places.push(place));
            assert_eq!(places, (start..end).collect::<Vec<_>>());
            assert_eq!(any(&bits, 0..192), start < end);
            assert!(all(&bits, start..end, &whole));
            assert_eq!(all(&bits, 0..192, &whole), start == 0 && end == 192);
            let mut within = Vec::new();
            each(&whole, start..end, |place| within.push(place));
            assert_eq!(within, places);
        }
    }

    #[test]
    fn only_bits_of_the_mask_are_set_and_asked_for() {
        let mut bits = [0b1000];
        set(&mut bits, 0..3, &[0b0101]);
        assert_eq!(bits, [0b1101]);
        assert!(all(&bits, 0..4, &[0b1101]));
        assert!(!all(&bits, 0..4, &[0b1111]));
    }
}
