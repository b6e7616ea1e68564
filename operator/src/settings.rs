//! What may be set from outside: flags, each with an environment variable of the same name.

use clap::Parser;
use std::net::SocketAddr;
use std::time::Duration;

/// Keeps a cluster's telemetry collectors as the Collector, TelemetryPipeline and Destination
/// objects say.
///
/// Runs in the cluster as a Deployment of two replicas; the one that holds the Lease writes, the
/// other waits. Outside a cluster it takes the current kubeconfig context, which helps to develop:
///
///   sluice-operator --namespace sluice-system --log-format text
#[derive(Clone, Debug, Parser)]
#[command(name = "sluice-operator", version)]
pub struct Settings {
    /// The system namespace: where the collectors run, and whose pipelines may act on the whole
    /// cluster.
    #[arg(long, env = "POD_NAMESPACE", default_value = "sluice-system")]
    pub namespace: String,

    /// This replica's name; holds the Lease and reports events. In a cluster: the pod's name.
    #[arg(long, env = "POD_NAME", default_value = "sluice-operator")]
    pub pod_name: String,

    /// The address at which collectors reach this replica. In a cluster: the pod's IP.
    #[arg(long, env = "POD_IP", default_value = "127.0.0.1")]
    pub pod_ip: String,

    /// Where collectors attach (gRPC over TLS).
    #[arg(long, env = "SLUICE_CONTROL_LISTEN", default_value = "0.0.0.0:9443")]
    pub control_listen: SocketAddr,

    /// Where /healthz, /readyz and /metrics are served (plain HTTP).
    #[arg(long, env = "SLUICE_HEALTH_LISTEN", default_value = "0.0.0.0:8080")]
    pub health_listen: SocketAddr,

    /// Name of this operator's Deployment and Service: the Deployment owns the Secret of the
    /// operator's CA, the Service's names stand in its certificate.
    #[arg(long, env = "SLUICE_DEPLOYMENT", default_value = "sluice-operator")]
    pub deployment: String,

    /// The image of the collectors where a Collector names none: in a cluster, the operator's own.
    #[arg(long, env = "SLUICE_AGENT_IMAGE", default_value = "sluice:dev")]
    pub agent_image: String,

    /// ServiceAccount of the agents; a control stream of any other account is refused.
    #[arg(long, env = "SLUICE_AGENT_SERVICE_ACCOUNT", default_value = "sluice-agent")]
    pub agent_service_account: String,

    /// ServiceAccount of the gateways.
    #[arg(long, env = "SLUICE_GATEWAY_SERVICE_ACCOUNT", default_value = "sluice-gateway")]
    pub gateway_service_account: String,

    /// PriorityClass of the agents; empty: the cluster's default.
    #[arg(long, env = "SLUICE_PRIORITY_CLASS", default_value = "sluice-agent")]
    pub priority_class: String,

    /// Name of the Lease that elects the leader.
    #[arg(long, env = "SLUICE_LEASE", default_value = "sluice-operator")]
    pub lease: String,

    /// How long a leader that has died still blocks the others, e.g. 15s. At least 3s.
    #[arg(long, env = "SLUICE_LEASE_DURATION", default_value = "15s", value_parser = seconds)]
    pub lease_duration: Duration,

    /// How long before its end the leader renews its Lease. Must be shorter than the Lease.
    #[arg(long, env = "SLUICE_LEASE_GRACE", default_value = "10s", value_parser = seconds)]
    pub lease_grace: Duration,

    /// How long changes are gathered before they are planned together.
    #[arg(long, env = "SLUICE_DEBOUNCE", default_value = "250ms", value_parser = duration)]
    pub debounce: Duration,

    /// How often everything is planned again even if nothing seems to have changed.
    #[arg(long, env = "SLUICE_RESYNC", default_value = "10s", value_parser = duration)]
    pub resync: Duration,

    /// The longest that one call to the API server may take.
    #[arg(long, env = "SLUICE_CALL_TIMEOUT", default_value = "10s", value_parser = duration)]
    pub call_timeout: Duration,

    /// The first wait after a failed lap; doubled with each failure up to a minute.
    #[arg(long, env = "SLUICE_RETRY_DELAY", default_value = "1s", value_parser = duration)]
    pub retry_delay: Duration,

    /// After this long without progress an object is Stalled.
    #[arg(long, env = "SLUICE_PROGRESS_DEADLINE", default_value = "10m", value_parser = duration)]
    pub progress_deadline: Duration,

    /// The configuration that new pods start with is rewritten at most this often; running
    /// collectors learn of changes at once over the control stream.
    #[arg(long, env = "SLUICE_BOOTSTRAP_INTERVAL", default_value = "10m", value_parser = duration)]
    pub bootstrap_interval: Duration,

