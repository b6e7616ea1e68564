//! The engine by its own bench: what a span costs one core in each stage, without a network.

use super::pairs::median;
use super::results::{Figure, Goal};
use super::{Arguments, machine};
use crate::commands;
use anyhow::{Context, Result, bail};

const RUNS: usize = 7;
/// Of the lines that are figures, behind the number.
const UNIT: &str = " ns a span";
/// In nanoseconds a span: 1.2 million spans a second and core, and 0.7 million.
const GOALS: [(&str, f64); 2] = [("none compressed", 833.0), ("gzip in, none compressed", 1428.0)];

pub(super) fn run(arguments: &Arguments) -> Result<Vec<Figure>> {
    let runs = if arguments.quick { 1 } else { RUNS };
    let blank = Figure {
        unit: "ns of one core a span".to_owned(),
        method: method(runs),
        ..Figure::blank(arguments.seed, machine::versions(&[])?)
    };
    let mut said = Vec::new();
    for run in 1..=runs {
        let seed = arguments.seed.to_string();
        let bench = ["bench", "--package", "sluice-engine", "--bench", "tail", "--", &seed];
        said.push(commands::output(&mut commands::cargo(&bench))?);
        eprintln!("run {run}:\n{}", said[run - 1]);
    }
    let found: Vec<Vec<(String, f64)>> = said.iter().map(|said| figures(said)).collect();
    let figure = |(at, (name, _)): (usize, &(String, f64))| -> Result<Figure> {
        let of_run = |run: &Vec<(String, f64)>| Some(run.get(at).filter(|(own, _)| own == name)?.1);
        let runs: Option<Vec<f64>> = found.iter().map(of_run).collect();
        let runs = runs.with_context(|| format!("a run has no {name}"))?;
        let figure = median(runs.iter().copied());
        let goal = GOALS.iter().find(|(of, _)| of == name).map(|(_, most)| Goal::FigureMax(*most));
        Ok(Figure { name: name.clone(), figure, runs, ..blank.clone() }.with_goal(goal))
    };
    let figures = found[0].iter().enumerate().map(figure).collect::<Result<Vec<_>>>()?;
    for (name, _) in GOALS {
        if figures.iter().all(|figure| figure.name != name) {
            bail!("the bench says nothing of {name}");
        }
    }
    Ok(figures)
}

/// Name and nanoseconds of each line that has them.
fn figures(said: &str) -> Vec<(String, f64)> {
    let figure = |line: &str| {
        let (name, rest) = line.split_once(": ")?;
        let number = rest.split_once(UNIT)?.0.parse().ok()?;
        Some((name.to_owned(), number))
    };
    said.lines().filter_map(figure).collect()
}

fn method(runs: usize) -> String {
    format!(
        "time that the thread ran (/proc/thread-self/schedstat) by the spans; the median of {runs} \
         runs of `cargo bench -p sluice-engine --bench tail` (all are in the JSON), with the \
         allocator that the programs have; 200000 traces of 13 spans of 481 bytes, 64 of them \
         interleaved, 480 spans a request; survey and inflate: these stages alone; survey and hold: \
         nothing is decided; an agent's split: survey, and a forward for each of three gateways, \
         without sockets and compression; the others: survey, match, hold, decide and cut out what \
         is kept (errors, slow and gold traces, of the rest 10 %), where spans of open traces find \
         so much room before they are compressed"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_with_a_figure_are_read() {
        let said = "9 open traces: 7 bytes each\nsurvey alone: 134 ns a span\n\
                    gzip in, all: 90 ns a span, 0.51 M spans/s/core\n";
        let expected = [("survey alone", 134.0), ("gzip in, all", 90.0)];
        assert_eq!(figures(said), expected.map(|(name, figure)| (name.to_owned(), figure)));
    }
}
