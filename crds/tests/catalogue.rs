//! The catalogue is complete and says what to do.

use sluice_crds::conditions::{
    CATALOGUE, ConditionType, EventReason, EventType, Polarity, Reason, Status,
};
use std::collections::BTreeSet;

#[test]
fn every_reason_belongs_to_a_condition_and_every_condition_is_listed_once() {
    let used: BTreeSet<_> = CATALOGUE
        .iter()
        .flat_map(|entry| entry.reasons.iter().flat_map(|(_, reasons)| reasons.iter().copied()))
        .collect();
    assert_eq!(used, Reason::ALL.iter().copied().collect());
    let types: BTreeSet<_> = CATALOGUE.iter().map(|entry| entry.condition).collect();
    assert_eq!(types.len(), CATALOGUE.len());
    assert!(types.contains(&ConditionType::Ready));
}

#[test]
fn a_condition_that_is_absent_when_untrue_has_only_true_reasons() {
    for entry in CATALOGUE {
        let absent = [Polarity::AbnormalTrueElseAbsent, Polarity::NeutralElseAbsent];
        if absent.contains(&entry.polarity) {
            assert!(entry.reasons.iter().all(|(status, _)| *status == Status::True));
        }
    }
}

#[test]
fn what_is_wrong_comes_with_a_remedy() {
    for entry in CATALOGUE {
        for (status, reasons) in entry.reasons {
            let bad = match entry.polarity {
                Polarity::NormalTrue => *status != Status::True,
                Polarity::NeutralElseAbsent => false,
                Polarity::AbnormalTrue | Polarity::AbnormalTrueElseAbsent => {
                    *status == Status::True
                }
            };
            for reason in reasons.iter().filter(|_| bad) {
                assert!(reason.remedy().ends_with('.'), "{} has no remedy", reason.as_str());
            }
        }
    }
    for event in EventReason::ALL {
        let silent = event.event_type() == EventType::Warning && event.remedy().is_empty();
        assert!(!silent, "{} has no remedy", event.as_str());
    }
}

#[test]
fn words_are_camel_case_and_sentences_end() {
    for reason in Reason::ALL {
        assert!(reason.as_str().chars().all(|c| c.is_ascii_alphabetic()), "{}", reason.as_str());
        assert!(reason.doc().ends_with('.'), "{}", reason.as_str());
    }
    for event in EventReason::ALL {
        assert!(event.doc().ends_with('.'), "{}", event.as_str());
    }
}
