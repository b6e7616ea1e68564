//! One test of one value, ready to run.

use super::condition::{Order, Test, Value};
use super::{pattern, scalar};
use regex::bytes::Regex;
use sluice_wire::spans::Scalar;

#[derive(Clone, Debug)]
pub(super) enum Check {
    Test(Test),
    Regex(Regex),
    RegexOfAny(Regex),
}

impl Check {
    /// # Errors
    /// Says what is wrong with a pattern.
    pub(super) fn new(test: &Test) -> Result<Self, String> {
        match test {
            Test::Regex(text) => pattern::regex(text).map(Self::Regex),
            Test::RegexOfAny(text) => pattern::regex(text).map(Self::RegexOfAny),
            test => Ok(Self::Test(test.clone())),
        }
    }

    pub(super) fn holds(&self, found: Scalar<'_>) -> bool {
        match self {
            Self::Test(test) => holds(test, found),
            Self::Regex(regex) => {
                matches!(found, Scalar::Text(text) if regex.is_match(text))
            }
            Self::RegexOfAny(regex) => {
                scalar::text_form(found).is_some_and(|text| regex.is_match(&text))
            }
        }
    }
}

fn holds(test: &Test, found: Scalar<'_>) -> bool {
    let equals = |value: &Value| scalar::compare(found, value).is_some_and(|order| order.is_eq());
    let ordered = |order: Order, value: &Value| {
        scalar::compare(found, value).is_some_and(|ordering| order.allows(ordering))
    };
    match test {
        Test::IsPresent => true,
        Test::IsText => matches!(found, Scalar::Text(_)),
        Test::IsNumber => matches!(found, Scalar::Int(_) | Scalar::Double(_)),
        Test::IsBool => matches!(found, Scalar::Bool(_)),
        Test::OneOf(values) => values.iter().any(equals),
        Test::Ordered(order, value) => ordered(*order, value),
        Test::Code(ranges) => scalar::code(found)
            .is_some_and(|code| ranges.iter().any(|(low, high)| (*low..=*high).contains(&code))),
        Test::Glob(globs) => {
            matches!(found, Scalar::Text(text) if pattern::any_glob(globs, text))
        }
        // Compiled ones are of `Check`.
        Test::Regex(_) | Test::RegexOfAny(_) => false,
    }
}
