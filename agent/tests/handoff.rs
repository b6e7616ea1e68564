//! Traces that get another owner while they are open: decided once, by all their spans.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are tests")]

mod support;

use sluice_agent::Running;
use sluice_engine::books::Refused;
use sluice_engine::config::gateway::HandoffMode;
use sluice_engine::config::sampling::Policy;
use sluice_engine::ring::slot_of;
use sluice_wire::Signal;
use std::ops::Range;
use support::client::Grpc;
use support::fleet::*;
use support::oracle::Oracle;
use support::sampling::*;
use support::*;

/// Some spans of each trace, through one agent.
async fn send_some(fleet: &Fleet, agent: usize, numbers: Range<u64>) {
    let mut grpc = Grpc::connect(fleet.agents[agent].grpc_address()).await;
    for number in numbers {
        send(&mut grpc, (0..TRACES).map(|trace| span_of(trace, number)).collect()).await;
    }
}

fn open_at(gateway: &Running) -> u64 {
    gateway.tail().map_or(0, |tail| tail.open_traces())
}

/// Spans that gateways hold of traces that nobody has decided.
fn held(fleet: &Fleet) -> u64 {
    let books = fleet.gateways.values().map(Running::books);
    let of_pipeline = |books: sluice_engine::books::Books| {
        books.pipelines.get(&("shop/shop".to_owned(), Signal::Traces)).map_or(0, |book| book.held)
    };
    books.map(of_pipeline).sum()
}

async fn fleet(wait_ms: u64, names: &[&str]) -> (Oracle, Fleet) {
    let (oracle, address) = Oracle::start().await;
    (oracle, Fleet::start(address, policy(), wait_ms, names).await)
}

/// The first two spans of each trace are held; those that are open stay so for ever.
async fn half_way(names: &[&str]) -> (Oracle, Fleet) {
    let (oracle, fleet) = fleet(FOREVER_MS, names).await;
    send_some(&fleet, 0, 0..2).await;
    until("half of each trace is held", || held(&fleet) == TRACES * 2).await;
    (oracle, fleet)
}

/// What began under other rules is decided by those.
async fn decide_new_traces_after(fleet: &mut Fleet, wait_ms: u64) {
    fleet.config.sampling.tail.decision_wait_ms = wait_ms;
    for collector in fleet.agents.iter().chain(fleet.gateways.values()) {
        collector.adopt(fleet.config.clone()).await.unwrap();
    }
}

/// All spans of the traces that are to be kept, and no others.
async fn whole_at_the_end(oracle: &Oracle, fleet: Fleet) {
    fleet.stop().await;
    assert_eq!(arrived(oracle).into_keys().collect::<Vec<_>>(), expected(0..TRACES));
}

