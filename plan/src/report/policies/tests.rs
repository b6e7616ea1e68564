use super::super::*;

const POLICY: &str = "shop/errors";

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// A collector that has decided `traces` since its start, a tenth of them early, and kept half.
fn report(incarnation: &str, traces: u64, warming: &[&str]) -> AgentReport {
    let rule = RuleCounts { matched: traces, decided: traces, kept: traces / 2 };
    let counts = PolicyCounts {
        traces,
        kept: traces / 2,
        error_traces: traces,
        error_traces_kept: traces,
        decided_early: traces / 10,
        would_keep: traces,
        would_keep_errors: traces,
        rules: BTreeMap::from([("errors".to_owned(), rule)]),
        warming: warming.iter().map(|rule| (*rule).to_owned()).collect(),
    };
    AgentReport {
        incarnation: incarnation.into(),
        state: AgentState {
            role: Role::Gateway,
            node: "node".into(),
            version: "0.1.0".into(),
            config_hash: "abc".into(),
            adoption: Adoption::Applied,
            adoption_error: String::new(),
            memory: MemoryPressure::Normal,
            unknown_peers: 0,
            load: None,
            seen: at(0),
        },
        flows: BTreeMap::new(),
        deliveries: BTreeMap::new(),
        policies: BTreeMap::from([(POLICY.to_owned(), counts)]),
        tail: TailState { open_traces: traces, bytes: traces * 1000, late_spans: traces },
    }
}

fn flow(books: &mut FleetBooks, second: i64) -> (PolicyFlow, TailFlow) {
    let report = books.report(at(second), |_| true);
    (report.policies[POLICY].clone(), report.tail)
}

#[test]
fn counts_are_summed_over_collectors_and_restarts() {
    let mut books = FleetBooks::default();
    books.absorb("a", report("1", 100, &[]));
    let (first, tail) = flow(&mut books, 0);
    assert_eq!((first.total.traces, tail.late_spans), (0, 0), "that was before");
    assert_eq!((tail.open_traces, tail.bytes), (100, 100_000));
    books.absorb("a", report("1", 120, &[]));
    books.absorb("a", report("2", 10, &[]));
    books.absorb("b", report("1", 50, &[]));
    books.absorb("b", report("1", 60, &[]));
    let (sum, tail) = flow(&mut books, 1);
    assert_eq!((sum.total.traces, sum.total.kept, sum.total.decided_early), (40, 20, 4));
    assert_eq!(sum.total.rules["errors"].decided, 40);
    assert_eq!((tail.open_traces, tail.bytes, tail.late_spans), (70, 70_000, 40));
    books.forget("b");
    assert_eq!(flow(&mut books, 2).1.open_traces, 10);
}

#[test]
fn what_is_shown_is_of_five_minutes_and_stays_for_a_window() {
    let mut books = FleetBooks::default();
    let mut shown: Vec<PolicyGrowth> = Vec::new();
    for second in 0..=900i64 {
        let traces = u64::try_from(second * 10).unwrap();
        books.absorb("a", report("1", traces, &[]));
        let (flow, _) = flow(&mut books, second);
        let growth = u64::try_from(flow.recent.seconds * 10).unwrap();
        assert_eq!(flow.recent.counts.traces, growth, "second {second}");
        assert!(flow.recent.seconds <= 2 * WINDOW_S, "second {second}");
        if shown.last() != Some(&flow.shown) {
            shown.push(flow.shown);
        }
    }
    let seconds: Vec<_> = shown.iter().map(|shown| shown.seconds).collect();
    assert_eq!(seconds[..4], [0, 30, 60, 90]);
    let last = &shown[shown.len() - 1];
    assert_eq!((last.seconds, last.counts.traces), (300, 3000));
}

#[test]
fn the_memory_that_is_needed_is_the_most_that_one_collector_held() {
    let mut books = FleetBooks::default();
    for (second, traces) in [(0, 1), (10, 9), (20, 2), (30, 3)] {
        books.absorb("a", report("1", traces, &[]));
        books.absorb("b", report("1", 1, &[]));
        flow(&mut books, second);
    }
    assert_eq!(flow(&mut books, 30).1.bytes_high, 9000);
}

#[test]
fn a_rule_warms_up_while_half_of_the_collectors_do() {
    let mut books = FleetBooks::default();
    let mut warming = |pod: &str, rules: &[&str]| {
        books.absorb(pod, report("1", 1, rules));
        flow(&mut books, 0).0.warming.into_iter().collect::<Vec<_>>()
    };
    assert_eq!(warming("a", &["slow", "rare"]), ["rare", "slow"]);
    assert_eq!(warming("b", &["slow"]), ["rare", "slow"]);
    assert_eq!(warming("c", &[]), ["slow"]);
    assert!(warming("b", &[]).is_empty());
}

#[test]
fn the_books_of_a_policy_that_is_gone_are_closed() {
    let mut books = FleetBooks::default();
    books.absorb("a", report("1", 100, &[]));
    assert!(books.report(at(0), |key| key != POLICY).policies.is_empty());
}
