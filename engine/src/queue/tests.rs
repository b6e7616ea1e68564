use super::*;
use crate::books::total;

fn bounds(on_full: OnFull) -> Bounds {
    Bounds {
        batch_timeout: Duration::from_secs(5),
        batch_items: 100,
        batch_bytes_max: 10_000,
        bytes_max: 3 * (1000 + OVERHEAD_BYTES),
        age_max: Duration::from_secs(3600),
        retry_initial: Duration::from_secs(1),
        retry_max: Duration::from_secs(30),
        retry_elapsed_max: Duration::from_secs(300),
        on_full,
    }
}

fn chunk(items: u64) -> Chunk<u64> {
    Chunk { body: Bytes::from(vec![b'x'; 1000]), items, ack: Some(items) }
}

fn seconds(seconds: u64) -> Tick {
    Tick(Duration::from_secs(seconds))
}

/// Plays `script` and compares what it did; the book balances after each step. `p10` pushes a
/// chunk of 10 items (or is refused), `n` asks for the next, `ok`, `part3`, `first2`, `no` and `fail`
/// settle the oldest batch under way, `wait7` is a failure with the peer's delay, `close` closes, a
/// number lets seconds pass.
#[track_caller]
fn check(bounds: Bounds, script: &str, expected: &str) {
    let mut queue = Queue::new(bounds);
    let mut now = seconds(0);
    let mut under_way = VecDeque::new();
    let mut trace = Vec::new();
    for step in script.split_whitespace() {
        let number = |prefix: &str| step.strip_prefix(prefix).and_then(|rest| rest.parse().ok());
        let outcome = match step {
            "n" => {
                trace.push(show(queue.next(now), &mut under_way));
                None
            }
            "close" => {
                queue.close();
                None
            }
            "ok" => Some(Outcome::Sent { rejected: 0 }),
            "no" => Some(Outcome::Rejected),
            "fail" => Some(Outcome::Failed { delay: None }),
            _ => {
                if let Some(items) = number("p") {
                    let chunk = chunk(items);
                    let cost = chunk.cost();
                    if queue.reserve(cost) {
                        queue.push(chunk, now);
                    } else {
                        trace.push("full".to_owned());
                    }
                    None
                } else if let Some(rejected) = number("part") {
                    Some(Outcome::Sent { rejected })
                } else if let Some(chunks) = number("first") {
                    Some(Outcome::SentFirst { chunks: chunks as usize })
                } else if let Some(delay) = number("wait") {
                    Some(Outcome::Failed { delay: Some(Duration::from_secs(delay)) })
                } else {
                    now = now.plus(Duration::from_secs(step.parse().unwrap()));
                    None
                }
            }
        };
        if let Some(outcome) = outcome {
            queue.settle(under_way.pop_front().unwrap(), &outcome, now, 1.0);
        }
        balanced(&queue.book());
    }
    let book = queue.book();
    let dropped: Vec<String> =
        book.dropped.iter().map(|(reason, items)| format!("{}={items}", reason.as_str())).collect();
    trace.push(format!("sent={} held={} {}", book.sent, book.held, dropped.join(" ")));
    assert_eq!(trace.join(" ").trim_end(), expected);
}

fn show(next: Next<u64>, under_way: &mut VecDeque<Batch<u64>>) -> String {
    match next {
        Next::Send(batch) => {
            let text = format!("send{}", batch.items);
            under_way.push_back(batch);
            text
        }
        Next::WaitUntil(tick) => format!("until{}", tick.0.as_secs()),
        Next::Wait => "wait".to_owned(),
        Next::Drained => "drained".to_owned(),
    }
}

#[track_caller]
fn balanced(book: &DestinationBook) {
    assert_eq!(book.queued, book.sent + total(&book.dropped) + book.held, "{book:?}");
}

#[test]
fn a_batch_leaves_when_it_is_full_or_old() {
    let bounds = bounds(OnFull::DropOldest);
    check(bounds.clone(), "p60 n p60 n ok", "until5 send120 sent=120 held=0");
    check(bounds.clone(), "p60 4 p1 n 1 n ok", "until5 send61 sent=61 held=0");
    check(bounds, "n p60 close n ok n", "wait send60 drained sent=60 held=0");
}

#[test]
fn a_batch_is_never_larger_than_its_bytes() {
    let bounds = Bounds { batch_bytes_max: 1500, ..bounds(OnFull::DropOldest) };
    check(bounds, "p1 p2 n n ok", "send1 until5 sent=1 held=2");
}

#[test]
fn what_the_peer_did_not_take_leaves_again_at_once() {
    let script = "p1 p2 p3 n close n first2 n ok n";
    check(bounds(OnFull::DropOldest), script, "until5 send6 send3 drained sent=6 held=0");
    check(bounds(OnFull::Block), "p1 p2 close n first9 n", "send3 drained sent=3 held=0");
}

#[test]
fn a_full_queue_drops_the_oldest() {
    check(bounds(OnFull::DropOldest), "p1 p2 p3 p4", "sent=0 held=9 queue_full=1");
}

#[test]
fn a_full_queue_drops_the_new() {
    check(bounds(OnFull::DropNew), "p1 p2 p3 p4", "sent=0 held=6 queue_full=4");
}

