//! Label selectors: over namespaces they are resolved here, over pods they go to the collectors.

use crate::problem::Problem;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use sluice_engine::config::{Operator, Requirement, Selector};

pub(super) fn compile(selector: &LabelSelector, path: &str) -> Result<Selector, Problem> {
    let expressions = selector.match_expressions.iter().flatten();
    let requirements: Result<Vec<_>, _> = expressions
        .map(|expression| {
            let values = expression.values.iter().flatten().cloned().collect();
            let operator = operator(&expression.operator, path)?;
            Ok(Requirement { key: expression.key.clone(), operator, values })
        })
        .collect();
    Ok(Selector {
        match_labels: selector.match_labels.clone().unwrap_or_default(),
        match_expressions: requirements?,
    })
}

fn operator(name: &str, path: &str) -> Result<Operator, Problem> {
    match name {
        "In" => Ok(Operator::In),
        "NotIn" => Ok(Operator::NotIn),
        "Exists" => Ok(Operator::Exists),
        "DoesNotExist" => Ok(Operator::DoesNotExist),
        _ => Err(Problem::invalid(
            &format!("{path}.matchExpressions"),
            format!("\"{name}\" is no operator"),
            "use In, NotIn, Exists or DoesNotExist",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(selector: serde_json::Value, labels: &[(&str, &str)], expected: bool) {
        let selector = serde_json::from_value(selector).unwrap();
        let labels = labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let compiled = compile(&selector, "spec").unwrap();
        assert_eq!(compiled.matches(&labels), expected, "{selector:?} on {labels:?}");
    }

    #[test]
    fn selectors_select_as_kubernetes_selects() {
        let expression = |operator: &str, values: &[&str]| serde_json::json!({"matchExpressions": [{"key": "a", "operator": operator, "values": values}]});
        check(serde_json::json!({}), &[], true);
        check(serde_json::json!({"matchLabels": {"a": "1"}}), &[("a", "1"), ("b", "2")], true);
        check(serde_json::json!({"matchLabels": {"a": "1"}}), &[("a", "2")], false);
        check(expression("In", &["1"]), &[("a", "1")], true);
        check(expression("In", &["1"]), &[], false);
        check(expression("NotIn", &["1"]), &[], true);
        check(expression("NotIn", &["1"]), &[("a", "1")], false);
        check(expression("Exists", &[]), &[("a", "")], true);
        check(expression("DoesNotExist", &[]), &[("a", "")], false);
    }

    #[test]
    fn an_operator_that_does_not_exist_is_a_problem() {
        let selector = serde_json::json!({"matchExpressions": [{"key": "a", "operator": "Near"}]});
        let selector = serde_json::from_value(selector).unwrap();
        assert!(compile(&selector, "spec.workloadSelector").is_err());
    }
}
