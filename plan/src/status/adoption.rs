//! Which collectors run what is wanted: compared by content, since one of an older config may run an
//! object's wanted version nevertheless.

use crate::compile::{Compiled, destinations_of};
use crate::observed::{Fleet, Observed};
use crate::report::{Adoption, AgentState, Role};
use sluice_engine::config::Config;
use sluice_engine::config::gateway::Gateway;
use std::collections::{BTreeMap, BTreeSet};

/// So many percent of the agents make a rollout done, and of those that report a generation ready.
const ENOUGH_PERCENT: i64 = 95;

pub(super) fn is_enough(part: i64, of: i64) -> bool {
    part * 100 >= of * ENOUGH_PERCENT
}

/// By the name of the Collector.
pub(crate) struct Adoptions<'a>(BTreeMap<&'a str, FleetAdoption<'a>>);

/// The collectors of one fleet, counted by the config that they run.
#[derive(Default)]
pub(super) struct FleetAdoption<'a> {
    pub(super) wanted: Option<&'a Config>,
    /// Agents that run the wanted config as a whole, of those that report.
    pub(super) agents: Count,
    pub(super) gateways: Count,
    /// What the first collector says that refused the wanted config.
    pub(super) rejection: Option<&'a AgentState>,
    others: BTreeMap<&'a str, Other<'a>>,
}

/// The collectors that run one other config, and in what it differs.
struct Other<'a> {
    agents: usize,
    gateways: usize,
    /// `None`: not known, so nothing in it counts as adopted.
    differences: Option<Differences<'a>>,
}

struct Differences<'a> {
    base: bool,
    pipelines: BTreeSet<&'a str>,
    destinations: BTreeSet<&'a str>,
    policies: BTreeSet<&'a str>,
}

impl<'a> Differences<'a> {
    fn between(wanted: &'a Config, running: &Config) -> Self {
        Self {
            base: wanted.cluster != running.cluster
                || wanted.receivers != running.receivers
                || wanted.batch != running.batch
                || wanted.limiter != running.limiter
                || wanted.metrics_port != running.metrics_port
                || !is_set_up_alike(&wanted.gateway, &running.gateway),
            pipelines: differing(&wanted.pipelines, &running.pipelines),
            destinations: differing(&wanted.destinations, &running.destinations),
            policies: differing(&wanted.sampling.policies, &running.sampling.policies),
        }
    }
}

/// But for what policies decide: whether there are gateways, and whether traces go through them.
fn is_set_up_alike(a: &Gateway, b: &Gateway) -> bool {
    a.is_absent() || b.is_absent() || *a == Gateway { needed: a.needed, ..b.clone() }
}

/// The keys of `wanted` of which `running` has no equal value. Both are walked once, side by side.
fn differing<'a, T: PartialEq>(
    wanted: &'a BTreeMap<String, T>,
    running: &BTreeMap<String, T>,
) -> BTreeSet<&'a str> {
    let mut running = running.iter().peekable();
    let mut differs = |key: &String, value: &T| {
        while running.next_if(|(other, _)| *other < key).is_some() {}
        running.next_if(|(other, _)| *other == key).is_none_or(|(_, other)| other != value)
    };
    let differing = wanted.iter().filter(|(key, value)| differs(key, value));
    differing.map(|(key, _)| key.as_str()).collect()
}

/// Of some collectors, how many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) adopted: usize,
    pub(super) of: usize,
}

impl Count {
    pub(super) fn is_enough(self) -> bool {
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX / 100);
        self.of > 0 && is_enough(number(self.adopted), number(self.of))
    }

    pub(super) fn add(self, other: Self) -> Self {
        Self { adopted: self.adopted + other.adopted, of: self.of + other.of }
    }
}

impl<'a> Adoptions<'a> {
    pub(super) fn new(observed: &'a Observed, compiled: &'a Compiled) -> Self {
        let fleets = compiled.fleets.iter().map(|(name, compiled)| {
            let wanted = compiled.config.as_ref();
            let mut counted = FleetAdoption {
                wanted: wanted.map(|wanted| wanted.config.as_ref()),
                ..FleetAdoption::default()
            };
            if let Some(fleet) = observed.fleets.get(name) {
                counted.count(fleet, wanted.map_or("", |wanted| wanted.hash.as_str()));
            }
            (name.as_str(), counted)
        });
        Self(fleets.collect())
    }

