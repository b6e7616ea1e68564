//! Each word of a TraceQL filter.

use super::{Span, Value, check, check_error, filter, matches, span, text, with};

/// Of a span with this attribute.
#[track_caller]
fn check_value(text: &str, value: Value, expected: bool) {
    check(text, &with(&[("a", value)]), expected);
}

#[track_caller]
fn check_position(text: &str, expected: &str) {
    check_error(&filter(text), &format!("traceQL: {expected}"));
}

#[test]
fn an_empty_filter_matches_every_span() {
    for text in ["{}", "{ }", " {\n} ", "{ true }", "{ !false }", "{ /* all */ } // of them"] {
        check(text, &span(), true);
    }
    check("{ false }", &span(), false);
}

#[test]
fn scopes_of_attributes() {
    let of_span = with(&[("a", Value::Int(1))]);
    let of_resource = Span { resource: vec![("a".to_owned(), Value::Int(1))], ..span() };
    check("{ span.a = 1 }", &of_span, true);
    check("{ resource.a = 1 }", &of_span, false);
    check("{ .a = 1 }", &of_span, true);
    check("{ span.a = 1 }", &of_resource, false);
    check("{ resource.a = 1 }", &of_resource, true);
    check("{ .a = 1 }", &of_resource, true);
    let both = Span { resource: vec![("a".to_owned(), Value::Int(2))], ..of_span };
    check("{ .a = 2 }", &both, false);
}

