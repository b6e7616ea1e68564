//! What a run comes to, in figures.

use super::ledger::{Sums, percent};
use super::watch::Look;
use super::{Arguments, BEFORE, ROUND_SECONDS, Run, TIMES, TRACE_SECONDS};
use crate::bench::pairs::round;
use crate::bench::results::{Figure, Goal};
use crate::bench::tail::traces::{BYTES_PER_SPAN, SPANS_PER_TRACE};
use crate::contest::spread::SPANS_PER_REQUEST;

/// In standard errors: of a thousand unbiased runs three are further off.
const DEVIATION_MAX: f64 = 3.0;

pub(super) fn figures(run: &Run, arguments: &Arguments, blank: &Figure) -> Vec<Figure> {
    let [_, flood, _] = &run.sent;
    let [usual, sums, after] = [0, 1, 2].map(|phase| sums(run, phase));
    eprintln!("flood: before {usual:?}\nflood: during {sums:?}\nflood: after {after:?}");
    let mebibytes = |bytes: u64| round(bytes as f64 / f64::from(1 << 20));
    let limit = Goal::FigureMax(mebibytes(run.hard_bytes));
    let memory = "MiB of resident memory";
    let peak = |part: fn(&Run, &Look) -> bool| {
        let looks = run.looks.iter().filter(|look| part(run, look));
        mebibytes(looks.map(|look| look.memory_bytes).max().unwrap_or_default())
    };
    let [from, to] = [told(run, 0), told(run, 1)];
    let offered = flood.accepted + flood.given_up;
    let spans_percent = |spans: f64| round(spans * 100.0 / offered as f64);
    let row = |name: &str, figure: f64, unit: &str, goal| {
        let (name, unit) = (name.to_owned(), unit.to_owned());
        let method = method(run, arguments);
        Figure { name, figure, unit, method, ..blank.clone() }.with_goal(goal)
    };
    let none = Some(Goal::FigureMax(0.0));
    let mut rows = vec![
        row("before the flood", peak(|run, look| look.at < run.flood[0]), memory, None),
        row("in the flood, at the most", peak(is_flood), memory, Some(limit)),
        row("errors kept", round(sums.failed_percent()), "% of traces with an error", None),
        row("others kept", round(sums.others_percent()), "% of traces without", None),
        row("shed", spans_percent(to.shed - from.shed), "% of spans, as the gateway counts", None),
        row("shed, and late", spans_percent(to.late - from.late), "% of spans, the same", None),
        row("dropped", spans_percent(to.dropped - from.dropped), "% of spans, the same", None),
        row(
            "refused, and sent again",
            spans_percent(to.refused - from.refused),
            "% of spans",
            None,
        ),
        row("given up by the sender", spans_percent(flood.given_up as f64), "% of spans", None),
        row("torn", round(percent(sums.torn, sums.traces)), "% of traces", None),
        row("thresholds that differ", sums.mixed as f64, "traces", none),
        row(
            "count of traces by th",
            round(sums.estimate * 100.0 / sums.traces as f64),
            "% of the traces sent",
            None,
        ),
        row(
            "error of that count",
            round(sums.deviation().abs()),
            "standard errors",
            Some(Goal::FigureMax(DEVIATION_MAX)),
        ),
        row("until nothing is shed", round(recovery(run)), "s after the flood", None),
    ];
    if let Some((bytes, kills)) = run.guard {
        rows.push(row("charged to the cgroup", mebibytes(bytes), "MiB, at the most", None));
        rows.push(row("killed by the kernel", kills as f64, "times", none));
    }
    rows
}

fn sums(run: &Run, phase: usize) -> Sums {
    run.arrived.sum(&run.sent[phase].rounds, &run.corpora[phase].failed)
}

fn is_flood(run: &Run, look: &Look) -> bool {
    run.flood[0] <= look.at && look.at <= run.flood[1]
}

/// At the beginning or the end of the flood.
fn told(run: &Run, edge: usize) -> super::watch::Told {
    let before = run.looks.iter().take_while(|look| look.at <= run.flood[edge]);
    before.last().map_or_else(Default::default, |look| look.told)
}

/// From the flood's end to the last look at which something was still shed, refused or limited.
fn recovery(run: &Run) -> f64 {
    let is_busy = |pair: &&[Look]| {
        let (before, after) = (&pair[0].told, &pair[1].told);
        0.0 < after.level || before.shed < after.shed || before.refused < after.refused
    };
    let last = run.looks.windows(2).rfind(is_busy).map(|pair| pair[1].at);
    last.map_or(0.0, |last| last.saturating_duration_since(run.flood[1]).as_secs_f64())
}

fn method(run: &Run, arguments: &Arguments) -> String {
    let Arguments { base, minutes, .. } = arguments;
    let before = BEFORE.as_secs();
    let rate = run.sent[1].accepted / 60 / minutes.max(&1);
    let guard = match run.guard {
        Some(_) => "in a cgroup of 256 MiB",
        None => "without a cgroup, which could not be made here",
    };
    format!(
        "one gateway process {guard}, with the limits of a Collector whose gateways have 256 MiB \
         ({} and {} MiB) and which protects errors; traces with an error are kept, of the rest 10 %, \
         10 s after a trace's first span; {base} spans/s for {before} s, {TIMES} times as many for \
         {minutes} min ({rate} spans/s were accepted), then as before; traces of {SPANS_PER_TRACE} \
         spans of {BYTES_PER_SPAN} bytes, 1 % of them with an error, each within about \
         {TRACE_SECONDS} s and over the requests of three nodes, new ones every {ROUND_SECONDS} s; \
         {SPANS_PER_REQUEST} spans a request, by the agents' own protocol; refused requests are sent \
         again as agents do, 8 times; VmRSS of /proc/PID/status every 100 ms; shares are of the \
         traces of which every span was accepted, and a trace counts as kept when every span arrived; \
         the count by th is the sum of 1/p over the traces that arrived, its standard error the root \
         of the sum of (1/p)(1/p - 1)",
        run.soft_bytes >> 20,
        run.hard_bytes >> 20,
    )
}