    pub(super) fn fleet(&self, name: &str) -> Option<&FleetAdoption<'a>> {
        self.0.get(name)
    }

    pub(super) fn fleets(&self) -> impl Iterator<Item = &FleetAdoption<'a>> {
        self.0.values()
    }
}

impl<'a> FleetAdoption<'a> {
    fn count(&mut self, fleet: &'a Fleet, wanted: &str) {
        for agent in fleet.report.agents.values() {
            let count = match agent.role {
                Role::Agent => &mut self.agents,
                Role::Gateway => &mut self.gateways,
            };
            count.of += 1;
            if !wanted.is_empty() && agent.config_hash == wanted {
                count.adopted += 1;
                continue;
            }
            if agent.adoption == Adoption::Failed {
                self.rejection.get_or_insert(agent);
            }
            let other = self.others.entry(&agent.config_hash).or_insert_with(|| {
                let running = fleet.configs.get(&agent.config_hash);
                let differences = running.zip(self.wanted);
                let differences = differences.map(|(r, wanted)| Differences::between(wanted, r));
                Other { agents: 0, gateways: 0, differences }
            });
            match agent.role {
                Role::Agent => other.agents += 1,
                Role::Gateway => other.gateways += 1,
            }
        }
    }

    pub(super) fn whole(&self) -> Count {
        self.agents.add(self.gateways)
    }

    /// Collectors that run what the Collector itself decides, whichever pipelines they run.
    pub(super) fn base(&self) -> Count {
        self.of_all(|differences| !differences.base)
    }

    /// Agents that run the wanted version of a pipeline, with the wanted versions of its
    /// destinations.
    pub(super) fn pipeline(&self, key: &str) -> Count {
        let Some(pipeline) = self.wanted.and_then(|wanted| wanted.pipelines.get(key)) else {
            return Count { adopted: 0, of: self.agents.of };
        };
        self.of_agents(|differences| {
            let differs = |key: &String| differences.destinations.contains(key.as_str());
            !differences.pipelines.contains(key) && !destinations_of(pipeline).any(differs)
        })
    }

    pub(super) fn destination(&self, key: &str) -> Count {
        self.of_all(|differences| !differences.destinations.contains(key))
    }

    /// Collectors that run the wanted version of a policy, for the wanted pipelines: gateways
    /// decide by it, agents send them the traces. Without a gateway nobody runs it.
    pub(super) fn policy(&self, key: &str) -> Count {
        if self.gateways.of == 0 {
            return Count::default();
        }
        self.of_all(|differences| !differences.policies.contains(key))
    }

    fn of_all(&self, same: impl Fn(&Differences<'_>) -> bool) -> Count {
        let gateways = self.equal(&same).map(|other| other.gateways).sum::<usize>();
        let gateways = Count { adopted: self.gateways.adopted + gateways, ..self.gateways };
        self.of_agents(same).add(gateways)
    }

    fn of_agents(&self, same: impl Fn(&Differences<'_>) -> bool) -> Count {
        let agents: usize = self.equal(&same).map(|other| other.agents).sum();
        Count { adopted: self.agents.adopted + agents, ..self.agents }
    }

    fn equal(&self, same: &impl Fn(&Differences<'_>) -> bool) -> impl Iterator<Item = &Other<'a>> {
        self.others.values().filter(move |o| o.differences.as_ref().is_some_and(same))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_new_or_changed_differs_and_what_is_gone_does_not() {
        let map = |pairs: &[(&str, i32)]| {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), *value)).collect::<BTreeMap<_, _>>()
        };
        let wanted = map(&[("b", 1), ("c", 2), ("e", 3), ("f", 4)]);
        let running = map(&[("a", 0), ("b", 1), ("c", 9), ("d", 0), ("f", 4), ("g", 0)]);
        assert_eq!(differing(&wanted, &running), BTreeSet::from(["c", "e"]));
    }
}
