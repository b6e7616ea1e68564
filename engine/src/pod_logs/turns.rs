//! Whose turn it is to be read: deficit round robin (Shreedhar and Varghese, 1995), so that a loud container does not starve others.

use std::collections::VecDeque;

#[derive(Debug)]
pub struct Turns<K> {
    /// What a turn adds to a deficit, in bytes.
    quantum: u64,
    queue: VecDeque<(K, u64)>,
}

impl<K> Turns<K> {
    pub fn new(quantum: u64) -> Self {
        assert!(0 < quantum, "turns without bytes would never end");
        Self { quantum, queue: VecDeque::new() }
    }

    /// Queues a key that has, or may have, something to read, and is not queued.
    pub fn join(&mut self, key: K) {
        self.queue.push_back((key, 0));
    }

    /// The next key and how many bytes it may spend. It leaves the queue until [`Turns::again`].
    pub fn take(&mut self) -> Option<(K, u64)> {
        self.queue.pop_front().map(|(key, deficit)| (key, deficit + self.quantum))
    }

    /// The key has more: it goes to the end of the queue, with what it did not spend.
    pub fn again(&mut self, key: K, left: u64) {
        self.queue.push_back((key, left.min(self.quantum)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn equal_shares_however_large_the_reads() {
        let mut turns = Turns::new(100);
        let read_bytes = BTreeMap::from([("loud", 100), ("odd", 70), ("small", 1)]);
        read_bytes.keys().for_each(|key| turns.join(*key));
        let mut spent: BTreeMap<_, u64> = BTreeMap::new();
        for _ in 0..300 {
            let (key, allowance) = turns.take().unwrap();
            let bytes = allowance / read_bytes[key] * read_bytes[key];
            *spent.entry(key).or_default() += bytes;
            turns.again(key, allowance - bytes);
        }
        assert!(spent.values().all(|bytes| (9_930..=10_000).contains(bytes)), "{spent:?}");
    }

    #[test]
    fn a_newcomer_waits_one_round_at_most() {
        let mut turns = Turns::new(100);
        turns.join("loud");
        let (loud, _) = turns.take().unwrap();
        turns.join("quiet");
        turns.again(loud, 0);
        assert_eq!(turns.take(), Some(("quiet", 100)));
        assert_eq!(turns.take(), Some(("loud", 100)));
        assert_eq!(turns.take(), None);
    }
}
