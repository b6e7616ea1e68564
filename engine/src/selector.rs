//! Matching: label selectors over pods, globs over container names.

use crate::config::{Operator, PodLogs, Requirement, Selector};
use std::collections::BTreeMap;

impl Selector {
    /// True when the selector asks for nothing.
    pub fn is_empty(&self) -> bool {
        self.match_labels.is_empty() && self.match_expressions.is_empty()
    }

    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.match_labels.iter().all(|(key, value)| labels.get(key) == Some(value))
            && self.match_expressions.iter().all(|requirement| holds(requirement, labels))
    }
}

/// As in Kubernetes: `NotIn` holds for a label that is not there.
fn holds(requirement: &Requirement, labels: &BTreeMap<String, String>) -> bool {
    let value = labels.get(&requirement.key);
    match requirement.operator {
        Operator::In => value.is_some_and(|value| requirement.values.contains(value)),
        Operator::NotIn => value.is_none_or(|value| !requirement.values.contains(value)),
        Operator::Exists => value.is_some(),
        Operator::DoesNotExist => value.is_none(),
    }
}

impl PodLogs {
    pub fn wants(&self, container: &str) -> bool {
        let named = |globs: &[String]| globs.iter().any(|pattern| glob(pattern, container));
        (self.include.is_empty() || named(&self.include)) && !named(&self.exclude)
    }
}

/// `*` stands for any run of characters, `?` for one. Linear in the text for each `*`.
pub fn glob(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut at, mut read) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while read < text.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, read));
                at += 1;
            }
            Some(byte) if *byte == b'?' || *byte == text[read] => {
                at += 1;
                read += 1;
            }
            _ => match star {
                Some((star_at, taken)) => {
                    star = Some((star_at, taken + 1));
                    at = star_at + 1;
                    read = taken + 1;
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[track_caller]
    fn check_glob(pattern: &str, matching: &[&str], others: &[&str]) {
        for text in matching {
            assert!(glob(pattern, text), "{pattern} should match {text}");
        }
        for text in others {
            assert!(!glob(pattern, text), "{pattern} should not match {text}");
        }
    }

    #[test]
    fn a_glob_matches_the_whole_name() {
        check_glob("app", &["app"], &["app2", "my-app", ""]);
        check_glob("app-*", &["app-", "app-1"], &["app", "my-app-1"]);
        check_glob("*-proxy", &["istio-proxy", "a-proxy-proxy"], &["proxy", "a-proxy-x"]);
        check_glob("a?c*e", &["abce", "axcdde"], &["ace", "abcd"]);
        check_glob("*", &["", "anything"], &[]);
    }

    #[test]
    fn exclusion_wins_over_inclusion() {
        let logs = PodLogs {
            include: vec!["app*".into()],
            exclude: vec!["app-debug".into()],
            start_at: crate::config::StartAt::End,
        };
        assert!(logs.wants("app"));
        assert!(!logs.wants("app-debug"));
        assert!(!logs.wants("sidecar"));
    }

    #[track_caller]
    fn check_requirement(operator: Operator, values: &[&str], present: bool, absent: bool) {
        let selector = Selector {
            match_expressions: vec![Requirement {
                key: "tier".into(),
                operator,
                values: values.iter().map(ToString::to_string).collect::<BTreeSet<_>>(),
            }],
            ..Selector::default()
        };
        let labels = BTreeMap::from([("tier".to_string(), "web".to_string())]);
        assert_eq!(selector.matches(&labels), present, "{operator:?} with the label");
        assert_eq!(selector.matches(&BTreeMap::new()), absent, "{operator:?} without it");
    }

    #[test]
    fn expressions_match_as_in_kubernetes() {
        check_requirement(Operator::In, &["web"], true, false);
        check_requirement(Operator::In, &["db"], false, false);
        check_requirement(Operator::NotIn, &["web"], false, true);
        check_requirement(Operator::Exists, &[], true, false);
        check_requirement(Operator::DoesNotExist, &[], false, true);
    }
}