#[test]
fn names_of_attributes() {
    check(r#"{ span."a b" = 1 }"#, &with(&[("a b", Value::Int(1))]), true);
    check(r#"{ ."x=\"y\"".z = 1 }"#, &with(&[("x=\"y\".z", Value::Int(1))]), true);
    check("{.a-b/c:d=1}", &with(&[("a-b/c:d", Value::Int(1))]), true);
    check("{ .duration = 1 }", &with(&[("duration", Value::Int(1))]), true);
}

#[test]
fn comparisons_of_numbers() {
    for (text, at_4, at_5, at_6) in [
        ("{ .a = 5 }", false, true, false),
        ("{ .a != 5 }", true, false, true),
        ("{ .a > 5 }", false, false, true),
        ("{ .a >= 5 }", false, true, true),
        ("{ .a < 5 }", true, false, false),
        ("{ .a <= 5.0 }", true, true, false),
        ("{ 5 < .a }", false, false, true),
        ("{ 5 >= .a }", true, true, false),
        ("{ 5 != .a }", true, false, true),
        ("{ .a > -1 && .a < 5.5 }", true, true, false),
    ] {
        for (number, expected) in [(4, at_4), (5, at_5), (6, at_6)] {
            check_value(text, Value::Int(number), expected);
            check_value(text, Value::Double(number as f64), expected);
        }
        check_value(text, Value::Text("5".to_owned()), false);
        check(text, &span(), false);
    }
}

#[test]
fn comparisons_of_strings() {
    for (filter, expected) in [
        (r#"{ .a = "gold" }"#, true),
        ("{ .a = `gold` }", true),
        (r#"{ .a != "gold" }"#, false),
        (r#"{ .a != "silver" }"#, true),
        (r#"{ .a > "gala" }"#, true),
        (r#"{ .a =~ "g.*" }"#, true),
        (r#"{ .a =~ "ol" }"#, false),
        ("{ .a =~ `\\w+` }", true),
        (r#"{ .a =~ "\\w+" }"#, true),
        (r#"{ .a !~ "ol" }"#, true),
        (r#"{ .a !~ "g.*" }"#, false),
    ] {
        check_value(filter, text("gold"), expected);
        check_value(filter, Value::Int(5), false);
        check_value(filter, Value::List, false);
        check(filter, &span(), false);
    }
    check_value(r#"{ .a = "a\n\"b\"" }"#, text("a\n\"b\""), true);
}

#[test]
fn booleans_and_nil() {
    check_value("{ .a = true }", Value::Bool(true), true);
    check_value("{ .a != true }", Value::Bool(false), true);
    check_value("{ .a != true }", text("true"), false);
    check_value("{ .a }", Value::Bool(true), true);
    check_value("{ .a }", Value::Int(1), false);
    check_value("{ !.a }", Value::Bool(false), true);
    check("{ .a != nil }", &span(), false);
    check("{ .a = nil }", &span(), true);
    check("{ nil != .a }", &with(&[("a", Value::List)]), true);
}

#[test]
fn intrinsics() {
    let client = Span { kind: 3, status: 1, name: "call".to_owned(), ..span() };
    for (text, expected) in [
        ("{ kind = client }", true),
        ("{ kind != client }", false),
        ("{ span:kind = server }", false),
        ("{ status = ok }", true),
        ("{ status != error }", true),
        ("{ status = unset }", false),
        (r#"{ name = "call" }"#, true),
        (r#"{ name =~ "c.*" && name !~ "d.*" }"#, true),
        ("{ duration = 100ms }", true),
        ("{ duration >= 0.1s && 1m > duration }", true),
        ("{ duration > 1h30m }", false),
        ("{ span:duration < 1000000000 }", true),
    ] {
        check(text, &client, expected);
    }
}

#[test]
fn conditions_of_a_trace_and_its_root() {
    let root = Span { name: "GET /".to_owned(), ..span() };
    let leaf = Span {
        name: "SELECT".to_owned(),
        status: 2,
        is_root: false,
        duration_ns: 1,
        resource: Vec::new(),
        ..span()
    };
    for (text, both, without_root) in [
        (r#"{ rootName = "GET /" && status = error }"#, true, false),
        (r#"{ rootName != "GET /" && status = error }"#, false, false),
        (r#"{ !(rootName = "POST /") && status = error }"#, true, false),
        (r#"{ rootServiceName = "api-gateway" && name = "SELECT" }"#, true, false),
        (r#"{ trace:rootService =~ "api.*" }"#, true, false),
        ("{ traceDuration > 50ms && status = error }", true, false),
        ("{ trace:duration <= 50ms && status = error }", false, true),
        ("{ !(traceDuration > 50ms) }", false, true),
        ("{ rootName != nil }", true, false),
        ("{ status = error && duration > 50ms }", false, false),
    ] {
        let trace = [leaf.clone(), root.clone()];
        assert_eq!(matches(&filter(text), &trace), Ok(both), "{text}");
        assert_eq!(matches(&filter(text), &trace[..1]), Ok(without_root), "{text} without root");
    }
}

#[test]
fn and_and_or_bind_alike_from_left_to_right() {
    // As in Tempo's grammar; (a || b) && c.
    let text = "{ .a = 1 || .b = 1 && .c = 1 }";
    check(text, &with(&[("a", Value::Int(1))]), false);
    check(text, &with(&[("a", Value::Int(1)), ("c", Value::Int(1))]), true);
    let grouped = "{ .a = 1 || (.b = 1 && .c = 1) }";
    check(grouped, &with(&[("a", Value::Int(1))]), true);
    let negated = "{ !(.a = 1 || .b = 1) && .c = 1 }";
    check(negated, &with(&[("c", Value::Int(1))]), true);
    check(negated, &with(&[("c", Value::Int(1)), ("b", Value::Int(1))]), false);
}

#[test]
fn not_holds_where_the_comparison_does_not() {
    check("{ !(.a > 5) }", &span(), true);
    check("{ !(.a != 5) }", &span(), true);
    check("{ !!(.a > 5) }", &span(), false);
}

#[test]
fn a_mistake_names_its_position_and_what_was_expected() {
    for (text, expected) in [
        ("", "column 1: expected {, found the end"),
        ("status = error", "column 1: expected {, found status"),
        ("{ status = error", "column 17: expected &&, || or }, found the end"),
        (
            "{ status error }",
            "column 10: expected a comparison (= != > >= < <= =~ !~), found error",
        ),
        ("{ status = }", "column 12: expected error, ok or unset, found }"),
        ("{ status = 2 }", "column 12: expected error, ok or unset"),
        ("{ status > ok }", "column 10: expected = or !="),
        ("{ duration > \"1s\" }", "column 14: expected a duration such as 500ms"),
        ("{ duration > 1x }", "column 14: expected a number or a duration such as 1h30m, not 1x"),
        ("{ .a = error }", "column 8: expected a string, a number, a duration, true, false or nil"),
        ("{ .a =~ 5 }", "column 9: expected a string after =~ or !~"),
        ("{ .a > nil }", "column 6: expected = or != before nil"),
        ("{ .a = 'x' }", "column 8: expected a string in double quotes or backticks"),
        ("{ .a = \"x }", "column 8: expected a closing \" after this one"),
        (
            "{ .a =~ \"\\.\" }",
            "column 10: expected \\\\ \\\" \\n \\r or \\t; in backticks \\ is itself",
        ),
        ("{ .a =~ \"(\" }", "column 9: \"(\" is no regular expression: unclosed group"),
        ("{ span. = 1 }", "column 8: expected the name of an attribute"),
        ("{ .a = 1 & .b = 1 }", "column 10: expected &&"),
        ("{ (.a = 1 }", "column 11: expected &&, || or ), found }"),
        ("{ !.a = 1 }", "column 7: ! is about the attribute alone: write !( … )"),
        ("{\n  .a = 1 &&\n}", "line 3, column 1: expected a condition, found }"),
        (
            "{ .ä = ! }",
            "column 8: expected a string, a number, a duration, true, false or nil, found !",
        ),
    ] {
        check_position(text, expected);
    }
    let unknown = "column 3: expected an attribute (span.x, resource.x or .x) or one of duration, \
                   status, kind, name, rootName, rootServiceName, traceDuration, found http.method";
    check_position("{ http.method = \"GET\" }", unknown);
}

#[test]
fn what_is_no_span_filter_is_refused() {
    for (text, expected) in [
        ("{ } | count() > 2", "column 5: not supported: pipelines; for \"or\" write ||"),
        ("{ } >> { }", "column 5: not supported: spans related to others"),
        ("{ } && { }", "column 5: not supported: more than one { }; join conditions inside of one"),
        ("{ event.a = 1 }", "column 3: not supported: attributes of events (event.)"),
        ("{ parent.a = 1 }", "column 3: not supported: attributes of the parent span (parent.)"),
        ("{ event:name = \"x\" }", "column 3: not supported: event:name"),
        ("{ statusMessage = \"x\" }", "column 3: not supported: statusMessage"),
        ("{ .a + 1 = 2 }", "column 6: not supported: arithmetic"),
        ("{ -.a = 2 }", "column 4: not supported: arithmetic"),
        ("{ .a = .b }", "column 8: not supported: comparing two attributes"),
        ("{ (.a) = 1 }", "column 8: not supported: comparing what stands in parentheses"),
    ] {
        check_position(text, expected);
    }
}

#[test]
fn a_filter_has_bounds() {
    let deep = format!("{{ {}.a{} }}", "(".repeat(100), ")".repeat(100));
    check_position(&deep, "column 35: nested more than 32 deep");
    let long = format!("{{ {} .a = 1 }}", ".a = 1 && ".repeat(200));
    check_position(&long, "column 1283: more than 128 conditions");
    let pairs: Vec<String> = (0..7).map(|i| format!("(.a{i} = 1 || .b{i} = 1)")).collect();
    let wide = format!("{{ {} }}", pairs.join(" && "));
    check_position(&wide, "multiplied out, its && and || make more than 64 alternatives");
}
