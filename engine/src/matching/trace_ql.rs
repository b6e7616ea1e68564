//! The span filter of TraceQL, read into conditions as Tempo reads it.
//!
//! Precedence too is Tempo's (`pkg/traceql/expr.y`): `&&` and `||` bind alike, from left to right.

mod field;
mod lexer;
mod parser;
#[cfg(test)]
mod tests;

use super::condition::Expression;

/// What is wrong, and from which byte of the text on.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Fault {
    at: usize,
    problem: String,
}

/// # Errors
/// Begins with the position: `column 5: …`, or in later lines `line 2, column 5: …`.
pub(super) fn parse(text: &str) -> Result<Expression, String> {
    parser::filter(text).map_err(|Fault { at, problem }| {
        let before = text.get(..at).unwrap_or(text);
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|char| *char != '\n').count() + 1;
        match line {
            1 => format!("column {column}: {problem}"),
            _ => format!("line {line}, column {column}: {problem}"),
        }
    })
}

fn fault<T>(at: usize, problem: impl Into<String>) -> Result<T, Fault> {
    Err(Fault { at, problem: problem.into() })
}