#[test]
fn a_full_queue_blocks_until_there_is_room() {
    let script = "p1 p2 p3 p4 close n ok";
    let bounds = bounds(OnFull::Block);
    check(bounds.clone(), script, "full send6 sent=6 held=0");
    check(bounds, "p100 p2 p3 p4 n ok p4", "full send100 sent=100 held=9");
}

#[test]
fn what_is_larger_than_a_blocking_queue_passes_alone() {
    let bounds = Bounds { bytes_max: 10, ..bounds(OnFull::Block) };
    check(bounds, "p100 p2 n ok p3", "full send100 sent=100 held=3");
}

#[test]
fn what_is_under_way_is_not_dropped_for_room() {
    let script = "p100 n p100 n p100 n p4 ok p5";
    check(
        bounds(OnFull::DropOldest),
        script,
        "send100 send100 send100 sent=100 held=205 queue_full=4",
    );
}

#[test]
fn a_failed_batch_is_tried_again_with_growing_pauses() {
    let script = "p100 n fail n 1 n fail n 2 n fail n 4 n ok n";
    let expected = "send100 until1 send100 until3 send100 until7 send100 wait sent=100 held=0";
    check(bounds(OnFull::DropOldest), script, expected);
}

#[test]
fn the_peers_delay_is_honoured() {
    check(bounds(OnFull::DropOldest), "p100 n wait7 n", "send100 until7 sent=0 held=100");
    check(bounds(OnFull::DropOldest), "p100 n wait9999 n", "send100 until300 sent=0 held=100");
}

#[test]
fn while_it_fails_one_batch_probes() {
    let script = "p100 p100 n n fail fail 1 n n";
    let expected = "send100 send100 send100 wait sent=0 held=200";
    check(bounds(OnFull::DropOldest), script, expected);
}

#[test]
fn batches_that_fail_together_are_one_failure() {
    let script = "p100 p100 n n fail fail n";
    check(bounds(OnFull::DropOldest), script, "send100 send100 until1 sent=0 held=200");
}

#[test]
fn what_failed_for_too_long_is_dropped() {
    let script = "p100 n fail 299 n fail 31 n fail";
    let expected = "send100 send100 send100 sent=0 held=0 retries_exhausted=100";
    check(bounds(OnFull::DropOldest), script, expected);
}

#[test]
fn what_is_too_old_is_dropped() {
    let bounds = Bounds { age_max: Duration::from_secs(2), ..bounds(OnFull::DropOldest) };
    check(bounds, "p1 2 n 1 n", "until5 wait sent=0 held=0 expired=1");
}

#[test]
fn what_the_peer_refused_is_counted() {
    check(bounds(OnFull::DropOldest), "p100 n part3", "send100 sent=97 held=0 rejected=3");
    check(bounds(OnFull::DropOldest), "p100 n part999", "send100 sent=0 held=0 rejected=100");
    check(bounds(OnFull::DropOldest), "p100 n no", "send100 sent=0 held=0 rejected=100");
}

#[test]
fn the_shutdown_gives_back_what_was_not_delivered() {
    let mut queue = Queue::new(bounds(OnFull::DropOldest));
    for items in [100, 5, 6] {
        queue.push(chunk(items), seconds(0));
    }
    let Next::Send(batch) = queue.next(seconds(0)) else { panic!("a full batch is due") };
    assert_eq!(queue.abandon(), [5, 6]);
    assert_eq!(queue.abandon_batch(batch), [100]);
    assert_eq!(queue.bytes(), 0);
    let book = queue.book();
    assert_eq!(book.dropped.get(&Dropped::Shutdown), Some(&111));
    balanced(&book);
}

/// A long random life, the seed printed when it fails.
#[test]
fn the_book_balances_whatever_happens() {
    for seed in 0..50 {
        for on_full in [OnFull::DropOldest, OnFull::DropNew, OnFull::Block] {
            live(seed, on_full);
        }
    }
}

fn live(seed: u64, on_full: OnFull) {
    let mut queue = Queue::new(bounds(on_full));
    let (mut now, mut state) = (seconds(0), seed);
    let mut under_way = Vec::new();
    for _ in 0..500 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let dice = state >> 33;
        match dice % 4 {
            0 => {
                let chunk = chunk(dice % 80);
                if queue.reserve(chunk.cost()) {
                    queue.push(chunk, now);
                }
            }
            1 => {
                if let Next::Send(batch) = queue.next(now) {
                    under_way.push(batch);
                }
            }
            2 => now = now.plus(Duration::from_millis(dice % 20_000)),
            _ => {
                let outcome = match dice % 4 {
                    0 => Outcome::Sent { rejected: dice % 7 },
                    1 => Outcome::SentFirst { chunks: dice as usize % 3 },
                    2 => Outcome::Rejected,
                    _ => Outcome::Failed { delay: None },
                };
                if let Some(batch) = under_way.pop() {
                    queue.settle(batch, &outcome, now, 0.5);
                }
            }
        }
        let book = queue.book();
        let right = book.sent + total(&book.dropped) + book.held;
        assert_eq!(book.queued, right, "seed {seed}, {on_full:?}");
        assert!(queue.bytes() <= queue.bounds.bytes_max, "seed {seed}, {on_full:?}");
    }
}
