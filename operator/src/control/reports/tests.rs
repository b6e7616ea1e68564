use super::*;

const FLEET: &str = "default";

struct Desk {
    reports: Reports,
    wake: Arc<Notify>,
}

fn desk() -> Desk {
    let wake = Arc::new(Notify::new());
    Desk { reports: Reports::new(Duration::from_secs(60), Arc::clone(&wake)), wake }
}

fn identity(pod: &str) -> Identity {
    Identity {
        pod: pod.into(),
        uid: format!("uid-{pod}"),
        node: "node-a".into(),
        is_gateway: false,
    }
}

fn hello() -> Hello {
    Hello { fleet: FLEET.into(), incarnation: "1".into(), ..Hello::default() }
}

fn adopted(hash: &str) -> Report {
    Report {
        config_hash: hash.into(),
        adoption: wire::Adoption::Applied.into(),
        ..Report::default()
    }
}

fn agents(desk: &Desk, existing: &[&str]) -> Vec<String> {
    let existing = existing.iter().map(|&pod| pod.to_owned()).collect();
    let report = desk.reports.report(FLEET, Timestamp::UNIX_EPOCH, &existing, |_| true);
    report.agents.into_keys().collect()
}

async fn woken(desk: &Desk) -> bool {
    tokio::time::timeout(Duration::from_millis(1), desk.wake.notified()).await.is_ok()
}

#[tokio::test(start_paused = true)]
async fn a_last_report_outlives_its_stream_for_a_while() {
    let desk = desk();
    desk.reports.began(FLEET, "a", 1);
    desk.reports.absorb(&identity("a"), &hello(), adopted("h1"), Timestamp::UNIX_EPOCH);
    desk.reports.ended(FLEET, "a", 1);
    tokio::time::advance(Duration::from_secs(59)).await;
    assert_eq!(agents(&desk, &["a"]), ["a"]);
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(agents(&desk, &["a"]), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_deleted_pod_is_forgotten_with_its_stream() {
    let desk = desk();
    desk.reports.began(FLEET, "a", 1);
    desk.reports.absorb(&identity("a"), &hello(), adopted("h1"), Timestamp::UNIX_EPOCH);
    assert_eq!(agents(&desk, &[]), ["a"], "a stream may be faster than the watch of pods");
    desk.reports.ended(FLEET, "a", 1);
    assert_eq!(agents(&desk, &[]), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_an_older_stream_does_not_end_the_newer() {
    let desk = desk();
    desk.reports.began(FLEET, "a", 1);
    desk.reports.began(FLEET, "a", 2);
    desk.reports.absorb(&identity("a"), &hello(), adopted("h1"), Timestamp::UNIX_EPOCH);
    desk.reports.ended(FLEET, "a", 1);
    tokio::time::advance(Duration::from_secs(3600)).await;
    assert_eq!(agents(&desk, &[]), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn only_a_notable_change_wakes_the_loop() {
    let desk = desk();
    desk.reports.began(FLEET, "a", 1);
    desk.reports.absorb(&identity("a"), &hello(), adopted("h1"), Timestamp::UNIX_EPOCH);
    assert!(woken(&desk).await);
    let mut moved = adopted("h1");
    moved.pipelines.push(wire::PipelineBook {
        pipeline: "shop/web".into(),
        signal: "traces".into(),
        accepted: 7,
        ..wire::PipelineBook::default()
    });
    desk.reports.absorb(&identity("a"), &hello(), moved, Timestamp::UNIX_EPOCH);
    assert!(!woken(&desk).await);
    desk.reports.absorb(&identity("a"), &hello(), adopted("h2"), Timestamp::UNIX_EPOCH);
    assert!(woken(&desk).await);
}

#[tokio::test(start_paused = true)]
async fn what_policies_did_is_added_up_over_agents() {
    let desk = desk();
    let report = |kept: u64| {
        let errors = wire::sampling::RuleCounts {
            rule: "errors".into(),
            matched: kept,
            decided: kept,
            kept,
        };
        let policy = wire::sampling::PolicyCounts {
            policy: "shop/web".into(),
            traces: 10 * kept,
            kept,
            error_traces: kept,
            error_traces_kept: kept,
            rules: vec![errors],
            ..Default::default()
        };
        let tail = wire::sampling::TailState { open_traces: 5, bytes: 500, late_spans: kept };
        Report { policies: vec![policy], tail: Some(tail), ..adopted("h1") }
    };
    let absorb = |pod, report| {
        desk.reports.absorb(&identity(pod), &hello(), report, Timestamp::UNIX_EPOCH);
    };
    for pod in ["a", "b"] {
        desk.reports.began(FLEET, pod, 1);
        absorb(pod, report(0));
    }
    absorb("a", report(3));
    absorb("b", report(4));
    let existing = ["a", "b"].map(str::to_owned).into();
    let sum = desk.reports.report(FLEET, Timestamp::UNIX_EPOCH, &existing, |_| true);
    let total = &sum.policies["shop/web"].total;
    assert_eq!((total.traces, total.kept, total.error_traces_kept), (70, 7, 7));
    assert_eq!(total.rules["errors"].decided, 7);
    assert_eq!((sum.tail.open_traces, sum.tail.bytes, sum.tail.late_spans), (10, 1000, 7));
}
