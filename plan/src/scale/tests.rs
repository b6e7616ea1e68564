use super::*;
use crate::observed::{UnreadyPod, UnreadyReason};

/// A fleet's gateways in memory: what is decided happens, a while later.
struct World {
    scale: Scale,
    limits: Limits,
    pods: BTreeMap<String, GatewayPod>,
    loads: BTreeMap<String, Load>,
    now: Timestamp,
    /// For the names of pods.
    made: usize,
}

fn load(memory_percent: u32) -> Load {
    Load { memory_percent, cpu_percent: 10, queue_percent: 0 }
}

fn pod(state: GatewayPodState) -> GatewayPod {
    GatewayPod { state, ip: "10.0.0.1".to_owned(), deletion_cost: 0 }
}

impl World {
    fn new(min: u32, max: u32) -> Self {
        let limits = Limits {
            min,
            max,
            target: Load { memory_percent: 70, cpu_percent: 75, queue_percent: 50 },
            stabilization: SignedDuration::from_mins(15),
            handoff: SignedDuration::from_secs(30),
        };
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let scale = Scale::first(&limits, None, now);
        let (pods, loads) = (BTreeMap::new(), BTreeMap::new());
        Self { scale, limits, pods, loads, now, made: 0 }
    }

    /// All gateways that should be are, and are ready; the one that leaves goes first.
    fn settle(&mut self) {
        let replicas = usize::try_from(self.scale.replicas).unwrap();
        while self.pods.len() > replicas {
            let leaving = self.scale.leaving.as_ref().map(|leaving| leaving.pod.clone());
            let leaving = leaving.filter(|pod| self.pods.contains_key(pod));
            let goes = leaving.or_else(|| self.pods.keys().next().cloned()).unwrap();
            self.pods.remove(&goes);
            self.loads.remove(&goes);
        }
        while self.pods.len() < replicas {
            self.pods.insert(format!("g{:03}", self.made), pod(GatewayPodState::Ready));
            self.made += 1;
        }
    }

    /// Every gateway has this load.
    fn report(&mut self, load: Load) {
        self.loads = self.pods.keys().map(|name| (name.clone(), load)).collect();
    }

    fn lap(&mut self, after_s: i64) {
        self.now += SignedDuration::from_secs(after_s);
        let (pods, loads, now) = (&self.pods, &self.loads, self.now);
        let measured = Measured { pods, loads, now };
        let before = self.scale.replicas;
        self.scale = self.scale.next(&self.limits, &measured);
        assert_eq!(self.scale.next(&self.limits, &measured), self.scale, "a lap is a fixed point");
        assert!(self.scale.replicas.abs_diff(before) <= 1 || before < self.limits.min);
        assert!(self.scale.replicas >= self.limits.min);
    }
}

#[test]
fn one_gateway_above_one_target_is_enough_for_another() {
    for above in [
        Load { memory_percent: 71, ..Load::default() },
        Load { cpu_percent: 76, ..Load::default() },
        Load { queue_percent: 51, ..Load::default() },
    ] {
        let mut world = World::new(2, 10);
        world.settle();
        world.loads.insert("g001".to_owned(), above);
        world.lap(30);
        assert_eq!(world.scale.replicas, 3, "{above:?}");
    }
}

#[test]
fn at_the_target_nothing_happens() {
    let mut world = World::new(2, 10);
    world.settle();
    world.report(load(70));
    world.lap(3600);
    assert_eq!((world.scale.replicas, world.scale.below_since), (2, None));
}

#[test]
fn each_step_up_gets_time_to_help() {
    let mut world = World::new(2, 4);
    world.settle();
    world.report(load(90));
    let mut replicas = Vec::new();
    for _ in 0..10 {
        world.lap(10);
        world.settle();
        world.report(load(90));
        replicas.push(world.scale.replicas);
    }
    assert_eq!(replicas, [2, 2, 3, 3, 3, 4, 4, 4, 4, 4]);
}

#[test]
fn a_step_down_waits_for_the_stabilization_and_for_the_hand_off() {
    let mut world = World::new(2, 10);
    world.scale.replicas = 3;
    world.settle();
    world.report(load(10));
    world.lap(0);
    world.lap(899);
    assert_eq!((world.scale.replicas, &world.scale.leaving), (3, &None));
    world.lap(1);
    let leaving = world.scale.leaving.clone().unwrap();
    assert_eq!((world.scale.replicas, leaving.pod.as_str(), leaving.released), (3, "g002", false));
    world.lap(29);
    assert_eq!(world.scale.replicas, 3);
    world.lap(1);
    assert_eq!(world.scale.replicas, 2);
    world.settle();
    assert!(!world.pods.contains_key("g002"));
    world.lap(1);
    assert_eq!(world.scale.leaving, None);
}

#[test]
fn a_rise_in_between_begins_the_wait_anew() {
    let mut world = World::new(2, 10);
    world.scale.replicas = 3;
    world.settle();
    world.report(load(10));
    world.lap(0);
    world.report(load(60));
    world.lap(600);
    world.report(load(10));
    world.lap(600);
    assert_eq!(world.scale.below_since, Some(world.now));
    world.lap(899);
    assert_eq!(world.scale.leaving, None);
}

