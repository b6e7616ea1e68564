//! `cargo xtask soak`: the claims that take minutes, and the page on which their outcome is kept.

use crate::test::whole;
use anyhow::{Context, Result, bail};
use std::fmt::Write;
use std::fs;

const PAGE: &str = "docs/soak.md";

pub(crate) fn run() -> Result<()> {
    let verdict = whole::check(&["--soak"], false)?;
    if verdict.failed > 0 {
        bail!("{} failed", verdict.failed);
    }
    let path = crate::root().join(PAGE);
    fs::write(&path, page(&verdict.lines)).with_context(|| format!("write {PAGE}"))
}

fn page(lines: &[String]) -> String {
    let mut page = "# Soak\n\n\
        Made by `cargo xtask soak` on a real Kubernetes: claims that take longer than the tests of\n\
        each change may. Each proves by ids at the destination that nothing was lost.\n\n\
        | claim | outcome |\n|---|---|\n"
        .to_owned();
    for line in lines {
        if let Some((claim, outcome)) =
            line.strip_prefix("claim ").and_then(|line| line.split_once(" ... "))
        {
            // Writing to a string does not fail.
            let _ = writeln!(page, "| {} | {outcome} |", claim.replace('_', " "));
        }
    }
    page
}

#[cfg(test)]
mod tests {
    use super::page;

    #[test]
    fn a_claim_is_a_row() {
        let page = page(&["starting".into(), "claim it_holds ... ok (1.0 s)".into()]);
        assert!(page.ends_with("|---|---|\n| it holds | ok (1.0 s) |\n"), "{page}");
    }
}
