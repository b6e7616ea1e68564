//! Where the values come from that checks look at.

use sluice_wire::spans::Probes;
use std::collections::BTreeSet;

pub(super) const SERVICE_NAME: &str = "service.name";
/// Among attributes.
pub(super) const SERVICE_NAME_NUMBER: u16 = 0;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// By number.
    Attribute(u16),
    Service,
    Name,
    Status,
    Kind,
    Duration,
    IsRoot,
    /// By number.
    Tracked(u16),
}

/// The attributes that conditions are about, by number. The first is the service's name.
#[derive(Debug)]
pub(super) struct Attributes {
    pub(super) all: Vec<Attribute>,
    pub(super) of_resource: Named,
    pub(super) of_span: Named,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Attribute {
    /// The first that is there counts.
    pub(super) names: Vec<String>,
    pub(super) of_span: bool,
    pub(super) of_resource: bool,
}

/// What to look for, and what a found name stands for.
#[derive(Debug, Default)]
pub(super) struct Named {
    pub(super) probes: Probes,
    /// Attributes, and the place of a name among the names of each.
    attributes: Vec<(u16, u8)>,
    /// By probe: where its attributes end.
    ends: Vec<usize>,
}

impl Source {
    /// What every span has.
    pub(super) const FIELDS: [Self; 5] =
        [Self::Name, Self::Status, Self::Kind, Self::Duration, Self::IsRoot];
}

impl Attribute {
    pub(super) fn service_name() -> Self {
        Self { names: vec![SERVICE_NAME.to_owned()], of_span: false, of_resource: true }
    }
}

impl Attributes {
    pub(super) fn new(all: Vec<Attribute>) -> Self {
        let of_resource = Named::new(&all, |attribute| attribute.of_resource);
        let of_span = Named::new(&all, |attribute| attribute.of_span);
        Self { all, of_resource, of_span }
    }
}

impl Named {
    fn new(all: &[Attribute], is_wanted: impl Fn(&Attribute) -> bool) -> Self {
        let wanted = || (0..).zip(all).filter(|(_, attribute)| is_wanted(attribute));
        let names: BTreeSet<&str> = wanted()
            .flat_map(|(_, attribute)| attribute.names.iter().map(String::as_str))
            .collect();
        let mut named = Self { probes: Probes::new(names.iter().copied()), ..Self::default() };
        for name in names {
            for (number, attribute) in wanted() {
                if let Some(place) = attribute.names.iter().position(|own| own == name) {
                    named.attributes.push((number, place as u8));
                }
            }
            named.ends.push(named.attributes.len());
        }
        named
    }

    /// The attributes that a probe is a name of, and the place among the names of each.
    pub(super) fn attributes(&self, probe: u16) -> &[(u16, u8)] {
        let probe = usize::from(probe);
        let start = if probe == 0 { 0 } else { self.ends.get(probe - 1).copied().unwrap_or(0) };
        let end = self.ends.get(probe).copied().unwrap_or(start);
        &self.attributes[start..end]
    }
}
