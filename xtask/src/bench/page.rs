//! The page for people, made from the committed results of all benches.

use super::results::{self, Bench, Figure, Goal};
use anyhow::{Context, Result};
use std::fmt::Write;
use std::fs;

/// Below the root of the work tree.
const PAGE: &str = "docs/benchmarks.md";

/// Writes the page that is committed.
pub(crate) fn write() -> Result<()> {
    fs::write(crate::root().join(PAGE), page()?).with_context(|| format!("write {PAGE}"))
}

fn page() -> Result<String> {
    let mut page = "# Benchmarks\n\n\
        Sluice and the OpenTelemetry Collector run in turn on the same machine, on the same spans.\n"
        .to_owned();
    for bench in Bench::ALL {
        let figures = results::recorded(bench)?;
        if let Some(first) = figures.first() {
            page += &section(bench, first, &figures);
        }
    }
    Ok(page)
}

fn section(bench: Bench, first: &Figure, figures: &[Figure]) -> String {
    let (name, recorded) = (bench.as_str(), bench.recorded());
    let title = match bench {
        Bench::Passthrough => "Traces through",
        Bench::Tail => "Tail sampling",
        Bench::Engine => "The engine alone",
        Bench::Forward => "Traces forwarded",
        Bench::Flood => "A flood",
    };
    let mut section = format!(
        "\n## {title}\n\nMade by `cargo xtask bench {name} --record` from the results in\n\
         [{name}.json](../{recorded}), which it writes too.\n\n"
    );
    section += &table(figures);
    section += &sides(figures);
    section += "\n### Method\n";
    let mut said: Vec<&str> = Vec::new();
    for figure in figures {
        if !said.contains(&figure.method.as_str()) {
            said.push(&figure.method);
            // Writing to a string does not fail.
            let _ = writeln!(section, "\n{}: {}", figure.name, figure.method);
        }
    }
    let _ = match (first.seed, first.peer_configuration.as_str()) {
        (seed, "") => writeln!(section, "\nSeed {seed}. There is no peer in this one."),
        (seed, file) => writeln!(section, "\nSeed {seed}. The peer's configuration: `{file}`."),
    };
    for (name, version) in &first.versions {
        let _ = writeln!(section, "- {name}: {version}");
    }
    section
}

/// A row a figure.
pub(super) fn table(figures: &[Figure]) -> String {
    let mut table = "| case | unit | Sluice | OTel Collector | ratio | goal | met |\n\
                     |---|---|---|---|---|---|---|\n"
        .to_owned();
    let number = |value: Option<f64>| value.map_or("–".to_owned(), |value| format!("{value:.3}"));
    for figure in figures {
        let goal = match figure.goal {
            Some(Goal::RatioMax(most)) => format!("ratio ≤ {most}"),
            Some(Goal::FigureMax(most)) => format!("≤ {most}"),
            None => "–".to_owned(),
        };
        let met = figure.met.map_or("–", |met| if met { "yes" } else { "**no**" });
        let (name, unit, ours) = (&figure.name, &figure.unit, Some(figure.figure));
        let (ours, peer, ratio) = (number(ours), number(figure.peer), number(figure.ratio));
        let _ = writeln!(table, "| {name} | {unit} | {ours} | {peer} | {ratio} | {goal} | {met} |");
    }
    table
}

fn sides(figures: &[Figure]) -> String {
    if figures.iter().all(|figure| figure.sides.is_none()) {
        return String::new();
    }
    let mut table = "\n| case | program | bytes out a span | spans a request out | spans/s \
                     | peak memory, MB | refused requests | kept spans, % | doubled spans | lost spans |\n\
                     |---|---|---|---|---|---|---|---|---|---|\n"
        .to_owned();
    for figure in figures {
        let Some(sides) = &figure.sides else { continue };
        for (program, side) in [("Sluice", &sides.sluice), ("OTel Collector", &sides.peer)] {
            let _ = writeln!(
                table,
                "| {} | {program} | {:.1} | {:.0} | {:.0} | {:.1} | {} | {:.2} | {} | 0 |",
                figure.name,
                side.bytes_out_per_span,
                side.spans_per_request_out,
                side.spans_per_second,
                side.memory_peak_mb,
                side.refused,
                side.kept_percent,
                side.doubled,
            );
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_page_is_made_from_the_committed_results() {
        let committed = fs::read_to_string(crate::root().join(PAGE)).unwrap();
        assert!(committed == page().unwrap(), "run `cargo xtask generate`");
    }
}