    /// How many writes of status a second go to the API server, over all objects. 1 to 100.
    #[arg(
        long,
        env = "SLUICE_STATUS_WRITES",
        default_value_t = 5,
        value_parser = clap::value_parser!(u32).range(1..=100)
    )]
    pub status_writes_per_second: u32,

    /// An object whose conditions stay the same has its status rewritten at most this often.
    #[arg(long, env = "SLUICE_STATUS_INTERVAL", default_value = "30s", value_parser = duration)]
    pub status_interval: Duration,

    /// The same event about the same object is written at most once in this time.
    #[arg(long, env = "SLUICE_EVENT_INTERVAL", default_value = "10m", value_parser = duration)]
    pub event_interval: Duration,

    /// What the last report of a collector is still worth after its stream ended.
    #[arg(long, env = "SLUICE_REPORT_KEPT", default_value = "2m", value_parser = duration)]
    pub report_kept: Duration,

    /// For how long the answer of a token review is believed.
    #[arg(long, env = "SLUICE_REVIEW_KEPT", default_value = "1m", value_parser = duration)]
    pub review_kept: Duration,

    /// What to log, e.g. info or sluice_operator=debug,kube=info.
    #[arg(long, env = "SLUICE_LOG", default_value = "info")]
    pub log: String,

    /// One JSON object a line (for a cluster), or text (for people).
    #[arg(long, env = "SLUICE_LOG_FORMAT", value_enum, default_value_t = LogFormat::Json)]
    pub log_format: LogFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    Json,
    Text,
}

impl Settings {
    /// What a leader calls itself in the Lease: `<pod>/<host:port of its control server>`.
    pub fn identity(&self) -> String {
        format!("{}/{}", self.pod_name, self.control_address())
    }

    /// The names and addresses under which the control server is reached.
    pub fn server_names(&self) -> Vec<String> {
        let (service, namespace) = (&self.deployment, &self.namespace);
        vec![
            service.clone(),
            format!("{service}.{namespace}"),
            format!("{service}.{namespace}.svc"),
            format!("{service}.{namespace}.svc.cluster.local"),
            self.pod_ip.clone(),
        ]
    }

    fn control_address(&self) -> String {
        let port = self.control_listen.port();
        if self.pod_ip.contains(':') {
            return format!("[{}]:{port}", self.pod_ip);
        }
        format!("{}:{port}", self.pod_ip)
    }

    /// # Errors
    /// When two settings contradict each other; the message says which and what to do.
    pub fn check(&self) -> Result<(), String> {
        if self.lease_duration < Duration::from_secs(3) {
            return Err("--lease-duration must be at least 3s".into());
        }
        if self.lease_grace >= self.lease_duration {
            return Err("--lease-grace must be shorter than --lease-duration".into());
        }
        Ok(())
    }
}

/// `250ms`, `10s`, `5m`, `1h`; above zero and at most a day.
fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 =
        digits.parse().map_err(|_| format!("{text:?} is not like 250ms, 10s or 5m"))?;
    let unit_ms = match &text[digits.len()..] {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        unit => return Err(format!("unit {unit:?} is not one of ms, s, m, h")),
    };
    match number.checked_mul(unit_ms) {
        Some(0) => Err("must be above zero".into()),
        Some(ms) if ms <= 86_400_000 => Ok(Duration::from_millis(ms)),
        _ => Err("must be at most 24h".into()),
    }
}

/// As [`duration`], in whole seconds.
fn seconds(text: &str) -> Result<Duration, String> {
    let value = duration(text)?;
    if value.subsec_nanos() != 0 {
        return Err("must be whole seconds".into());
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<u64, &str>) {
        let found = duration(text).map(|value| u64::try_from(value.as_millis()).unwrap());
        assert_eq!(found, expected.map_err(str::to_owned), "{text}");
    }

    #[test]
    fn durations_have_a_unit_and_a_bound() {
        check("250ms", Ok(250));
        check("10s", Ok(10_000));
        check("24h", Ok(86_400_000));
        check("25h", Err("must be at most 24h"));
        check("0s", Err("must be above zero"));
        check("10", Err("unit \"\" is not one of ms, s, m, h"));
        check("soon", Err("\"soon\" is not like 250ms, 10s or 5m"));
    }

    #[test]
    fn the_identity_tells_followers_where_the_leader_is() {
        let settings = Settings::parse_from(["x", "--pod-name", "a", "--pod-ip", "10.1.2.3"]);
        assert_eq!(settings.identity(), "a/10.1.2.3:9443");
        let settings = Settings::parse_from(["x", "--pod-name", "a", "--pod-ip", "fd00::1"]);
        assert_eq!(settings.identity(), "a/[fd00::1]:9443");
    }

    #[test]
    fn a_lease_must_outlast_its_grace() {
        let flags = ["x", "--lease-duration", "5s", "--lease-grace", "5s"];
        assert!(Settings::parse_from(flags).check().unwrap_err().contains("--lease-grace"));
        assert_eq!(Settings::parse_from(["x"]).check(), Ok(()));
    }
}
