//! Tells a source that what it submitted has reached its end, so that it may forget it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::oneshot;

/// What became of everything that a token went with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acked {
    /// Every destination took it, or it was dropped for good and counted.
    Settled,
    /// It was refused, or still held when the collector stopped: submit it again.
    Lost,
}

/// Goes with every chunk of one submission; the last one that is dropped resolves it.
#[derive(Clone, Debug)]
pub struct AckToken(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    lost: AtomicBool,
    waiting: Mutex<Option<oneshot::Sender<Acked>>>,
}

/// A token, and where its outcome arrives.
pub fn ack() -> (AckToken, oneshot::Receiver<Acked>) {
    let (sender, receiver) = oneshot::channel();
    let inner = Inner { lost: AtomicBool::new(false), waiting: Mutex::new(Some(sender)) };
    (AckToken(Arc::new(inner)), receiver)
}

impl AckToken {
    /// One part of the submission did not arrive.
    pub fn lose(self) {
        self.0.lost.store(true, Ordering::Release);
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let outcome = if self.lost.load(Ordering::Acquire) { Acked::Lost } else { Acked::Settled };
        let waiting = self.waiting.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(waiting) = waiting.take() {
            // The source may be gone; then nobody needs to know.
            let _ = waiting.send(outcome);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_part_resolves_the_token() {
        let (token, mut outcome) = ack();
        let other = token.clone();
        drop(token);
        assert!(outcome.try_recv().is_err());
        drop(other);
        assert_eq!(outcome.try_recv(), Ok(Acked::Settled));
    }

    #[test]
    fn one_lost_part_loses_the_whole() {
        let (token, mut outcome) = ack();
        token.clone().lose();
        drop(token);
        assert_eq!(outcome.try_recv(), Ok(Acked::Lost));
    }
}
