//! `sluice run`: the third shell around the planner and the engine, on this machine.

mod books;
mod local;
mod policies;
mod screen;
mod story;
mod summary;

use crate::Outcome;
use crate::arguments::Run;
use crate::check;
use crate::demo::{self, Sent};
use crate::load::load;
use anyhow::{Context, Result, bail};
use jiff::Timestamp;
use local::Local;
use screen::Screen;
use sluice_agent::{Running, StartError};
use std::time::{Duration, Instant};
use story::Story;
use summary::Summary;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, sleep};
use tracing_subscriber::EnvFilter;

/// Of the collector's log: what goes wrong, and what Debug destinations print.
const LOG: &str = "warn,sluice_agent::send=info";

pub(crate) fn run(arguments: &Run) -> Result<Outcome> {
    let filter = EnvFilter::try_from_env("SLUICE_LOG").unwrap_or_else(|_| EnvFilter::new(LOG));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).enable_all().build().context("start the runtime")?;
    runtime.block_on(serve(arguments))
}

async fn serve(arguments: &Run) -> Result<Outcome> {
    let mut screen = Screen::new(arguments.json);
    let image = concat!("sluice:", env!("CARGO_PKG_VERSION"));
    let mut loaded = load(&arguments.paths, &arguments.cluster, image, Timestamp::now())?;
    let findings = check::judge(&loaded, &sluice_plan::plan(&loaded.observed));
    findings.iter().for_each(|finding| screen.note(&check::as_text(finding)));
    let local = Local::prepare(arguments, &mut loaded)?;
    loaded.notes.iter().for_each(|note| screen.note(note));
    let running = start(&local).await?;
    let demo = arguments.demo.then(|| Demo::start(arguments, &running));
    screen.begin(&local, &running, demo.as_ref().map(|demo| demo.seed));
    let started = Instant::now();
    let mut story = Story::new(loaded.observed, &local);
    watch(arguments, &running, &mut story, &mut screen).await?;
    let demo = match demo {
        Some(demo) => Some(demo.stop().await?),
        None => None,
    };
    let last = story.tell(&running);
    screen.changes(started.elapsed(), &last);
    let (time, tail) = (started.elapsed(), running.tail());
    let books = tokio::select! {
        books = running.stop(arguments.drain) => books,
        () = interrupted()? => bail!("interrupted a second time: what was held is lost"),
    };
    // With what was decided at the end.
    let policies = tail.map(|tail| tail.counts()).unwrap_or_default();
    let summary = Summary::new(time, books, policies, demo, local.files());
    screen.end(&summary);
    Ok(if summary.problem.is_none() { Outcome::Good } else { Outcome::Bad })
}

async fn start(local: &Local) -> Result<Running> {
    match sluice_agent::start(local.config.clone(), local.settings()).await {
        Ok(running) => Ok(running),
        Err(error @ StartError::Bind { .. }) => Err(error).context(
            "is another collector running? --grpc-port, --http-port and --metrics-port take others, \
             0 any",
        ),
        Err(error) => Err(error).context("start the collector"),
    }
}

/// Shows each second until the time is up or the person has had enough.
async fn watch(
    arguments: &Run,
    running: &Running,
    story: &mut Story,
    screen: &mut Screen,
) -> Result<()> {
    let started = Instant::now();
    let mut ticks = tokio::time::interval(Duration::from_secs(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let enough = interrupted()?;
    let time_up = async {
        match arguments.time {
            Some(time) => sleep(time).await,
            None => std::future::pending().await,
        }
    };
    tokio::pin!(enough, time_up);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = &mut enough => return Ok(()),
            () = &mut time_up => return Ok(()),
        }
        let changes = story.tell(running);
        screen.changes(started.elapsed(), &changes);
        screen.second(started.elapsed(), &books::rows(&running.books()), &policies::of(running));
    }
}

/// Ends at Ctrl-C or a request to terminate.
fn interrupted() -> Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt()).context("wait for Ctrl-C")?;
    let mut terminate = signal(SignalKind::terminate()).context("wait for a termination")?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// The shop, while it runs.
struct Demo {
    seed: u64,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<Sent>>,
}

impl Demo {
    fn start(arguments: &Run, running: &Running) -> Self {
        let seed = arguments.seed.unwrap_or_else(demo::seed_of_now);
        let settings = demo::Settings {
            endpoint: format!("http://{}", running.grpc_address()),
            requests_per_second: arguments.rate,
            seed,
        };
        let (stop, stopped) = oneshot::channel();
        Self { seed, stop, task: tokio::spawn(demo::run(settings, stopped)) }
    }

    async fn stop(self) -> Result<(u64, Sent)> {
        drop(self.stop);
        let sent = self.task.await.context("wait for the demo")??;
        Ok((self.seed, sent))
    }
}
