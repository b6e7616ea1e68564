//! What a sender says about itself counts only where it cannot be known better.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are tests")]

mod support;

use prost::Message;
use sluice_agent::pods::PodTable;
use sluice_agent::{Senders, Settings, start};
use sluice_engine::books::Dropped;
use sluice_engine::config::{Compression, Config, EnrichKubernetes, Namespaces, Protocol};
use sluice_engine::sender::{Pod, Workload, WorkloadKind};
use sluice_wire::Signal;
use std::collections::BTreeMap;
use support::client::{Grpc, frame};
use support::oracle::Oracle;
use support::sampling::{policy, sampling};
use support::*;

const FORGED: [(&str, &str); 7] = [
    ("k8s.pod.label.tier", "gold"),
    ("k8s.namespace.annotation.owner", "me"),
    ("k8s.namespace.name", "bank"),
    ("k8s.pod.name", "vault-0"),
    ("k8s.deployment.name", "vault"),
    ("sluice.sender", "known"),
    ("service.name", "cart"),
];

fn pod() -> Pod {
    Pod {
        namespace: "shop".into(),
        name: "cart-7d4b9-x2x".into(),
        uid: "1b9d".into(),
        node: "node-1".into(),
        workload: Some(Workload { kind: WorkloadKind::Deployment, name: "cart".into() }),
        containers: vec!["cart".into()],
        labels: BTreeMap::from([("app".into(), "cart".into())]),
    }
}

/// Sends forged telemetry to a collector that knows the pods of `table`.
async fn forge(table: PodTable, config: Config) -> sluice_engine::books::Books {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings { senders: Senders::Pods(table), ..settings(&folder) };
    let running = start(config, settings).await.unwrap();
    let mut grpc = Grpc::connect(running.grpc_address()).await;
    let body = traces(0..5, &FORGED).encode_to_vec();
    let status = grpc.call(Signal::Traces.grpc_path(), &[], frame(false, &body)).await;
    assert_eq!(status.code, 0);
    stop(running).await
}

fn config_for(oracle: std::net::SocketAddr) -> Config {
    let destination = otlp(oracle, Protocol::Grpc, Compression::None);
    let mut config = config_to(&[("shop/tempo", destination)]);
    config.cluster.name = "prod".into();
    config.cluster.environment = "live".into();
    config
}