#[test]
fn what_is_missed_stays() {
    let mut world = World::new(2, 10);
    world.scale.replicas = 3;
    world.settle();
    world.report(load(10));
    world.lap(0);
    world.lap(900);
    assert!(world.scale.leaving.is_some());
    world.report(load(80));
    world.lap(10);
    assert_eq!((world.scale.replicas, &world.scale.leaving), (3, &None));
}

#[test]
fn what_is_to_be_there_at_least_stays() {
    let mut world = World::new(2, 10);
    world.scale.replicas = 3;
    world.settle();
    world.report(load(10));
    world.lap(0);
    world.lap(900);
    world.limits.min = 3;
    world.lap(1);
    assert_eq!((world.scale.replicas, &world.scale.leaving), (3, &None));
}

#[test]
fn a_gateway_that_crashes_while_it_leaves_is_gone() {
    let mut world = World::new(2, 10);
    world.scale.replicas = 3;
    world.settle();
    world.report(load(10));
    world.lap(0);
    world.lap(900);
    world.pods.remove("g002");
    world.lap(1);
    assert_eq!((world.scale.replicas, &world.scale.leaving), (2, &None));
}

#[test]
fn where_another_one_was_stopped_the_leaving_one_stays() {
    let mut world = World::new(2, 10);
    world.scale.replicas = 3;
    world.settle();
    world.report(load(10));
    world.lap(0);
    world.lap(900);
    world.lap(30);
    world.pods.remove("g000");
    world.lap(1);
    assert_eq!((world.scale.replicas, &world.scale.leaving), (2, &None));
}

#[test]
fn who_does_not_report_is_not_idle() {
    let mut world = World::new(2, 10);
    world.scale.replicas = 3;
    world.settle();
    world.report(load(10));
    world.lap(0);
    let since = world.scale.below_since;
    // A new leader: nobody has reported yet, and what was known is not forgotten.
    world.loads.clear();
    world.lap(900);
    assert_eq!((world.scale.below_since, &world.scale.leaving), (since, &None));
    world.report(load(10));
    world.lap(1);
    assert!(world.scale.leaving.is_some());
}

#[test]
fn what_finds_no_room_goes_first() {
    let mut world = World::new(2, 10);
    world.scale.replicas = 4;
    world.settle();
    let unready = UnreadyPod { reason: UnreadyReason::Unschedulable, since: world.now };
    world.pods.insert("g003".to_owned(), pod(GatewayPodState::Unready(unready)));
    world.report(load(50));
    world.loads.remove("g003");
    world.lap(0);
    world.lap(900);
    assert_eq!((world.scale.replicas, &world.scale.leaving), (3, &None));
}

#[test]
fn other_bounds_are_followed_up_at_once_and_down_one_by_one() {
    let mut world = World::new(2, 10);
    world.settle();
    (world.limits.min, world.limits.max) = (5, 5);
    world.lap(0);
    assert_eq!(world.scale.replicas, 5);
    world.settle();
    world.report(load(95));
    (world.limits.min, world.limits.max) = (2, 3);
    let mut replicas = Vec::new();
    for _ in 0..4 {
        world.lap(30);
        replicas.push(world.scale.replicas);
        world.settle();
        world.lap(0);
    }
    assert_eq!(replicas, [5, 4, 3, 3]);
    assert_eq!(world.scale.leaving, None);
}

#[test]
fn lost_memory_begins_with_what_is_there() {
    let world = World::new(2, 10);
    let first = |existing| Scale::first(&world.limits, existing, world.now).replicas;
    assert_eq!([None, Some(0), Some(7), Some(70)].map(first), [2, 2, 7, 10]);
}

/// xorshift64*: enough for choosing.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % bound
    }
}

/// `work` is the memory that all gateways need together; a steady load ends in a steady number.
#[test]
fn a_steady_load_ends_in_a_number_that_stays() {
    for seed in 1..=60 {
        let mut dice = Dice(seed);
        let mut world = World::new(2, 20);
        world.scale.replicas = 2 + u32::try_from(dice.below(18)).unwrap();
        let work = u32::try_from(dice.below(1200)).unwrap();
        let mut run = |laps: usize, world: &mut World| {
            let mut seen = Vec::new();
            for _ in 0..laps {
                world.settle();
                let each = work / u32::try_from(world.pods.len()).unwrap();
                world.report(load(each));
                world.lap(i64::try_from(dice.below(60)).unwrap());
                seen.push(world.scale.replicas);
            }
            seen
        };
        run(1200, &mut world);
        let after = run(200, &mut world);
        let steady = after[0];
        assert!(after.iter().all(|replicas| *replicas == steady), "seed {seed}: {after:?}");
        assert!(work / steady <= 70 || steady == 20, "seed {seed}: {work} on {steady}");
    }
}
