//! Joins the parts: election, watches, control server and health run in every replica, the loop
//! only in the one that leads. Ends on SIGTERM, or when the Lease is lost.

use crate::apply::Applier;
use crate::authority::{Authority, ServingCertificate};
use crate::control::{self, Assignments, Desk, Lookups, Reports, Signer};
use crate::custody;
use crate::events::Events;
use crate::health::{self, Health, Pages};
use crate::lease::{self, Lost, Role};
use crate::metrics::Metrics;
use crate::owner;
use crate::published::Published;
use crate::report::{self, News, Reporter};
use crate::settings::Settings;
use crate::spine::Spine;
use crate::stores::{Stores, Watches};
use jiff::Timestamp;
use kube::{Client, Config};
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, oneshot, watch};
use tokio::task::JoinSet;

/// A serving certificate lasts seven days.
const CERTIFICATE_RENEWAL: Duration = Duration::from_secs(24 * 3600);

/// Why the operator ended before it was told to.
#[derive(Debug)]
pub enum RunError {
    FindCluster(kube::Error),
    ReadConfig(kube::config::InferConfigError),
    Listen {
        address: SocketAddr,
        source: std::io::Error,
    },
    HandleSignals(std::io::Error),
    MakeMetrics(prometheus::Error),
    Lead(Lost),
    /// A task that lives as long as the program has ended.
    Serve(String),
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FindCluster(error) => write!(f, "cannot make a client of the cluster: {error}"),
            Self::ReadConfig(error) => write!(
                f,
                "found no cluster; run in a pod, or set KUBECONFIG to a kubeconfig file: {error}"
            ),
            Self::Listen { address, source } => write!(f, "cannot listen on {address}: {source}"),
            Self::HandleSignals(error) => write!(f, "cannot handle signals: {error}"),
            Self::MakeMetrics(error) => write!(f, "cannot make the metrics: {error}"),
            Self::Lead(lost) => write!(f, "{lost}"),
            Self::Serve(error) => write!(f, "cannot serve any more: {error}"),
        }
    }
}

impl std::error::Error for RunError {}

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// What keeps it from starting, or [`RunError::Lead`] when another replica must take over.
pub async fn run(settings: Settings) -> Result<(), RunError> {
    let settings = Arc::new(settings);
    let metrics = Metrics::new().map_err(RunError::MakeMetrics)?;
    let health = Health::default();
    health.waiting("certificate", "not made yet");
    let config = Config::infer().await.map_err(RunError::ReadConfig)?;
    let client = Client::try_from(config.clone()).map_err(RunError::FindCluster)?;
    let listener = listen(settings.health_listen).await?;
    let control = listen(settings.control_listen).await?;
    let mut terminate = signal(SignalKind::terminate()).map_err(RunError::HandleSignals)?;

    let (roles, role) = watch::channel(Role::UNKNOWN);
    let (stop_election, stopped) = oneshot::channel();
    let mut election = tokio::spawn(elect(config, Arc::clone(&settings), roles, stopped));
    let mut servers = JoinSet::new();
    let lookups = Arc::<Lookups>::default();
    let pages = Pages {
        health: health.clone(),
        metrics: metrics.clone(),
        role: role.clone(),
        lookups: Arc::clone(&lookups),
    };
    servers.spawn(health::serve(listener, pages));

    let (stop, stopping) = watch::channel(false);
    let own = Arc::clone(&settings);
    let operator = Operator { settings: own, metrics, health, client, role, lookups };
    let mut work = tokio::spawn(operator.work(control, stopping));
    let ended = tokio::select! {
        _ = terminate.recv() => None,
        _ = tokio::signal::ctrl_c() => None,
        ended = &mut election => Some(lost(ended)),
        ended = &mut work => Some(RunError::Serve(format!("{ended:?}"))),
    };
    if let Some(error) = ended {
        // Somebody else may lead by now: nothing more is written.
        work.abort();
        return Err(error);
    }
    tracing::info!("ending");
    stop.send_replace(true);
    if tokio::time::timeout(settings.call_timeout, &mut work).await.is_err() {
        work.abort();
    }
    // Last, so that the successor begins when this one is done.
    drop(stop_election);
    let _ = tokio::time::timeout(settings.call_timeout, election).await;
    Ok(())
}

async fn listen(address: SocketAddr) -> Result<TcpListener, RunError> {
    let listener = TcpListener::bind(address).await;
    listener.map_err(|source| RunError::Listen { address, source })
}

/// With a client of its own: a call that hangs must not outlast the Lease.
async fn elect(
    mut config: Config,
    settings: Arc<Settings>,
    roles: watch::Sender<Role>,
    stopped: oneshot::Receiver<()>,
) -> Result<(), RunError> {
    config.read_timeout = Some(settings.lease_duration.div_f64(3.0));
    let client = Client::try_from(config).map_err(RunError::FindCluster)?;
    lease::elect(client, &settings, roles, stopped).await.map_err(RunError::Lead)
}

fn lost(ended: Result<Result<(), RunError>, tokio::task::JoinError>) -> RunError {
    match ended {
        Ok(Err(error)) => error,
        Ok(Ok(())) => RunError::Lead(Lost::Unconfirmed),
        Err(error) => RunError::Serve(error.to_string()),
    }
}