fn text(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_known_pod_is_stamped_over_what_it_claims() {
    let (oracle, address) = Oracle::start().await;
    let table = PodTable::default();
    table.put(pod(), vec!["127.0.0.1".parse().unwrap()]);
    let mut config = config_for(address);
    let pipeline = config.pipelines.get_mut("shop/shop").unwrap();
    pipeline.namespaces = Namespaces::Only(["shop".to_owned()].into());
    pipeline.enrich.kubernetes = EnrichKubernetes::Full;
    pipeline.enrich.pod_labels = vec!["app".into()];
    pipeline.enrich.resource_attributes = text(&[("team", "checkout")]);
    forge(table, config).await;
    let expected = text(&[
        ("service.name", "cart"),
        ("k8s.namespace.name", "shop"),
        ("k8s.pod.name", "cart-7d4b9-x2x"),
        ("k8s.pod.uid", "1b9d"),
        ("k8s.node.name", "node-1"),
        ("k8s.deployment.name", "cart"),
        ("k8s.container.name", "cart"),
        ("k8s.pod.label.app", "cart"),
        ("k8s.cluster.name", "prod"),
        ("deployment.environment.name", "live"),
        ("team", "checkout"),
    ]);
    assert_eq!(*oracle.resource.lock().unwrap(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_is_about_the_pods_of_its_namespace_whatever_they_claim() {
    for (namespace, arrives) in [("bank", 5), ("shop", 0)] {
        let (oracle, address) = Oracle::start().await;
        let table = PodTable::default();
        table.put(pod(), vec!["127.0.0.1".parse().unwrap()]);
        let mut drops_all = policy();
        drops_all.scope.namespace = Some(namespace.to_owned());
        drops_all.default_ppm = Some(0);
        let config = Config { sampling: sampling(drops_all, 1), ..config_for(address) };
        let books = forge(table, config).await;
        assert_eq!(oracle.ids().len(), arrives, "a policy of {namespace}");
        let book = &books.pipelines[&("shop/shop".to_owned(), Signal::Traces)];
        assert_eq!((book.accepted, book.queued), (5, arrives as u64));
        if 0 < arrives {
            let stamped = oracle.resource.lock().unwrap();
            assert_eq!(stamped["k8s.namespace.name"], "shop");
            assert_eq!(stamped["k8s.pod.name"], "cart-7d4b9-x2x");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_cannot_reach_another_namespaces_pipeline() {
    let (oracle, address) = Oracle::start().await;
    let table = PodTable::default();
    table.put(pod(), vec!["127.0.0.1".parse().unwrap()]);
    let mut config = config_for(address);
    config.pipelines.get_mut("shop/shop").unwrap().namespaces =
        Namespaces::Only(["bank".to_owned()].into());
    let books = forge(table, config).await;
    assert_eq!(oracle.requests(), 0);
    let book = &books.pipelines[&(String::new(), Signal::Traces)];
    assert_eq!(book.dropped[&Dropped::NoPipeline], 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_sender_is_marked_and_reaches_only_pipelines_of_every_namespace() {
    let (oracle, address) = Oracle::start().await;
    let mut config = config_for(address);
    let mut narrow = config.pipelines["shop/shop"].clone();
    narrow.namespaces = Namespaces::Only(["bank".to_owned()].into());
    config.pipelines.insert("bank/bank".into(), narrow);
    let table = PodTable::default();
    let books = forge(table.clone(), config).await;
    let expected = text(&[
        ("service.name", "cart"),
        ("sluice.sender", "unknown"),
        ("k8s.cluster.name", "prod"),
        ("deployment.environment.name", "live"),
    ]);
    assert_eq!(*oracle.resource.lock().unwrap(), expected);
    assert_eq!(books.pipelines[&("bank/bank".into(), Signal::Traces)].accepted, 0);
    assert_eq!(table.unknown_peers(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn in_local_mode_each_resource_goes_where_it_says() {
    let (shop, shop_address) = Oracle::start().await;
    let (bank, bank_address) = Oracle::start().await;
    let mut config = config_to(&[
        ("shop/tempo", otlp(shop_address, Protocol::Grpc, Compression::None)),
        ("bank/tempo", otlp(bank_address, Protocol::Grpc, Compression::None)),
    ]);
    for name in ["shop", "bank"] {
        let mut own = pipeline(&[format!("{name}/tempo")]);
        own.namespaces = Namespaces::Only([name.to_owned()].into());
        config.pipelines.insert(format!("{name}/{name}"), own);
    }
    let (running, _folder) = run(config).await;
    let mut request = traces(0..5, &[("k8s.namespace.name", "shop")]);
    request.resource_spans.extend(traces(5..9, &[("k8s.namespace.name", "bank")]).resource_spans);
    request.resource_spans.extend(traces(9..11, &[("k8s.namespace.name", "none")]).resource_spans);
    request.resource_spans.extend(traces(11..14, &[("k8s.namespace.name", "shop")]).resource_spans);
    let body = request.encode_to_vec();
    let mut grpc = Grpc::connect(running.grpc_address()).await;
    let status = grpc.call(Signal::Traces.grpc_path(), &[], frame(false, &body)).await;
    assert_eq!(status.code, 0);
    let books = stop(running).await;
    assert_eq!(shop.ids(), (0..5).chain(11..14).collect());
    assert_eq!(bank.ids(), (5..9).collect());
    assert_eq!(books.pipelines[&(String::new(), Signal::Traces)].accepted, 2);
}
