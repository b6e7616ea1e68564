//! Reference pages: a page for each kind, one for conditions, one for events.

mod catalogue;
mod kind;

pub(crate) use catalogue::{conditions, events};
pub(crate) use kind::page as kind;

const HEADER: &str =
    "<!-- Made by `cargo xtask generate` from the code in crds/src. Do not edit. -->\n\n";

/// A row of a Markdown table; a bar in a cell would end it.
fn row(cells: &[&str]) -> String {
    let cells: Vec<_> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
    format!("| {} |\n", cells.join(" | "))
}

/// The head of a Markdown table.
fn head(cells: &[&str]) -> String {
    format!("{}{}", row(cells), row(&vec!["---"; cells.len()]))
}
