//! The configuration files of the cluster's programs. Kubernetes reads JSON wherever it reads YAML.

use super::{Cluster, NODE, NODE_ADDRESS, POD_RANGE, POD_RANGE_NODE};
use serde_json::{Value, json};
use std::path::Path;

/// The name under which the sandbox image stands on the node.
pub(crate) const PAUSE_IMAGE: &str = "sluice.dev/pause:1";

pub(super) fn kubeconfig(cluster: &Cluster, user: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "sluice", "cluster": {
            "server": "https://127.0.0.1:6443",
            "certificate-authority": cluster.certificate("ca.crt"),
        }}],
        "users": [{"name": user, "user": {
            "client-certificate": cluster.certificate(&format!("{user}.crt")),
            "client-key": cluster.certificate(&format!("{user}.key")),
        }}],
        "contexts": [{"name": "sluice", "context": {"cluster": "sluice", "user": user}}],
        "current-context": "sluice",
    })
}

/// Every request, without bodies: the tests compare the verbs used with the rules granted.
pub(super) fn audit_policy() -> Value {
    json!({
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": [{"level": "Metadata"}],
    })
}

pub(super) fn kubelet(cluster: &Cluster) -> Value {
    let endpoint = format!("unix://{}", cluster.path("containerd.sock").display());
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": NODE_ADDRESS,
        "authentication": {
            "anonymous": {"enabled": false},
            "webhook": {"enabled": true},
            "x509": {"clientCAFile": cluster.certificate("ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": format!("/{}", super::cgroups::NAME),
        "clusterDNS": [NODE_ADDRESS],
        "clusterDomain": "cluster.local",
        "containerLogMaxSize": "10Mi",
        "containerLogMonitorInterval": "3s",
        "containerRuntimeEndpoint": &endpoint,
        // The disk belongs to the host: nothing is evicted or collected for want of it.
        "evictionHard": {
            "memory.available": "0%",
            "nodefs.available": "0%",
            "nodefs.inodesFree": "0%",
            "imagefs.available": "0%",
        },
        "failCgroupV1": false,
        "failSwapOn": false,
        "healthzBindAddress": "127.0.0.1",
        "imageGCHighThresholdPercent": 100,
        "imageMinimumGCAge": "87600h",
        "imagePullCredentialsVerificationPolicy": "NeverVerify",
        "imageServiceEndpoint": &endpoint,
        "oomScoreAdj": 0,
        "registerNode": true,
        "resolvConf": cluster.path("resolv.conf"),
        "serializeImagePulls": false,
        "staticPodPath": cluster.path("static-pods"),
        "tlsCertFile": cluster.certificate("kubelet-server.crt"),
        "tlsPrivateKeyFile": cluster.certificate("kubelet-server.key"),
        "volumePluginDir": cluster.path("volume-plugins"),
    })
}

pub(super) fn kube_proxy(cluster: &Cluster) -> Value {
    json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "bindAddress": NODE_ADDRESS,
        "clientConnection": {"kubeconfig": cluster.kubeconfig("kube-proxy")},
        "clusterCIDR": POD_RANGE,
        // The host's connection table is not ours to size.
        "conntrack": {
            "maxPerCore": 0,
            "min": 0,
            "tcpCloseWaitTimeout": "0s",
            "tcpEstablishedTimeout": "0s",
        },
        "healthzBindAddress": "127.0.0.1:10256",
        "hostnameOverride": NODE,
        "metricsBindAddress": "127.0.0.1:10249",
        "mode": "nftables",
        "oomScoreAdj": 0,
    })
}

/// Pods on a bridge, without masquerading: a server sees its client's own address.
pub(super) fn pod_network(cluster: &Cluster) -> Value {
    json!({
        "cniVersion": "1.0.0",
        "name": "sluice",
        "plugins": [
            {
                "type": "bridge",
                "bridge": "pods0",
                "hairpinMode": true,
                "ipMasq": false,
                "isGateway": true,
                "ipam": {
                    "type": "host-local",
                    "dataDir": cluster.path("pod-addresses"),
                    "ranges": [[{"subnet": POD_RANGE_NODE}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                },
            },
            {"type": "portmap", "capabilities": {"portMappings": true}},
        ],
    })
}

/// containerd reads TOML only. Paths are quoted as TOML's basic strings, which are JSON's.
pub(super) fn containerd(cluster: &Cluster, plugins: &Path, runc: &Path) -> String {
    let quoted = |path: &Path| Value::from(path.to_string_lossy()).to_string();
    let own = |name: &str| quoted(&cluster.path(name));
    format!(
        r#"version = 3
root = {root}
state = {state}
disabled_plugins = ["io.containerd.internal.v1.opt", "io.containerd.nri.v1.nri"]

[grpc]
address = {socket}

[plugins."io.containerd.cri.v1.images"]
snapshotter = "overlayfs"
pinned_images = {{ sandbox = "{PAUSE_IMAGE}" }}
registry = {{ config_path = {registries} }}

[plugins."io.containerd.cri.v1.runtime"]
disable_apparmor = true
restrict_oom_score_adj = true
netns_mounts_under_state_dir = true

[plugins."io.containerd.cri.v1.runtime".cni]
bin_dirs = [{plugins}]
conf_dir = {network}

[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
BinaryName = {runc}
Root = {runc_state}
SystemdCgroup = false

[plugins."io.containerd.grpc.v1.cri"]
stream_server_address = "127.0.0.1"
"#,
        root = own("containerd"),
        state = own("containerd-state"),
        socket = own("containerd.sock"),
        registries = own("registries"),
        plugins = quoted(plugins),
        network = own("pod-network"),
        runc = quoted(runc),
        runc_state = own("runc"),
    )
}

/// CoreDNS on the node's address: the cluster's names and nothing beyond.
pub(super) fn corefile(cluster: &Cluster) -> String {
    format!(
        ".:53 {{
    bind {NODE_ADDRESS}
    errors
    ready {NODE_ADDRESS}:8181
    kubernetes cluster.local in-addr.arpa {{
        kubeconfig {} sluice
        pods insecure
        ttl 1
    }}
}}
",
        cluster.kubeconfig("coredns").display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster() -> Cluster {
        Cluster { folder: "/run/a \"b\"".into() }
    }

    #[test]
    fn a_kubeconfig_names_the_certificates_of_its_user() {
        let config = kubeconfig(&cluster(), "admin");
        let user = &config["users"][0]["user"];
        assert_eq!(user["client-key"], "/run/a \"b\"/certificates/admin.key");
    }

    #[test]
    fn paths_are_quoted_in_toml() {
        let text = containerd(&cluster(), Path::new("/programs"), Path::new("/usr/sbin/runc"));
        assert!(text.contains(r#"root = "/run/a \"b\"/containerd""#), "{text}");
        assert!(text.contains(r#"bin_dirs = ["/programs"]"#), "{text}");
    }

    #[test]
    fn every_request_is_audited() {
        assert_eq!(audit_policy()["rules"], json!([{"level": "Metadata"}]));
    }

    #[test]
    fn the_node_answers_names_itself() {
        assert_eq!(kubelet(&cluster())["clusterDNS"], json!([NODE_ADDRESS]));
        assert!(corefile(&cluster()).contains("bind 10.99.0.1"));
    }
}
