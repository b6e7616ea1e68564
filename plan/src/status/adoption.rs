//! Which agents run what is wanted: compared by content, since an agent of an older config may run
//! an object's wanted version nevertheless.

use crate::compile::Compiled;
use crate::observed::{Fleet, Observed};
use crate::report::{Adoption, AgentState};
use sluice_engine::config::{Config, Pipeline};
use std::collections::BTreeMap;

/// So many percent of the reporting agents make a generation ready.
const ENOUGH_PERCENT: usize = 95;

/// By the name of the Collector.
pub(crate) struct Adoptions<'a>(BTreeMap<&'a str, FleetAdoption<'a>>);

/// The agents of one fleet, counted by the config that they run.
#[derive(Default)]
pub(super) struct FleetAdoption<'a> {
    pub(super) wanted: Option<&'a Config>,
    pub(super) reporting: usize,
    /// Agents that run the wanted config as a whole.
    pub(super) adopted: usize,
    /// What the first agent says that refused the wanted config.
    pub(super) rejection: Option<&'a AgentState>,
    others: BTreeMap<&'a str, (usize, Option<&'a Config>)>,
}

/// Of some agents, how many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) adopted: usize,
    pub(super) of: usize,
}

impl Count {
    pub(super) fn is_enough(self) -> bool {
        self.of > 0 && self.adopted * 100 >= self.of * ENOUGH_PERCENT
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
            self.reporting += 1;
            if agent.config_hash == wanted {
                self.adopted += 1;
                continue;
            }
            if agent.adoption == Adoption::Failed {
                self.rejection.get_or_insert(agent);
            }
            let config = fleet.configs.get(&agent.config_hash).map(AsRef::as_ref);
            self.others.entry(&agent.config_hash).or_insert((0, config)).0 += 1;
        }
    }

    pub(super) fn whole(&self) -> Count {
        Count { adopted: self.adopted, of: self.reporting }
    }

    /// Agents that run what the Collector itself decides, whichever pipelines they run.
    pub(super) fn base(&self) -> Count {
        self.of_those(|wanted, running| {
            wanted.cluster == running.cluster
                && wanted.receivers == running.receivers
                && wanted.batch == running.batch
                && wanted.limiter == running.limiter
                && wanted.metrics_port == running.metrics_port
        })
    }

    /// Agents that run the wanted version of a pipeline, with the wanted versions of its
    /// destinations.
    pub(super) fn pipeline(&self, key: &str) -> Count {
        let Some(pipeline) = self.wanted.and_then(|wanted| wanted.pipelines.get(key)) else {
            return Count { adopted: 0, of: self.reporting };
        };
        self.of_those(|wanted, running| {
            running.pipelines.get(key) == Some(pipeline)
                && same_destinations(pipeline, wanted, running)
        })
    }

    pub(super) fn destination(&self, key: &str) -> Count {
        self.of_those(|wanted, running| {
            wanted.destinations.get(key) == running.destinations.get(key)
        })
    }

    fn of_those(&self, same: impl Fn(&Config, &Config) -> bool) -> Count {
        let Some(wanted) = self.wanted else {
            return Count { adopted: 0, of: self.reporting };
        };
        let others = self.others.values();
        let equal = others.filter(|(_, running)| running.is_some_and(|r| same(wanted, r)));
        let equal: usize = equal.map(|(agents, _)| agents).sum();
        Count { adopted: self.adopted + equal, of: self.reporting }
    }
}

fn same_destinations(pipeline: &Pipeline, wanted: &Config, running: &Config) -> bool {
    let mut keys = pipeline.traces.iter().chain(&pipeline.metrics).chain(&pipeline.logs);
    keys.all(|key| wanted.destinations.get(key) == running.destinations.get(key))
}
