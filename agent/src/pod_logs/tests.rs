//! Real files in a temporary folder, paused time, and a test in the intake's place.

mod model;
mod node;

use node::{Agent, Node, cri};
use sluice_engine::config::StartAt;
use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

const APP: &str = "shop_cart-1_u1/app";

fn numbered(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|number| format!("line {number}")).collect()
}

fn written(lines: &[String]) -> String {
    lines.iter().map(|line| cri(line)).collect()
}

#[tokio::test(start_paused = true)]
async fn records_carry_who_wrote_them() {
    let node = Node::new(StartAt::Beginning);
    node.append("shop_cart-1_u1/app/3.log", &cri("hello"));
    let mut agent = Agent::start(&node);
    let parcel = agent.next().await;
    assert_eq!(
        parcel.resource,
        [
            ("k8s.container.name", "app"),
            ("k8s.container.restart_count", "3"),
            ("k8s.namespace.name", "shop"),
            ("k8s.node.name", "node-1"),
            ("k8s.pod.name", "cart-1"),
            ("k8s.pod.uid", "u1"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
    );
    let [record] = parcel.records.as_slice() else { panic!("one record: {parcel:?}") };
    assert_eq!((record.body.as_str(), record.time_unix_nano), ("hello", 1_767_323_045_000_000_006));
    assert_eq!(record.marks, ["log.iostream=stdout"]);
    drop(parcel);
    agent.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_killed_agent_repeats_one_batch_at_most() {
    for killed_after in [0, 1, 2, 5, 9] {
        let node = Node::new(StartAt::Beginning);
        let lines = numbered(0..5 * node.batch_items() * 2);
        node.append(&format!("{APP}/0.log"), &written(&lines));
        let mut agent = Agent::start(&node);
        let mut seen = Vec::new();
        for number in 0..=killed_after {
            let parcel = agent.next().await;
            seen.extend(parcel.bodies());
            // The last one was delivered, but the agent did not hear of it.
            if number == killed_after {
                agent.kill().await;
                std::mem::forget(parcel);
                break;
            }
        }
        let mut agent = Agent::start(&node);
        seen.extend(agent.read_until(|_, all| all.contains(lines.last().unwrap())).await);
        let distinct: BTreeSet<_> = seen.iter().cloned().collect();
        assert_eq!(distinct, lines.iter().cloned().collect(), "killed after {killed_after}");
        let repeated = seen.len() - distinct.len();
        assert!(repeated <= node.batch_items(), "killed after {killed_after}: {repeated} repeated");
        agent.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_stopped_agent_repeats_nothing() {
    let node = Node::new(StartAt::Beginning);
    let lines = numbered(0..3000);
    node.append(&format!("{APP}/0.log"), &written(&lines));
    let mut agent = Agent::start(&node);
    let mut seen = agent.next().await.bodies();
    seen.extend(agent.stop().await);
    let mut agent = Agent::start(&node);
    seen.extend(agent.read_until(|_, all| all.contains(lines.last().unwrap())).await);
    assert_eq!(seen, lines);
    agent.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_next_agent_waits_until_the_one_before_has_drained() {
    let node = Node::new(StartAt::Beginning);
    node.append(&format!("{APP}/0.log"), &cri("first"));
    let mut old = Agent::start(&node);
    let held = old.next().await;
    let mut new = Agent::start(&node);
    node.append(&format!("{APP}/0.log"), &cri("second"));
    let second = old.next().await.bodies();
    assert_eq!(second, ["second"]);
    old.close();
    assert!(new.is_silent().await, "the old agent still waits for its acks");
    drop(held);
    old.stop().await;
    node.append(&format!("{APP}/0.log"), &cri("third"));
    assert_eq!(new.next().await.bodies(), ["third"]);
    new.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_renamed_file_is_read_to_its_end_before_its_successor() {
    let node = Node::new(StartAt::Beginning);
    let (old, rotated) = (format!("{APP}/0.log"), format!("{APP}/0.log.20260102-030405"));
    let lines = numbered(0..3000);
    node.append(&old, &written(&lines[..1000]));
    let mut agent = Agent::start(&node);
    let mut seen = agent.next().await.bodies();
    node.append(&old, &written(&lines[1000..2000]));
    node.rename(&old, &rotated);
    node.append(&old, &written(&lines[2000..]));
    node.append(&format!("{APP}/0.log.20260102-030300.gz"), "compressed");
    seen.extend(agent.read_until(|_, all| all.contains(lines.last().unwrap())).await);
    assert_eq!(seen, lines);
    agent.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_rotation_while_no_agent_ran_loses_nothing() {
    let node = Node::new(StartAt::End);
    let old = format!("{APP}/0.log");
    node.append(&old, &cri("before the first agent"));
    let mut agent = Agent::start(&node);
    agent.settled().await;
    node.append(&old, &cri("one"));
    assert_eq!(agent.next().await.bodies(), ["one"]);
    agent.stop().await;
    node.append(&old, &cri("two"));
    node.rename(&old, &format!("{APP}/0.log.20260102-030405"));
    node.append(&old, &cri("three"));
    node.rename(&old, &format!("{APP}/0.log.20260102-030505"));
    node.append(&old, &cri("four"));
    let mut agent = Agent::start(&node);
    let seen = agent.read_until(|_, all| all.contains("four")).await;
    assert_eq!(seen, ["two", "three", "four"]);
    agent.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_a_rotated_file_leaves_unfinished_is_given_out() {
    let node = Node::new(StartAt::Beginning);
    let old = format!("{APP}/0.log");
    node.append(&old, &cri("whole"));
    node.append(&old, "2026-01-02T03:04:05Z stdout P half of\n");
    let mut agent = Agent::start(&node);
    assert_eq!(agent.next().await.bodies(), ["whole"]);
    node.rename(&old, &format!("{APP}/0.log.20260102-030405"));
    node.append(&old, &cri("next"));
    let seen = agent.read_until(|_, all| all.len() == 2).await;
    assert_eq!(
        seen.into_iter().collect::<BTreeSet<_>>(),
        ["half of", "next"].map(String::from).into()
    );
    agent.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_truncated_file_starts_over() {
    let node = Node::new(StartAt::End);
    let file = format!("{APP}/0.log");
    let mut agent = Agent::start(&node);
    agent.settled().await;
    node.append(&file, &written(&numbered(0..10)));
    agent.read_until(|_, all| all.len() == 10).await;
    node.overwrite(&file, &cri("shorter"));
    assert_eq!(agent.next().await.bodies(), ["shorter"]);
    node.overwrite(&file, &written(&numbered(100..200)));
    let seen = agent.read_until(|_, all| all.len() == 100).await;
    assert_eq!(seen, numbered(100..200));
    let counts = agent.stop_and_count().await;
    assert_eq!(counts.truncated_files.load(Ordering::Relaxed), 2);
}

#[tokio::test(start_paused = true)]
async fn a_new_file_on_an_old_inode_is_read_whole() {
    let node = Node::new(StartAt::End);
    let file = format!("{APP}/0.log");
    let mut agent = Agent::start(&node);
    agent.settled().await;
    node.append(&file, &written(&numbered(0..10)));
    agent.read_until(|_, all| all.len() == 10).await;
    agent.stop().await;
    // Same inode, and longer than the checkpoint's offset.
    node.overwrite(&file, &written(&numbered(1000..1100)));
    let mut agent = Agent::start(&node);
    let seen = agent.read_until(|_, all| all.len() == 100).await;
    assert_eq!(seen, numbered(1000..1100));
    agent.stop().await;
}

#[tokio::test(start_paused = true)]
async fn start_at_end_skips_the_past_but_no_new_container() {
    let node = Node::new(StartAt::End);
    node.append(&format!("{APP}/0.log"), &cri("past"));
    let mut agent = Agent::start(&node);
    agent.settled().await;
    node.append(&format!("{APP}/0.log"), &cri("present"));
    node.append("shop_cart-2_u2/app/0.log", &cri("a new pod's first"));
    let seen = agent.read_until(|_, all| all.len() == 2).await;
    assert_eq!(
        seen.into_iter().collect::<BTreeSet<_>>(),
        ["present", "a new pod's first"].map(String::from).into()
    );
    agent.stop().await;
}

#[tokio::test(start_paused = true)]
async fn links_and_pipes_are_ignored() {
    let node = Node::new(StartAt::Beginning);
    node.append("secret", &cri("secret"));
    node.folder(APP);
    node.link("secret", &format!("{APP}/0.log"));
    node.pipe(&format!("{APP}/1.log"));
    node.folder(&format!("{APP}/2.log"));
    node.append("elsewhere/app/0.log", &cri("elsewhere"));
    node.link("elsewhere", "shop_linked_u3");
    node.folder("shop_half_u4");
    node.link("elsewhere/app", "shop_half_u4/app");
    node.append("shop_honest_u5/app/0.log", &cri("honest"));
    let mut agent = Agent::start(&node);
    assert_eq!(agent.next().await.bodies(), ["honest"]);
    assert!(agent.is_silent().await);
    // The three files, two linked folders, and two names that no kubelet writes.
    assert_eq!(agent.counts.ignored.load(Ordering::Relaxed), 7);
    agent.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_huge_record_is_cut_marked_and_counted() {
    let node = Node::new(StartAt::Beginning);
    let file = format!("{APP}/0.log");
    let huge = "x".repeat(1_000_000);
    node.append(&file, &cri(&huge));
    for _ in 0..100 {
        node.append(&file, &format!("2026-01-02T03:04:05Z stdout P {}\n", "y".repeat(10_000)));
    }
    node.append(&file, &cri("end of y"));
    node.append_bytes(&file, b"2026-01-02T03:04:05Z stderr F \xff\xfe\n");
    let mut agent = Agent::start(&node);
    let mut records = Vec::new();
    while records.len() < 3 {
        records.extend(agent.next().await.records.clone());
    }
    let shown: Vec<_> = records
        .iter()
        .map(|record| (record.body.len(), record.body.chars().next(), record.marks.join(" ")))
        .collect();
    let cut = "log.iostream=stdout sluice.log.cut=true".to_owned();
    let lossy = "log.iostream=stderr sluice.log.lossy=true".to_owned();
    assert_eq!(
        shown,
        [
            (super::RECORD_BYTES_MAX, Some('x'), cut.clone()),
            (super::RECORD_BYTES_MAX, Some('y'), cut),
            (6, Some('\u{fffd}'), lossy),
        ]
    );
    let counts = agent.stop_and_count().await;
    let counted = counts.cut_bytes.load(Ordering::Relaxed) as usize;
    assert_eq!(counted, 2_000_000 + "end of y".len() - 2 * super::RECORD_BYTES_MAX);
    assert_eq!(counts.cut_records.load(Ordering::Relaxed), 2);
}

#[tokio::test(start_paused = true)]
async fn a_loud_container_does_not_starve_a_quiet_one() {
    let node = Node::new(StartAt::Beginning);
    for loud in 0..3 {
        let line = cri(&"loud ".repeat(40));
        node.append(&format!("shop_a-loud-{loud}_u/app/0.log"), &line.repeat(20_000));
    }
    node.append("shop_quiet_u/app/0.log", &cri("quiet"));
    let mut agent = Agent::start(&node);
    let mut batches = 0;
    while !agent.next().await.bodies().contains(&"quiet".to_owned()) {
        batches += 1;
    }
    assert!(batches <= 3, "{batches} batches of others came first");
    agent.kill().await;
}

#[tokio::test(start_paused = true)]
async fn a_refusing_intake_is_asked_again_and_nothing_is_lost() {
    let node = Node::new(StartAt::Beginning);
    let lines = numbered(0..5000);
    node.append(&format!("{APP}/0.log"), &written(&lines));
    let mut agent = Agent::start(&node);
    agent.refuse(true);
    assert!(agent.is_silent().await);
    agent.refuse(false);
    let seen = agent.read_until(|_, all| all.contains(lines.last().unwrap())).await;
    assert_eq!(seen, lines);
    assert!(0 < agent.counts.refused_batches.load(Ordering::Relaxed));
    agent.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_lost_batch_is_read_again() {
    let node = Node::new(StartAt::Beginning);
    let lines = numbered(0..10);
    node.append(&format!("{APP}/0.log"), &written(&lines));
    let mut agent = Agent::start(&node);
    agent.next().await.lose();
    let seen = agent.read_until(|_, all| all.len() == 10).await;
    assert_eq!(seen, lines);
    agent.stop().await;
}

#[tokio::test(start_paused = true)]
async fn containers_that_no_pipeline_names_are_left_alone() {
    let node = Node::new(StartAt::Beginning);
    node.append("other_pod_u1/app/0.log", &cri("another namespace"));
    node.append("shop_cart-1_u1/istio-proxy/0.log", &cri("excluded"));
    node.append(&format!("{APP}/0.log"), &cri("wanted"));
    let mut agent = Agent::start(&node);
    assert_eq!(agent.next().await.bodies(), ["wanted"]);
    assert!(agent.is_silent().await);
    assert_eq!(agent.counts.files.load(Ordering::Relaxed), 1);
    agent.stop().await;
}
