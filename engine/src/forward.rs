//! From an agent to the gateways: who gets which part of a request, and by which queue.

use crate::books::QueueKey;
use crate::compiled::{Content, Outlet};
use crate::config::{
    Auth, Compression, Config, Destination, DestinationKind, OnFull, Protocol, SecretKey,
    SecretName, Tls, TlsMode,
};
use crate::queue::Bounds;
use crate::ring::{Member, Ring, mix, slot_of};
use bytes::Bytes;
use sluice_wire::forward::{Frame, frames, write_frame};
use sluice_wire::{Portion, Signal, partition};
use std::collections::BTreeMap;
use std::time::Duration;

/// In place of a pipeline's name in the books of what goes to gateways.
pub const GATEWAYS: &str = "gateways";
/// The name that the certificates of all gateways bear.
pub const SERVER_NAME: &str = "sluice-gateway";
/// A batch leaves after this at the latest: a gateway waits for whole traces.
const BATCH_TIMEOUT: Duration = Duration::from_millis(200);
const RELAY_TIMEOUT: Duration = Duration::from_millis(10);
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

/// One queue for each gateway but the one that is asked, if it is one. Between gateways nothing waits
/// for more: traces are held until it has come.
pub fn outlets(
    config: &Config,
    ring: &Ring,
    trust: Trust,
    own_name: Option<&str>,
) -> BTreeMap<QueueKey, Outlet> {
    let members = ring.members();
    let batch_timeout = if own_name.is_some() { RELAY_TIMEOUT } else { BATCH_TIMEOUT };
    let outlet = |member: &Member| Outlet {
        bounds: Bounds { batch_timeout, ..bounds(config, members.len() as u64) },
        destination: destination(member, trust, config.gateway.compression),
        content: Content::Forward,
    };
    let others = members.iter().filter(|member| Some(&*member.name) != own_name);
    others.map(|member| (key(member), outlet(member))).collect()
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

fn destination(member: &Member, trust: Trust, compression: Compression) -> Destination {
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
        compression,
        timeout_ms: 10_000,
    }
}

/// A surveyed request, cut for the members of a ring: for each, by its place, a forward and its
/// spans. Members that get nothing have an empty one.
pub fn cut(ring: &Ring, frame: &Frame<'_>) -> Vec<(Bytes, u64)> {
    let portions = portions(ring, frame);
    portions.into_iter().zip(0..).map(|(portion, at)| enclose(ring, frame, portion, at)).collect()
}

/// What the member at this place of the ring gets of a frame: a forward and its spans; of no spans an
/// empty one.
pub fn enclose(ring: &Ring, frame: &Frame<'_>, portion: Portion, at: u64) -> (Bytes, u64) {
    let spans = u64::from(portion.spans);
    if spans == 0 {
        return (Bytes::new(), 0);
    }
    let id = part_id(frame.id, at);
    let (bytes, start) = portion.into_forward(&Frame { id, epoch: ring.epoch(), ..*frame });
    (Bytes::from(bytes).slice(start..), spans)
}

/// Of the part of a frame that goes to one member: no other part of it or of any other frame has the
/// same, however often they are cut again.
fn part_id(id: u64, member: u64) -> u64 {
    mix(id.wrapping_add(mix(member.wrapping_add(1))))
}

/// The request of a frame, cut for the members of a ring.
pub fn portions(ring: &Ring, frame: &Frame<'_>) -> Vec<Portion> {
    let owner = |id: &[u8]| match id.try_into() {
        Ok(id) => ring.place(slot_of(id)),
        // Without a trace id there is no owner: any will drop and count it.
        Err(_) => 0,
    };
    partition(frame.body, (ring.members().len(), frame.room()), owner)
}

/// With this frame alone.
pub fn forward(frame: &Frame<'_>) -> Bytes {
    let mut forward = Vec::new();
    write_frame(frame, &mut forward);
    Bytes::from(forward)
}

/// Whether a forward was cut for an older ring than this.
pub fn is_older(ring: &Ring, forward: &[u8]) -> bool {
    frames(forward).any(|frame| frame.epoch < ring.epoch())
}

/// A forward of one frame that was cut for another ring, cut again. One that tells of decided traces
/// is cut to nothing: the gateway that decided them tells it to the new owners.
pub fn cut_again(ring: &Ring, forward: &[u8]) -> Vec<(Bytes, u64)> {
    let nothing = || vec![(Bytes::new(), 0); ring.members().len()];
    frames(forward).next().map_or_else(nothing, |frame| cut(ring, &frame))
}
