//! Patterns over texts: globs and anchored regular expressions.

use crate::selector::glob;
use regex::bytes::{Regex, RegexBuilder, RegexSet, RegexSetBuilder};
use regex_syntax::ParserBuilder;
use regex_syntax::hir::Hir;
use regex_syntax::hir::literal::{ExtractKind, Extractor, Literal};

/// Compiled; a larger pattern is refused.
const BYTES_MAX: usize = 1 << 20;
/// What one pattern may remember of the texts that it saw.
const REMEMBERED_BYTES_MAX: usize = 128 << 10;
/// The same of patterns that are looked for together.
const SET_BYTES_MAX: usize = 16 << 20;
const SET_REMEMBERED_BYTES_MAX: usize = 2 << 20;

/// Matches whole texts, as Tempo's do: `.` is a line break too.
///
/// # Errors
/// Says what is wrong with the pattern.
pub(super) fn regex(pattern: &str) -> Result<Regex, String> {
    // Alone first: `a)(b` is no pattern, but would be one between parentheses.
    parse(pattern).map_err(|error| refusal(pattern, &error))?;
    let regex = RegexBuilder::new(&whole(pattern))
        .size_limit(BYTES_MAX)
        .dfa_size_limit(REMEMBERED_BYTES_MAX)
        .build();
    regex.map_err(|error| refusal(pattern, &error.to_string()))
}

/// Of patterns that [`regex`] takes: which of them match, in one pass. `None`: too much for that.
pub(super) fn set(patterns: &[String]) -> Option<RegexSet> {
    let set = RegexSetBuilder::new(patterns.iter().map(|pattern| whole(pattern)))
        .size_limit(SET_BYTES_MAX)
        .dfa_size_limit(SET_REMEMBERED_BYTES_MAX)
        .build();
    set.ok()
}

fn whole(pattern: &str) -> String {
    format!("^(?s:{pattern})$")
}

fn parse(pattern: &str) -> Result<Hir, String> {
    let parsed = ParserBuilder::new().utf8(false).build().parse(pattern);
    parsed.map_err(|error| error.to_string())
}

fn refusal(pattern: &str, error: &str) -> String {
    // The lines above draw the pattern.
    let reason = error.lines().last().unwrap_or_default().trim_start_matches("error: ");
    format!("{pattern:?} is no regular expression: {reason}")
}

/// One pattern that matches what any of them does.
///
/// # Errors
/// Says what is wrong with one of them.
pub(super) fn any_of(patterns: &[String]) -> Result<String, String> {
    for pattern in patterns {
        regex(pattern)?;
    }
    match patterns {
        [only] => Ok(only.clone()),
        _ => {
            let all = patterns.iter().map(|one| format!("(?:{one})")).collect::<Vec<_>>().join("|");
            regex(&all).map(|_| all)
        }
    }
}

/// One of these is what a text begins with that one of the globs matches; `None`: anything.
pub(super) fn beginnings_of_globs(globs: &[String]) -> Option<Vec<Vec<u8>>> {
    let beginning = |glob: &String| {
        let end = glob.find(['*', '?']).unwrap_or(glob.len());
        (end > 0).then(|| glob.as_bytes()[..end].to_vec())
    };
    globs.iter().map(beginning).collect()
}

/// The same of a regular expression.
pub(super) fn beginnings_of_regex(pattern: &str) -> Option<Vec<Vec<u8>>> {
    let parsed = parse(pattern).ok()?;
    let literals = Extractor::new().kind(ExtractKind::Prefix).extract(&parsed);
    let beginning = |literal: &Literal| (!literal.is_empty()).then(|| literal.as_bytes().to_vec());
    literals.literals()?.iter().map(beginning).collect()
}

pub(super) fn any_glob(globs: &[String], text: &[u8]) -> bool {
    let text = String::from_utf8_lossy(text);
    globs.iter().any(|pattern| glob(pattern, &text))
}
