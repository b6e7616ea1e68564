//! etcd, the API server, the controller manager and the scheduler.

use super::{Cluster, NODE_ADDRESS, POD_RANGE, Programs, SERVICE_RANGE};
use super::{configuration, processes};
use anyhow::Result;
use std::time::Duration;

const READY_LIMIT: Duration = Duration::from_secs(90);

/// Starts the control plane and waits until it answers.
pub(super) fn start(cluster: &Cluster, programs: &Programs) -> Result<()> {
    processes::start(cluster, "etcd", &programs.node.join("server"), &etcd(cluster))?;
    cluster.write("audit-policy.json", &configuration::audit_policy().to_string())?;
    let api_server = programs.kube.join("kube-apiserver");
    processes::start(cluster, "kube-apiserver", &api_server, &api_server_flags(cluster))?;
    processes::wait(cluster, "kube-apiserver answers", READY_LIMIT, || {
        cluster.kubectl(&["get", "--raw", "/readyz"]).is_ok()
    })?;
    let manager = programs.kube.join("kube-controller-manager");
    processes::start(cluster, "controller-manager", &manager, &manager_flags(cluster))?;
    let scheduler = programs.kube.join("kube-scheduler");
    processes::start(cluster, "scheduler", &scheduler, &scheduler_flags(cluster))
}

/// What the controller manager makes first; without it no pod is admitted.
pub(super) fn wait_for_defaults(cluster: &Cluster) -> Result<()> {
    processes::wait(cluster, "default service account", READY_LIMIT, || {
        cluster.kubectl(&["get", "serviceaccount", "default"]).is_ok()
    })
}

/// One member, without the disk flushes that make it survive a power failure.
fn etcd(cluster: &Cluster) -> Vec<String> {
    vec![
        format!("--data-dir={}", cluster.path("etcd").display()),
        "--unsafe-no-fsync".into(),
        "--listen-client-urls=http://127.0.0.1:2379".into(),
        "--advertise-client-urls=http://127.0.0.1:2379".into(),
        "--listen-peer-urls=http://127.0.0.1:2380".into(),
        "--initial-advertise-peer-urls=http://127.0.0.1:2380".into(),
        "--initial-cluster=default=http://127.0.0.1:2380".into(),
    ]
}

fn api_server_flags(cluster: &Cluster) -> Vec<String> {
    let file = |flag: &str, name: &str| format!("--{flag}={}", cluster.certificate(name).display());
    vec![
        "--etcd-servers=http://127.0.0.1:2379".into(),
        "--bind-address=0.0.0.0".into(),
        "--secure-port=6443".into(),
        format!("--advertise-address={NODE_ADDRESS}"),
        format!("--service-cluster-ip-range={SERVICE_RANGE}"),
        "--allow-privileged=true".into(),
        "--authorization-mode=Node,RBAC".into(),
        "--enable-admission-plugins=NodeRestriction".into(),
        "--profiling=false".into(),
        file("client-ca-file", "ca.crt"),
        file("tls-cert-file", "kube-apiserver.crt"),
        file("tls-private-key-file", "kube-apiserver.key"),
        file("kubelet-certificate-authority", "ca.crt"),
        file("kubelet-client-certificate", "kubelet-client.crt"),
        file("kubelet-client-key", "kubelet-client.key"),
        "--kubelet-preferred-address-types=InternalIP".into(),
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local".into(),
        file("service-account-key-file", "service-accounts.pub"),
        file("service-account-signing-key-file", "service-accounts.key"),
        file("requestheader-client-ca-file", "front-proxy-ca.crt"),
        "--requestheader-allowed-names=front-proxy-client".into(),
        "--requestheader-username-headers=X-Remote-User".into(),
        "--requestheader-group-headers=X-Remote-Group".into(),
        "--requestheader-extra-headers-prefix=X-Remote-Extra-".into(),
        file("proxy-client-cert-file", "front-proxy-client.crt"),
        file("proxy-client-key-file", "front-proxy-client.key"),
        format!("--audit-policy-file={}", cluster.path("audit-policy.json").display()),
        format!("--audit-log-path={}", cluster.audit_log().display()),
        // MB: never rotated, since the tests read it as a whole.
        "--audit-log-maxsize=10000".into(),
    ]
}

fn manager_flags(cluster: &Cluster) -> Vec<String> {
    let file = |flag: &str, name: &str| format!("--{flag}={}", cluster.certificate(name).display());
    let mut flags = client_flags(cluster, "controller-manager");
    flags.extend([
        "--use-service-account-credentials=true".into(),
        // Its own limits make a start five seconds slower.
        "--kube-api-qps=500".into(),
        "--kube-api-burst=1000".into(),
        "--allocate-node-cidrs=true".into(),
        format!("--cluster-cidr={POD_RANGE}"),
        format!("--service-cluster-ip-range={SERVICE_RANGE}"),
        file("root-ca-file", "ca.crt"),
        file("client-ca-file", "ca.crt"),
        file("requestheader-client-ca-file", "front-proxy-ca.crt"),
        file("cluster-signing-cert-file", "ca.crt"),
        file("cluster-signing-key-file", "ca.key"),
        file("service-account-private-key-file", "service-accounts.key"),
    ]);
    flags
}

fn scheduler_flags(cluster: &Cluster) -> Vec<String> {
    client_flags(cluster, "scheduler")
}

/// What the two clients of the API server have in common.
fn client_flags(cluster: &Cluster, user: &str) -> Vec<String> {
    let kubeconfig = cluster.kubeconfig(user);
    let mut flags: Vec<String> =
        ["kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig"]
            .iter()
            .map(|flag| format!("--{flag}={}", kubeconfig.display()))
            .collect();
    flags.push("--bind-address=127.0.0.1".into());
    flags.push("--leader-elect=false".into());
    flags.push("--profiling=false".into());
    flags
}

#[cfg(test)]
mod tests {
    use super::super::API_SERVICE_ADDRESS;
    use super::*;

    #[test]
    fn the_api_server_audits_and_authorizes_by_rbac() {
        let flags = api_server_flags(&Cluster { folder: "/run/c".into() });
        assert!(flags.contains(&"--authorization-mode=Node,RBAC".to_owned()));
        assert!(flags.contains(&"--audit-log-path=/run/c/logs/audit.log".to_owned()));
    }

    #[test]
    fn the_api_service_is_in_the_service_range() {
        let network = SERVICE_RANGE.trim_end_matches(".0.0/16");
        assert!(API_SERVICE_ADDRESS.starts_with(network));
    }
}
