use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn flow() -> FlowKey {
    FlowKey { pipeline: "shop/shop".into(), signal: Signal::Traces }
}

fn delivery() -> DeliveryKey {
    DeliveryKey {
        destination: "shop/tempo".into(),
        pipeline: "shop/shop".into(),
        signal: Signal::Traces,
    }
}

/// An agent that has taken `accepted` items since its start and holds `held` of them.
fn report(incarnation: &str, accepted: u64, held: u64) -> AgentReport {
    let state = AgentState {
        role: Role::Agent,
        node: "node".into(),
        version: "0.1.0".into(),
        config_hash: "abc".into(),
        adoption: Adoption::Applied,
        adoption_error: String::new(),
        memory: MemoryPressure::Normal,
        unknown_peers: 0,
        load: None,
        seen: at(0),
    };
    let counters = FlowCounters { accepted, held, ..FlowCounters::default() };
    let book = DeliveryBook { queued: accepted, sent: accepted - held, held, ..Default::default() };
    AgentReport {
        incarnation: incarnation.into(),
        state,
        flows: BTreeMap::from([(flow(), counters)]),
        deliveries: BTreeMap::from([(delivery(), book)]),
        policies: BTreeMap::new(),
        tail: TailState::default(),
    }
}

fn totals(books: &mut FleetBooks) -> (u64, u64) {
    let report = books.report(at(0), |_| true);
    let total = report.flows.get(&flow()).copied().unwrap_or_default().total;
    (total.accepted, total.held)
}

#[test]
fn counters_are_summed_over_agents_and_restarts() {
    let mut books = FleetBooks::default();
    books.absorb("a", report("1", 100, 5));
    assert_eq!(totals(&mut books), (0, 5), "what was counted before is not counted again");
    books.absorb("a", report("1", 130, 7));
    assert_eq!(totals(&mut books), (30, 7));
    books.absorb("a", report("2", 10, 0));
    assert_eq!(totals(&mut books), (40, 0), "a restarted agent counts from zero");
    books.absorb("b", report("1", 50, 1));
    books.absorb("b", report("1", 60, 2));
    assert_eq!(totals(&mut books), (50, 2));
}

#[test]
fn a_pod_that_is_gone_holds_nothing() {
    let mut books = FleetBooks::default();
    books.absorb("a", report("1", 100, 5));
    books.absorb("b", report("1", 100, 4));
    books.forget("a");
    assert_eq!(totals(&mut books), (0, 4));
    let report = books.report(at(0), |_| true);
    assert_eq!(report.agents.keys().collect::<Vec<_>>(), ["b"]);
    assert_eq!(report.deliveries[&delivery()].agents, 1);
}

#[test]
fn rates_are_those_of_the_window() {
    let mut books = FleetBooks::default();
    let mut rate = 0.0;
    for second in 0..120 {
        // 10 a second, and 100 from the 60th second on.
        let accepted = if second < 60 { 10 * second } else { 600 + 100 * (second - 60) };
        books.absorb("a", report("1", accepted, 0));
        let now = at(i64::try_from(second).unwrap());
        rate = books.report(now, |_| true).flows[&flow()].rates.accepted;
        if second == 59 {
            assert!((rate - 10.0).abs() < 0.5, "{rate}");
        }
    }
    assert!((rate - 100.0).abs() < 0.5, "{rate}");
}

#[test]
fn shown_rates_stay_for_a_window() {
    let mut books = FleetBooks::default();
    let mut shown = Vec::new();
    for second in 0..60 {
        books.absorb("a", report("1", second * second, 0));
        let now = at(i64::try_from(second).unwrap());
        let flow = books.report(now, |_| true).flows[&flow()];
        if shown.last() != Some(&flow.shown.accepted) {
            shown.push(flow.shown.accepted);
        }
    }
    assert_eq!(shown.len(), 2, "{shown:?}");
}

#[test]
fn failures_are_counted_by_reason_until_they_are_over() {
    let mut books = FleetBooks::default();
    let failing = |reason: &str| {
        let mut report = report("1", 0, 0);
        let book = report.deliveries.get_mut(&delivery()).unwrap();
        book.failure_reason = reason.into();
        book.failure_message = format!("{reason} it is");
        report
    };
    books.absorb("a", failing("Timeout"));
    books.absorb("b", failing("Timeout"));
    books.absorb("c", failing(""));
    let found = books.report(at(0), |_| true).deliveries[&delivery()].clone();
    assert_eq!(found.agents, 3);
    let timeout = Failure { agents: 2, message: "Timeout it is".into() };
    assert_eq!(found.failures, BTreeMap::from([("Timeout".into(), timeout)]));
    books.absorb("a", failing(""));
    books.absorb("b", failing(""));
    assert!(books.report(at(0), |_| true).deliveries[&delivery()].failures.is_empty());
}

#[test]
fn the_books_of_objects_that_are_gone_are_closed() {
    let mut books = FleetBooks::default();
    books.absorb("a", report("1", 100, 5));
    let report = books.report(at(0), |key| key != "shop/tempo");
    assert_eq!((report.flows.len(), report.deliveries.len()), (1, 0));
}