#[tokio::test(flavor = "multi_thread")]
async fn open_traces_go_to_gateways_that_are_new() {
    let (oracle, mut fleet) = half_way(&["a", "b"]).await;
    fleet.add_gateway("c").await;
    fleet.add_gateway("d").await;
    fleet.turn_ring(&[]).await;
    fleet.settled().await;
    let shares: Vec<u64> = fleet.gateways.values().map(open_at).collect();
    assert!(shares.iter().all(|open| TRACES / 8 < *open), "uneven: {shares:?}");
    send_some(&fleet, 1, 2..SPANS).await;
    whole_at_the_end(&oracle, fleet).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_leaves_keeps_nothing() {
    let (oracle, mut fleet) = half_way(&["a", "b", "c"]).await;
    fleet.turn_ring(&["a", "c"]).await;
    for name in ["a", "c"] {
        let leaver = fleet.gateways.remove(name).unwrap();
        in_time(leaver.has_left()).await;
        assert_eq!(open_at(&leaver), 0);
        let books = stop(leaver).await;
        let book = &books.pipelines[&("shop/shop".to_owned(), Signal::Traces)];
        assert!(0 < book.handed_over && book.handed_over == book.copies, "{book:?}");
    }
    send_some(&fleet, 1, 2..SPANS).await;
    whole_at_the_end(&oracle, fleet).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn late_spans_follow_what_another_gateway_decided() {
    let (oracle, mut fleet) = fleet(100, &["a", "b"]).await;
    send_some(&fleet, 0, 0..SPANS - 1).await;
    until("everything is decided", || {
        fleet.agents.iter().all(|agent| agent.queues().values().all(|queue| queue.queue_bytes == 0))
            && held(&fleet) == 0
    })
    .await;
    fleet.add_gateway("c").await;
    fleet.turn_ring(&["a"]).await;
    fleet.settled().await;
    // Errors among them, which come too late for traces that were dropped.
    send_some(&fleet, 1, SPANS - 1..SPANS).await;
    let kept = (0..TRACES).filter(|trace| is_of_the_tenth(trace_id(*trace)));
    let mut expected: Vec<_> =
        kept.flat_map(|trace| (0..SPANS).map(move |number| key(&span_of(trace, number)))).collect();
    expected.sort();
    fleet.stop().await;
    let arrived = arrived(&oracle);
    assert_eq!(arrived.keys().cloned().collect::<Vec<_>>(), expected);
    assert!(arrived.values().all(|state| state == TENTH_STATE));
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_that_come_by_an_old_ring_are_passed_on() {
    let (oracle, mut fleet) = half_way(&["a", "b"]).await;
    fleet.add_gateway("c").await;
    let ring = fleet.next_ring(&["a"]);
    for gateway in fleet.gateways.values() {
        gateway.set_ring(ring.clone()).await.unwrap();
    }
    fleet.settled().await;
    // The agents know nothing of it.
    send_some(&fleet, 1, 2..SPANS).await;
    for agent in std::mem::take(&mut fleet.agents) {
        stop(agent).await;
    }
    let old = fleet.gateways.remove("a").unwrap();
    assert_eq!(open_at(&old), 0);
    stop(old).await;
    whole_at_the_end(&oracle, fleet).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_owner_waits_for_the_old_one() {
    let (oracle, mut fleet) = half_way(&["a", "b"]).await;
    decide_new_traces_after(&mut fleet, 0).await;
    let first = fleet.ring.clone().unwrap();
    let ring = fleet.next_ring(&["a"]);
    for collector in fleet.agents.iter().chain(fleet.gateways.get("b")) {
        collector.set_ring(ring.clone()).await.unwrap();
    }
    let moves = |trace: u128| first.owner(slot_of(&trace.to_be_bytes())).name == "a";
    let moving = (0..TRACES).filter(|trace| moves(trace_id(*trace))).count() as u64;
    send_some(&fleet, 1, 2..SPANS).await;
    let new = &fleet.gateways["b"];
    until("it holds what moves", || new.tail().unwrap().held_traces() == moving).await;
    // Those of its own slots are decided at once, after the others were due.
    fleet.send(TRACES..2 * TRACES, span_of).await;
    let is_new = |trace: u128| TRACES < (trace >> 64) as u64;
    until("its own are decided", || arrived(&oracle).keys().any(|(trace, _)| is_new(*trace))).await;
    assert!(arrived(&oracle).keys().all(|(trace, _)| !moves(*trace)));
    fleet.gateways["a"].set_ring(ring).await.unwrap();
    until("nothing is held any more", || new.tail().unwrap().held_traces() == 0).await;
    assert_eq!(new.incomplete_traces(), 0);
    fleet.stop().await;
    assert_eq!(arrived(&oracle).into_keys().collect::<Vec<_>>(), expected(0..2 * TRACES));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_never_hands_over_is_given_up_and_its_traces_are_counted() {
    let (oracle, mut fleet) = fleet(0, &["a"]).await;
    fleet.config.gateway.handoff.timeout_ms = 300;
    fleet.add_gateway("b").await;
    let ring = fleet.next_ring(&["a"]);
    for collector in fleet.agents.iter().chain(fleet.gateways.get("b")) {
        collector.set_ring(ring.clone()).await.unwrap();
    }
    send_some(&fleet, 0, 0..SPANS).await;
    let new = &fleet.gateways["b"];
    until("everything is decided", || new.incomplete_traces() == TRACES && open_at(new) == 0).await;
    whole_at_the_end(&oracle, fleet).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_moves_on_before_it_has_come_is_waited_for_by_the_next_owner() {
    let (oracle, mut fleet) = half_way(&["a"]).await;
    fleet.add_gateway("b").await;
    fleet.add_gateway("c").await;
    let second = fleet.next_ring(&["a", "c"]);
    fleet.gateways["b"].set_ring(second.clone()).await.unwrap();
    let third = fleet.next_ring(&["a", "b"]);
    fleet.gateways["b"].set_ring(third.clone()).await.unwrap();
    fleet.gateways["c"].set_ring(third.clone()).await.unwrap();
    in_time(fleet.gateways["b"].handed_over(third.epoch())).await;
    // Only now the first one hears of the second ring, and would give all to a gateway of yesterday.
    fleet.gateways["a"].set_ring(second).await.unwrap();
    let refused = || fleet.gateways["b"].books().receivers[&Signal::Traces].refused.clone();
    until("that one refuses", || refused().contains_key(&Refused::NotOwner)).await;
    fleet.gateways["a"].set_ring(third.clone()).await.unwrap();
    in_time(fleet.gateways["a"].handed_over(third.epoch())).await;
    assert_eq!(open_at(&fleet.gateways["c"]), TRACES);
    for agent in &fleet.agents {
        agent.set_ring(third.clone()).await.unwrap();
    }
    send_some(&fleet, 1, 2..SPANS).await;
    whole_at_the_end(&oracle, fleet).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_taken_of_a_forward_does_not_come_again_by_the_next_owner() {
    let (oracle, mut fleet) = fleet(FOREVER_MS, &["a"]).await;
    // By the third ring each other slot is c's. One trace of them, so that much is taken before it.
    let is_of_c = |trace: &u64| slot_of(&trace_id(*trace).to_be_bytes()) % 2 == 1;
    let (of_c, of_b): (Vec<u64>, Vec<u64>) = (0..TRACES).partition(is_of_c);
    let mut grpc = Grpc::connect(fleet.agents[0].grpc_address()).await;
    let traces = || of_b.iter().chain(&of_c[..1]).copied();
    for trace in traces() {
        // From a service of its own: so it leaves in a frame of its own.
        let service = format!("cart-{trace}");
        let attributes = [("service.name", &*service), ("k8s.namespace.name", "shop")];
        let mut request = request("shop", (0..2).map(|span| span_of(trace, span)).collect());
        request.resource_spans[0].resource = resource(&attributes);
        send_request(&mut grpc, &request).await;
    }
    let count = traces().count() as u64;
    until("half of each trace is held", || held(&fleet) == count * 2).await;
    fleet.add_gateway("b").await;
    fleet.add_gateway("c").await;
    let second = fleet.next_ring(&["a", "c"]);
    let third = fleet.next_ring(&["a"]);
    for name in ["b", "c"] {
        fleet.gateways[name].set_ring(third.clone()).await.unwrap();
    }
    // It gives all to b, which does not own all of it any more.
    fleet.gateways["a"].set_ring(second).await.unwrap();
    let refused = || fleet.gateways["b"].books().receivers[&Signal::Traces].refused.clone();
    until("what moved on is refused", || refused().contains_key(&Refused::NotOwner)).await;
    for collector in fleet.gateways.get("a").into_iter().chain(&fleet.agents) {
        collector.set_ring(third.clone()).await.unwrap();
    }
    in_time(fleet.gateways["a"].handed_over(third.epoch())).await;
    let owned = ["b", "c"].map(|name| open_at(&fleet.gateways[name]));
    assert_eq!(owned, [count - 1, 1]);
    send(&mut grpc, traces().flat_map(|t| (2..SPANS).map(move |s| span_of(t, s))).collect()).await;
    fleet.stop().await;
    let expected = traces().filter(|trace| is_kept(*trace)).count() as u64 * SPANS;
    assert_eq!(arrived(&oracle).len() as u64, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_decide_now_the_old_owner_decides_by_what_it_has() {
    let (oracle, address) = Oracle::start().await;
    let policy = Policy { keep: vec![], ..policy() };
    let mut fleet = Fleet::start(address, policy, FOREVER_MS, &["a", "b"]).await;
    fleet.config.gateway.handoff.mode = HandoffMode::DecideNow;
    for gateway in fleet.gateways.values() {
        gateway.adopt(fleet.config.clone()).await.unwrap();
    }
    send_some(&fleet, 0, 0..2).await;
    until("half of each trace is held", || held(&fleet) == TRACES * 2).await;
    fleet.turn_ring(&["a"]).await;
    fleet.settled().await;
    let decided = open_at(&fleet.gateways["a"]) == 0 && open_at(&fleet.gateways["b"]) < TRACES;
    assert!(decided, "half of them are decided");
    send_some(&fleet, 1, 2..SPANS).await;
    fleet.stop().await;
    let is_kept = |trace: &u64| is_of_the_tenth(trace_id(*trace));
    assert_eq!(arrived(&oracle).len() as u64, SPANS * (0..TRACES).filter(is_kept).count() as u64);
}
