//! The way in: OTLP over gRPC and HTTP, bounded in everything a peer could make large.

mod answer;
mod forward;
mod grpc;
mod guard;
mod http;
mod inflate;
mod listen;

pub(crate) use forward::Forwards;
pub use guard::Guard;
pub(crate) use listen::{Door, Listener, bind};

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
}

/// Of a gRPC request.
#[derive(Clone, Copy)]
enum Method {
    Export(Signal),
    Forward,
}

impl Method {
    /// What refusals are counted under.
    fn signal(self) -> Signal {
        match self {
            Self::Export(signal) => signal,
            Self::Forward => Signal::Traces,
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

    /// The gRPC method of a path, where this connection may use it.
    fn method(&self, path: &str) -> Option<Method> {
        match &self.way {
            Way::Otlp(_) => {
                let signal = Signal::ALL.into_iter().find(|signal| signal.grpc_path() == path);
                signal.map(Method::Export)
            }
            Way::Forward(_) => (path == sluice_wire::forward::PATH).then_some(Method::Forward),
        }
    }

    /// # Errors
    /// When whoever shows this `authorization` may not send here.
    async fn check(&self, authorization: &[u8]) -> Result<(), Refusal> {
        match &self.way {
            Way::Otlp(_) => Ok(()),
            Way::Forward(forwards) => forwards.guard.check(authorization).await,
        }
    }

    fn permit(&self) -> Permit {
        self.intake.flow().meter.permit()
    }

    /// Counts a request that was refused before its items could be.
    fn refuse(&self, signal: Signal, refusal: Refusal) -> Refusal {
        self.intake.flow().refuse(signal, 1, refusal)
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

    fn submit(&self, signal: Signal, body: Bytes) -> Result<(), Refusal> {
        match &self.way {
            Way::Otlp(lane) => {
                let mut lane = lane.lock().unwrap_or_else(PoisonError::into_inner);
                self.intake.submit(&mut lane, signal, body, None)
            }
            Way::Forward(forwards) => forwards.submit(&body),
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
