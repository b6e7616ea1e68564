//! Which patterns match a text, remembered for texts seen lately: a bounded table, whose places
//! texts take from each other.

use std::hash::Hasher;

const PLACES: usize = 1024;
/// Longer texts hardly come again.
const TEXT_BYTES_MAX: usize = 256;

#[derive(Debug, Default)]
pub(super) struct Memo {
    places: Vec<Remembered>,
    is_forgetful: bool,
}

#[derive(Clone, Debug, Default)]
struct Remembered {
    /// Of the place's first text, empty as it is, nothing is known yet.
    is_known: bool,
    text: Vec<u8>,
    numbers: Vec<u32>,
}

/// Quick, and easy to make collide: for tables of our own keys, or of bounded size.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct QuickHash(u64);

impl Memo {
    /// For one look.
    pub(super) fn forgetful() -> Self {
        Self { is_forgetful: true, ..Self::default() }
    }

    /// Appends to `numbers` what `find` once appended for this text.
    pub(super) fn recall(
        &mut self,
        text: &[u8],
        numbers: &mut Vec<u32>,
        find: impl FnOnce(&mut Vec<u32>),
    ) {
        if self.is_forgetful || text.len() > TEXT_BYTES_MAX {
            return find(numbers);
        }
        if self.places.is_empty() {
            self.places.resize(PLACES, Remembered::default());
        }
        let mut hash = QuickHash::default();
        hash.write(text);
        let place = &mut self.places[hash.finish() as usize % PLACES];
        if place.is_known && place.text == text {
            return numbers.extend_from_slice(&place.numbers);
        }
        let before = numbers.len();
        find(numbers);
        place.is_known = true;
        place.text.clear();
        place.text.extend_from_slice(text);
        place.numbers.clear();
        place.numbers.extend_from_slice(&numbers[before..]);
    }
}

impl Hasher for QuickHash {
    fn write(&mut self, bytes: &[u8]) {
        let (chunks, rest) = bytes.as_chunks();
        for chunk in chunks {
            self.write_u64(u64::from_le_bytes(*chunk));
        }
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        self.write_u64(u64::from_le_bytes(last) ^ (bytes.len() as u64) << 56);
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0.rotate_left(23) ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn write_usize(&mut self, number: usize) {
        self.write_u64(number as u64);
    }

    fn finish(&self) -> u64 {
        self.0 ^ self.0 >> 32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recall(memo: &mut Memo, text: &str, fresh: u32) -> Vec<u32> {
        let mut numbers = vec![7];
        memo.recall(text.as_bytes(), &mut numbers, |numbers| numbers.push(fresh));
        numbers
    }

    #[test]
    fn a_text_is_looked_at_once_while_it_keeps_its_place() {
        let mut memo = Memo::default();
        for text in ["", "a", "a text of more than eight bytes"] {
            assert_eq!(recall(&mut memo, text, 1), [7, 1]);
            assert_eq!(recall(&mut memo, text, 2), [7, 1]);
        }
        for other in 0..100_000 {
            assert_eq!(recall(&mut memo, &other.to_string(), other), [7, other]);
        }
        assert_eq!(recall(&mut memo, "a", 3), [7, 3]);
        assert_eq!(memo.places.len(), PLACES);
    }

    #[test]
    fn a_long_text_is_not_remembered() {
        let mut memo = Memo::default();
        let long = "x".repeat(TEXT_BYTES_MAX + 1);
        assert_eq!(recall(&mut memo, &long, 1), [7, 1]);
        assert_eq!(recall(&mut memo, &long, 2), [7, 2]);
    }
}