struct Operator {
    settings: Arc<Settings>,
    metrics: Metrics,
    health: Health,
    client: Client,
    role: watch::Receiver<Role>,
    lookups: Arc<Lookups>,
}

impl Operator {
    async fn work(
        mut self,
        control: TcpListener,
        mut stopping: watch::Receiver<bool>,
    ) -> Result<(), RunError> {
        let wake = Arc::new(Notify::new());
        let mut watches = Watches {
            client: self.client.clone(),
            health: self.health.clone(),
            wake: Arc::clone(&wake),
            tasks: JoinSet::new(),
        };
        let stores = Arc::new(Stores::start(&mut watches, &self.settings.namespace));
        let reports = Arc::new(Reports::new(self.settings.report_kept, Arc::clone(&wake)));
        let (assignments, assigned) = watch::channel(Assignments::default());
        let authority = tokio::select! {
            authority = custody::obtain(&self.client, &self.settings, &self.role) => authority,
            _ = stopping.changed() => return Ok(()),
        };
        let mut servers = JoinSet::new();
        self.serve_control(&mut servers, control, &authority, assigned, Arc::clone(&reports))?;
        self.health.ready("certificate");

        let leading = self.role.wait_for(|role| matches!(role, Role::Leader { .. }));
        tokio::select! {
            _ = leading => {}
            _ = stopping.changed() => return Ok(()),
            ended = servers.join_next() => return Err(RunError::Serve(format!("{ended:?}"))),
        }
        self.metrics.leader.set(1);
        tracing::info!(role = ?*self.role.borrow(), "leading");
        tokio::select! {
            () = self.lead(stores, reports, wake, assignments, &authority, stopping) => Ok(()),
            ended = servers.join_next() => Err(RunError::Serve(format!("{ended:?}"))),
        }
    }

    fn serve_control(
        &self,
        servers: &mut JoinSet<Result<(), String>>,
        listener: TcpListener,
        authority: &Authority,
        assignments: watch::Receiver<Assignments>,
        reports: Arc<Reports>,
    ) -> Result<(), RunError> {
        let fail = |error: &dyn fmt::Display| RunError::Serve(error.to_string());
        let provider = rustls::crypto::ring::default_provider();
        let names = self.settings.server_names();
        let certificate = authority
            .certify(&names, Timestamp::now(), &provider)
            .map(|certificate| Arc::new(ServingCertificate::new(certificate)))
            .map_err(|error| fail(&error))?;
        let tls = control::server_config(Arc::clone(&certificate), provider);
        let tls = tls.map_err(|error| fail(&error))?;
        servers.spawn(renew(certificate, authority.clone(), names));
        let desk = Desk {
            roles: self.role.clone(),
            assignments,
            reports,
            lookups: Arc::clone(&self.lookups),
            reviewer: control::reviewer(self.client.clone(), &self.settings),
            signer: signer(authority.clone()),
            metrics: self.metrics.clone(),
        };
        servers.spawn(async move {
            let served = control::serve(desk, listener, tls, std::future::pending()).await;
            served.map_err(|error| error.to_string())
        });
        Ok(())
    }

    async fn lead(
        &self,
        stores: Arc<Stores>,
        reports: Arc<Reports>,
        wake: Arc<Notify>,
        assignments: watch::Sender<Assignments>,
        authority: &Authority,
        mut stopping: watch::Receiver<bool>,
    ) {
        let settings = &self.settings;
        let (client, metrics) = (self.client.clone(), self.metrics.clone());
        let prepared = async {
            stores.ready().await;
            owner::find_or_wait(&client, settings).await
        };
        let owners = tokio::select! {
            owners = prepared => owners,
            _ = stopping.changed() => return,
        };
        let (outbox, inbox) = watch::channel(Arc::new(News::default()));
        let events = Events::new(client.clone(), settings, metrics.clone());
        let versions = report::versions(Arc::clone(&stores));
        let reporter = Reporter::new(client.clone(), settings, metrics.clone(), events, versions);
        let spine = Spine {
            settings: Arc::clone(settings),
            metrics: metrics.clone(),
            stores,
            reports,
            applier: Applier::new(client, settings, metrics),
            wake,
            assignments,
            outbox,
            trust: authority.config_map(&settings.namespace, owners),
            published: Published::default(),
        };
        // The reporter ends when the spine has dropped its outbox.
        tokio::join!(spine.run(stopping), reporter.run(inbox));
    }
}

fn signer(authority: Authority) -> Signer {
    Arc::new(move |request| {
        authority.sign(request, Timestamp::now()).map_err(|error| error.to_string())
    })
}

async fn renew(
    certificate: Arc<ServingCertificate>,
    authority: Authority,
    names: Vec<String>,
) -> Result<(), String> {
    let provider = rustls::crypto::ring::default_provider();
    loop {
        tokio::time::sleep(CERTIFICATE_RENEWAL).await;
        match authority.certify(&names, Timestamp::now(), &provider) {
            Ok(renewed) => certificate.replace(renewed),
            Err(error) => tracing::error!(%error, "certificate not renewed"),
        }
    }
}
