//! Services whose SDKs thin traces by the rate that they are told: nothing is thinned twice, and
//! counts are true.

use crate::laws::{one, span};
use crate::random::Random;
use crate::spans::Span;
use crate::world::{START_NS, World, policy};
use sluice_engine::config::sampling::{Head, Sampling};
use sluice_wire::sampling::Threshold;

const TRACES: u64 = 40_000;

/// Heads of all of `shop`, with what the tail then keeps.
fn head(head_ppm: u32, default_ppm: Option<u32>) -> Sampling {
    let mut policy = policy("shop", default_ppm);
    policy.head = Some(Head { keep_ppm: Some(head_ppm), rate: None });
    one(policy)
}

/// As the SDKs of Go do.
fn sdk_keeps(rate: f64, trace: u128) -> bool {
    (trace as u64) >> 1 < (rate * 2_f64.powi(63)) as u64
}

/// Traces of two spans. The SDK of `front` keeps a part of them; `cart` follows it and never asks.
fn send(world: &mut World, random: &mut Random, rate: f64) {
    for _ in 0..TRACES / 100 {
        let roots: Vec<Span> = (0..100).map(|_| span(random)).collect();
        let mut spans: Vec<Span> =
            roots.into_iter().filter(|root| sdk_keeps(rate, root.trace)).collect();
        let start_ns = START_NS + world.now_ms * 1_000_000;
        spans.iter_mut().for_each(|span| span.start_ns = start_ns);
        let child = |root: &Span| Span {
            id: root.id ^ 1,
            parent: root.id,
            service: "cart",
            ..root.clone()
        };
        let children: Vec<Span> = spans.iter().map(child).collect();
        for of_service in [spans, children] {
            world.send_marked("shop", &of_service.iter().collect::<Vec<_>>(), Some("go"));
        }
    }
}

/// What all that left stands for, in traces.
fn estimate(world: &World) -> f64 {
    let left = world.left.iter();
    left.map(|(.., bits)| 0.5 / Threshold::new(*bits).probability()).sum()
}

/// Within four standard errors of a sample with the probability `kept`.
#[track_caller]
fn check_count(found: f64, traces: u64, kept: f64) {
    let error = (traces as f64 * (1.0 - kept) / kept).sqrt();
    let off = (found - traces as f64) / error;
    assert!(off.abs() < 4.0, "{found} of {traces} is {off} standard errors off");
}

#[test]
fn head_thins_nothing_that_the_sdk_kept() {
    let mut world = World::new(&head(100_000, None), 2);
    let rate = world.ask("shop", "front");
    assert_eq!(rate, Threshold::from_ppm(100_000).probability());
    send(&mut world, &mut Random(1), rate);
    world.harvest_all();
    assert_eq!(world.lost, 0);
    assert!(world.left.iter().all(|(.., bits)| *bits == Threshold::from_ppm(100_000).bits()));
    check_count(estimate(&world), TRACES, 0.1);
}

#[test]
fn the_tail_keeps_its_part_of_all_traces_whatever_the_sdk_did() {
    let mut world = World::new(&head(100_000, Some(50_000)), 2);
    let rate = world.ask("shop", "front");
    send(&mut world, &mut Random(2), rate);
    world.harvest_all();
    check_count(estimate(&world), TRACES, 0.05);
    let kept = world.left.len() as f64 / 2.0 / TRACES as f64;
    let error = (0.05_f64 * 0.95 / TRACES as f64).sqrt();
    assert!((kept - 0.05).abs() < 4.0 * error, "{kept} kept");
}

#[test]
fn counts_stay_true_until_the_sdk_asks_again() {
    for (before, after) in [(500_000, 100_000), (100_000, 500_000)] {
        let mut world = World::new(&head(before, None), 2);
        let mut random = Random(u64::from(before));
        let rate = world.ask("shop", "front");
        world.set_rules(&head(after, None));
        send(&mut world, &mut random, rate);
        // These began before it asked, and come after it.
        world.now_ms += 10_000;
        let next = world.ask("shop", "front");
        world.now_ms -= 5_000;
        send(&mut world, &mut random, rate);
        world.now_ms += 10_000;
        send(&mut world, &mut random, next);
        world.harvest_all();
        check_count(estimate(&world), 3 * TRACES, 0.1);
    }
}

#[test]
fn an_agent_that_forgot_what_it_told_thins_nothing_twice() {
    let mut world = World::new(&head(100_000, None), 2);
    send(&mut world, &mut Random(5), Threshold::from_ppm(100_000).probability());
    world.harvest_all();
    assert_eq!((world.remote.services(), world.lost), (0, 0));
    check_count(estimate(&world), TRACES, 0.1);
}

#[test]
fn an_sdk_that_chooses_by_other_bits_is_told_to_keep_all() {
    let mut world = World::new(&head(100_000, None), 1);
    let mut random = Random(6);
    for (language, rate) in [("go", 0.1), ("java", 1.0), ("go", 1.0)] {
        world.ask("shop", "front");
        world.send_marked("shop", &[&span(&mut random)], Some(language));
        assert!((world.ask("shop", "front") - rate).abs() < 1e-4, "after a span of {language}");
    }
    assert_eq!(world.ask("pay", "front"), 1.0, "it has no policy");
}

#[test]
fn who_does_not_ask_for_an_hour_is_forgotten() {
    let mut world = World::new(&head(100_000, None), 1);
    world.ask("shop", "front");
    world.now_ms = 3_599_000;
    world.ask("shop", "cart");
    assert_eq!(world.remote.services(), 2);
    world.now_ms = 3_660_000;
    world.ask("shop", "card");
    assert_eq!(world.remote.services(), 2);
}

#[test]
fn a_sender_with_many_names_takes_no_room_from_others() {
    let mut world = World::new(&head(100_000, None), 1);
    for number in 0..1000 {
        let rate = world.ask("shop", &format!("service-{number}"));
        assert!(rate < 0.2, "it is told all the same");
    }
    assert_eq!(world.remote.services(), 64);
    world.ask("pay", "card");
    assert_eq!(world.remote.services(), 65);
    world.ask("pay", &"x".repeat(257));
    assert_eq!(world.remote.services(), 65);
}
