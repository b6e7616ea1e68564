//! From an agent to the gateways: who gets which part of a request, and by which queue.

use crate::books::QueueKey;
use crate::compiled::{Content, Outlet};
use crate::config::{
    Auth, Compression, Config, Destination, DestinationKind, OnFull, Protocol, SecretKey,
    SecretName, Tls, TlsMode,
};
use crate::queue::Bounds;
use crate::ring::{Member, Ring, slot_of};
use bytes::Bytes;
use sluice_wire::Signal;
use sluice_wire::forward::{Frame, frames, write_frame};
use sluice_wire::partition;
use std::collections::BTreeMap;
use std::time::Duration;

/// In place of a pipeline's name in the books of what goes to gateways.
pub const GATEWAYS: &str = "gateways";
/// The name that the certificates of all gateways bear.
pub const SERVER_NAME: &str = "sluice-gateway";
/// A batch leaves after this at the latest: a gateway waits for whole traces.
const BATCH_TIMEOUT: Duration = Duration::from_millis(200);
/// Of the soft limit, the part that waits for all gateways together at most.
const QUEUES_SHARE: u64 = 2;

/// How agents show who they are, and whom they believe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// TLS by the fleet's authority, and the agent's token.
    Token,
    /// Neither: for gateways on the same machine.
    Nothing,
}

/// Where a collector keeps what it needs to speak to gateways: `ca.crt` and `token`. No Secret of a
/// cluster has such a name.
pub fn credentials() -> SecretName {
    SecretName { namespace: String::new(), name: "gateways".to_owned() }
}

/// One queue a gateway.
pub fn outlets(config: &Config, ring: &Ring, trust: Trust) -> BTreeMap<QueueKey, Outlet> {
    let members = ring.members();
    let outlet = |member: &Member| Outlet {
        bounds: bounds(config, members.len() as u64),
        destination: destination(member, trust),
        content: Content::Forward,
    };
    members.iter().map(|member| (key(member), outlet(member))).collect()
}

pub fn key(member: &Member) -> QueueKey {
    QueueKey {
        pipeline: GATEWAYS.to_owned(),
        destination: member.name.clone(),
        signal: Signal::Traces,
    }
}

/// What cannot be sent blocks: senders are refused, retryably, rather than traces torn.
fn bounds(config: &Config, members: u64) -> Bounds {
    Bounds {
        batch_timeout: BATCH_TIMEOUT,
        batch_items: u64::from(config.batch.items),
        batch_bytes_max: config.batch.bytes_max,
        bytes_max: config.limiter.soft_bytes / QUEUES_SHARE / members.max(1),
        age_max: Duration::from_secs(3600),
        retry_initial: Duration::from_millis(100),
        retry_max: Duration::from_secs(5),
        retry_elapsed_max: Duration::from_secs(3600),
        on_full: OnFull::Block,
    }
}

fn destination(member: &Member, trust: Trust) -> Destination {
    let key = |key: &str| SecretKey { secret: credentials(), key: key.to_owned() };
    let (mode, ca, auth) = match trust {
        Trust::Token => (TlsMode::Verify, Some(key("ca.crt")), Auth::Bearer(key("token"))),
        Trust::Nothing => (TlsMode::Plaintext, None, Auth::None),
    };
    Destination {
        kind: DestinationKind::Otlp {
            endpoint: member.address.clone(),
            protocol: Protocol::Grpc,
            tenant: String::new(),
        },
        tls: Tls { mode, ca, client: None, server_name: SERVER_NAME.to_owned() },
        auth,
        headers: BTreeMap::new(),
        compression: Compression::Zstd,
        timeout_ms: 10_000,
    }
}

/// A surveyed request, cut for the members of a ring: for each, by its place, a forward and its
/// spans. Members that get nothing have an empty one. Frames are numbered from `id` on.
pub fn cut(ring: &Ring, sender: &[u8], body: &[u8], id: u64) -> Vec<(Bytes, u64)> {
    let owner = |id: &[u8]| match id.try_into() {
        Ok(id) => usize::from(ring.slots()[usize::from(slot_of(id))]),
        // Without a trace id there is no owner: any will drop and count it.
        Err(_) => 0,
    };
    let portions = partition(body, ring.members().len(), owner);
    let forwards = portions.into_iter().zip(0..).map(|(portion, at)| {
        let mut forward = Vec::new();
        if 0 < portion.spans {
            forward.reserve(portion.body.len() + sender.len() + 32);
            let id = id.wrapping_add(at);
            let frame = Frame { sender, body: &portion.body, spans: portion.spans, id };
            write_frame(&frame, &mut forward);
        }
        (Bytes::from(forward), u64::from(portion.spans))
    });
    forwards.collect()
}

/// A forward that was cut for another ring, cut again.
pub fn cut_again(ring: &Ring, forward: &[u8]) -> Vec<(Bytes, u64)> {
    let mut together = vec![(Vec::new(), 0); ring.members().len()];
    for frame in frames(forward).unwrap_or_default() {
        for ((whole, spans), (part, more)) in
            together.iter_mut().zip(cut(ring, frame.sender, frame.body, frame.id))
        {
            whole.extend_from_slice(&part);
            *spans += more;
        }
    }
    together.into_iter().map(|(whole, spans)| (Bytes::from(whole), spans)).collect()
}
