//! Random lives of a node's log files against what must arrive: every line, none twice unless an agent was killed.

use super::node::{Agent, Node, cri};
use sluice_engine::config::StartAt;
use std::collections::BTreeMap;

/// SplitMix64: seeded, so that a failure can be played again.
struct Seed(u64);

impl Seed {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % bound as u64) as usize
    }
}

struct Model {
    node: Node,
    agent: Option<Agent>,
    written: usize,
    seen: BTreeMap<String, usize>,
    rotations: usize,
    restarts: BTreeMap<usize, usize>,
    /// Lines that a killed agent may have given out without a checkpoint.
    repeats_max: usize,
}

impl Model {
    fn file(&self, container: usize) -> String {
        let restarts = self.restarts.get(&container).copied().unwrap_or(0);
        format!("shop_cart-{container}_u/app/{restarts}.log")
    }

    fn write(&mut self, container: usize, lines: usize) {
        for _ in 0..lines {
            let line = format!("line {}", self.written);
            self.written += 1;
            let file = self.file(container);
            let (head, tail) = line.split_at(3);
            if self.written.is_multiple_of(7) {
                self.node.append(&file, &format!("2026-01-02T03:04:05Z stdout P {head}\n"));
                self.node.append(&file, &cri(tail));
            } else {
                self.node.append(&file, &cri(&line));
            }
        }
    }

    fn rotate(&mut self, container: usize) {
        self.rotations += 1;
        let file = self.file(container);
        let minute = self.rotations;
        self.node.append(&file, "");
        self.node.rename(&file, &format!("{file}.20260102-{minute:06}"));
        self.node.append(&file, "");
    }

    /// Until every line has arrived.
    async fn drain(&mut self) {
        while self.seen.len() < self.written {
            let parcel = self.agent.as_mut().unwrap().next().await;
            self.take(parcel.bodies());
        }
    }

    fn take(&mut self, bodies: Vec<String>) {
        for body in bodies {
            *self.seen.entry(body).or_default() += 1;
        }
    }

    async fn step(&mut self, seed: &mut Seed) {
        let container = seed.below(3);
        match seed.below(12) {
            0..=4 => {
                let lines = 1 + seed.below(700);
                self.write(container, lines);
            }
            5 | 6 => self.rotate(container),
            7 => *self.restarts.entry(container).or_default() += 1,
            8 => {
                self.drain().await;
                let file = self.file(container);
                self.node.append(&file, "");
                self.node.overwrite(&file, "");
            }
            9 => {
                self.drain().await;
                let file = self.file(container);
                self.node.append(&file, "");
                self.node.remove(&file);
            }
            10 => {
                let late = self.agent.take().unwrap().stop().await;
                self.take(late);
                self.agent = Some(Agent::start(&self.node));
            }
            _ => {
                self.agent.as_mut().unwrap().kill().await;
                self.repeats_max += 9 * self.node.batch_items();
                self.agent = Some(Agent::start(&self.node));
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn every_line_arrives_whatever_happens_to_the_files() {
    for number in 0..30 {
        let mut seed = Seed(number);
        let node = Node::new(StartAt::Beginning);
        let agent = Some(Agent::start(&node));
        let mut model = Model {
            node,
            agent,
            written: 0,
            seen: BTreeMap::new(),
            rotations: 0,
            restarts: BTreeMap::new(),
            repeats_max: 0,
        };
        for _ in 0..25 {
            model.step(&mut seed).await;
        }
        model.drain().await;
        let repeated: usize = model.seen.values().map(|times| times - 1).sum();
        assert!(repeated <= model.repeats_max, "seed {number}: {repeated} lines were repeated");
        assert_eq!(model.seen.len(), model.written, "seed {number}");
        let unwritten = model.seen.keys().find(|line| !line.starts_with("line "));
        assert_eq!(unwritten, None, "seed {number}");
        model.agent.take().unwrap().stop().await;
    }
}
