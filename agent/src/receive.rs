//! The way in: OTLP over gRPC and HTTP, bounded in everything a peer could make large; and where
//! senders ask how much to send.

mod answer;
mod forward;
mod grpc;
mod guard;
mod http;
mod inflate;
mod listen;
mod remote_sampling;

pub(crate) use forward::Forwards;
pub use guard::Guard;
pub(crate) use listen::{Door, Listener, Offer, bind};

use crate::intake::{Intake, Refusal};
use crate::meter::Permit;
use bytes::Bytes;
use inflate::{Encoding, inflate};
use sluice_engine::books::Refused;
use sluice_engine::lane::Lane;
use sluice_engine::sender::{Sender, Source};
use sluice_wire::Signal;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// A body that stands still for longer is given up.
const BODY_PROGRESS_MAX: Duration = Duration::from_secs(10);
/// However it moves, a body arrives within this.
const BODY_TIME_MAX: Duration = Duration::from_secs(60);
/// From the connection to the end of the first headers.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// After a connection was told to go.
const GRACE: Duration = Duration::from_secs(10);
const STREAMS_MAX: u32 = 128;
const STREAM_WINDOW_BYTES: u32 = 4 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;
/// Small frames may cost this much more than their bytes before the connection is closed.
const DATA_FRAME_BUDGET_BYTES: usize = 8 << 20;
const FRAME_BYTES_MAX: u32 = 1 << 20;
const HEADER_BYTES_MAX: u32 = 16 * 1024;
const RESET_STREAMS_MAX: usize = 32;
/// Between a gRPC message's start and its content: a flag and the length.
const PREFIX_BYTES: usize = 5;

/// What the requests of one connection share.
struct Session {
    intake: Intake,
    way: Way,
    bytes_max: usize,
}

/// What a connection may bring.
enum Way {
    /// Export requests of one sender.
    Otlp(Box<Mutex<Lane>>),
    /// Forwards, into a gateway.
    Forward(Arc<Forwards>),
    /// Questions of one sender for its rate.
    RemoteSampling(Sender),
}

/// Of a gRPC request.
#[derive(Clone, Copy)]
enum Method {
    Export(Signal),
    Forward,
    RemoteSampling,
}

impl Method {
    /// What refusals are counted under.
    fn signal(self) -> Option<Signal> {
        match self {
            Self::Export(signal) => Some(signal),
            Self::Forward => Some(Signal::Traces),
            Self::RemoteSampling => None,
        }
    }
}

impl Session {
    fn new(intake: Intake, sender: Sender, bytes_max: u64) -> Self {
        let lane = intake.lane(sender, Source::Otlp);
        let way = Way::Otlp(Box::new(Mutex::new(lane)));
        Self { intake, way, bytes_max: usize::try_from(bytes_max).unwrap_or(usize::MAX) }
    }

    fn of_gateway(intake: Intake, forwards: Arc<Forwards>, bytes_max: u64) -> Self {
        let bytes_max = usize::try_from(bytes_max).unwrap_or(usize::MAX);
        Self { intake, way: Way::Forward(forwards), bytes_max }
    }

    fn of_remote_sampler(intake: Intake, sender: Sender) -> Self {
        let bytes_max = remote_sampling::REQUEST_BYTES_MAX;
        Self { intake, way: Way::RemoteSampling(sender), bytes_max }
    }

    /// The gRPC method of a path, where this connection may use it.
    fn method(&self, path: &str) -> Option<Method> {
        match &self.way {
            Way::Otlp(_) => {
                let signal = Signal::ALL.into_iter().find(|signal| signal.grpc_path() == path);
                signal.map(Method::Export)
            }
            Way::Forward(_) => (path == sluice_wire::forward::PATH).then_some(Method::Forward),
            Way::RemoteSampling(_) => {
                (path == sluice_wire::jaeger::PATH).then_some(Method::RemoteSampling)
            }
        }
    }

    /// For who asks for another method.
    fn offer(&self) -> &'static str {
        match &self.way {
            Way::Otlp(_) | Way::Forward(_) => "OTLP traces, metrics and logs are served",
            Way::RemoteSampling(_) => "Jaeger's GetSamplingStrategy is served here, OTLP elsewhere",
        }
    }

    /// # Errors
    /// When whoever shows this `authorization` may not send here.
    async fn check(&self, authorization: &[u8]) -> Result<(), Refusal> {
        match &self.way {
            Way::Otlp(_) | Way::RemoteSampling(_) => Ok(()),
            Way::Forward(forwards) => forwards.guard.check(authorization).await,
        }
    }

    fn permit(&self) -> Permit {
        self.intake.flow().meter.permit()
    }

    /// Counts a request that was refused before its items could be.
    fn refuse(&self, method: Method, refusal: Refusal) -> Refusal {
        match method.signal() {
            Some(signal) => self.intake.flow().refuse(signal, 1, refusal),
            None => refusal,
        }
    }

    /// What arrived, inflated. The permit covers the result.
    fn unpack(
        &self,
        encoding: Encoding,
        body: Bytes,
        permit: &mut Permit,
    ) -> Result<Bytes, Refusal> {
        if encoding == Encoding::Identity {
            return Ok(body);
        }
        let received = body.len() as u64;
        if !permit.grow(self.bytes_max as u64) {
            return Err(crate::flow::short_of_memory());
        }
        let inflated = inflate(encoding, &body, self.bytes_max)?;
        permit.shrink_to(received + inflated.len() as u64);
        Ok(inflated)
    }

    /// The message that answers; it is empty where all was accepted.
    fn submit(&self, method: Method, body: Bytes) -> Result<Vec<u8>, Refusal> {
        match (&self.way, method) {
            (Way::Otlp(lane), Method::Export(signal)) => {
                let mut lane = lane.lock().unwrap_or_else(PoisonError::into_inner);
                self.intake.submit(&mut lane, signal, body, None).map(|()| Vec::new())
            }
            (Way::Forward(forwards), _) => forwards.submit(&body),
            (Way::RemoteSampling(sender), _) => {
                remote_sampling::answer(self.intake.flow(), sender, &body)
            }
            (Way::Otlp(_), Method::Forward | Method::RemoteSampling) => {
                Err(Refusal::for_good(Refused::Unsupported, self.offer()))
            }
        }
    }
}

fn too_large(bytes_max: usize) -> Refusal {
    let message = format!("the message is larger than {bytes_max} bytes; send smaller batches");
    Refusal::for_good(Refused::TooLarge, message)
}

fn timed_out() -> Refusal {
    Refusal::for_now(Refused::TimedOut, "the body did not arrive in time")
}
