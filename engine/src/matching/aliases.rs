//! Attributes that OpenTelemetry's semantic conventions renamed: old and new names are one attribute.
//!
//! Source: `model/*/deprecated/registry-deprecated.yaml` and `docs/non-normative/*-migration.md` of
//! open-telemetry/semantic-conventions, August 2026. Only names whose values kept their meaning:
//! `rpc.system` and `rpc.grpc.status_code` changed theirs.

/// New name, old name. `net.peer.*` is what became of it on spans of clients.
const RENAMED: &[(&str, &str)] = &[
    ("http.request.method", "http.method"),
    ("http.response.status_code", "http.status_code"),
    ("http.request.body.size", "http.request_content_length"),
    ("http.response.body.size", "http.response_content_length"),
    ("http.request.resend_count", "http.resend_count"),
    ("url.full", "http.url"),
    ("url.scheme", "http.scheme"),
    ("user_agent.original", "http.user_agent"),
    ("client.address", "http.client_ip"),
    ("server.address", "net.peer.name"),
    ("server.address", "net.host.name"),
    ("server.address", "http.server_name"),
    ("server.port", "net.peer.port"),
    ("server.port", "net.host.port"),
    ("network.peer.address", "net.sock.peer.addr"),
    ("network.peer.address", "net.peer.ip"),
    ("network.peer.port", "net.sock.peer.port"),
    ("network.local.address", "net.sock.host.addr"),
    ("network.local.address", "net.host.ip"),
    ("network.local.port", "net.sock.host.port"),
    ("network.protocol.name", "net.protocol.name"),
    ("network.protocol.version", "net.protocol.version"),
    ("db.system.name", "db.system"),
    ("db.namespace", "db.name"),
    ("db.query.text", "db.statement"),
    ("db.operation.name", "db.operation"),
    ("db.collection.name", "db.sql.table"),
    ("db.collection.name", "db.mongodb.collection"),
    ("db.collection.name", "db.cassandra.table"),
    ("db.collection.name", "db.cosmosdb.container"),
    ("messaging.operation.type", "messaging.operation"),
    ("messaging.client.id", "messaging.client_id"),
    ("messaging.consumer.group.name", "messaging.kafka.consumer.group"),
    ("messaging.consumer.group.name", "messaging.eventhubs.consumer.group"),
    (
        "messaging.destination.subscription.name",
        "messaging.servicebus.destination.subscription_name",
    ),
    ("messaging.kafka.offset", "messaging.kafka.message.offset"),
    ("deployment.environment.name", "deployment.environment"),
    ("container.runtime.name", "container.runtime"),
    ("service.peer.name", "peer.service"),
    ("code.file.path", "code.filepath"),
    ("code.line.number", "code.lineno"),
    ("code.column.number", "code.column"),
    ("feature_flag.provider.name", "feature_flag.provider_name"),
    ("feature_flag.result.variant", "feature_flag.variant"),
];

/// Old name, and what holds nearly the same now. `http.target` became `url.path` and `url.query`:
/// who asks for it means the path; who asks for the path does not mean the target.
const SPLIT: &[(&str, &str)] = &[("http.target", "url.path")];

/// All names of the attribute `key`, in the order in which they count: the newest first.
pub(super) fn names(key: &str) -> Vec<String> {
    let renamed = RENAMED.iter().find(|(_, old)| *old == key);
    let names = match renamed {
        Some((new, old)) => vec![*new, *old],
        None => {
            let olds = RENAMED.iter().filter(|(new, _)| *new == key).map(|(_, old)| *old);
            let parts = SPLIT.iter().filter(|(old, _)| *old == key).map(|(_, part)| *part);
            std::iter::once(key).chain(olds).chain(parts).collect()
        }
    };
    names.into_iter().map(str::to_owned).collect()
}
