//! What is sent in a run, made before it: whole gRPC messages, and the ids that must arrive.

use super::spans::{BYTES_PER_SPAN, Id, SPANS_PER_REQUEST, Shop};
use anyhow::{Result, bail};
use bytes::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use std::collections::BTreeSet;
use std::io::{Read, Write};

/// As SDKs and the gRPC libraries compress by default.
const GZIP_LEVEL: u32 = 6;
const ZSTD_LEVEL: i32 = 3;
/// Flag and length before each gRPC message.
const PREFIX_BYTES: usize = 5;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Codec {
    Plain,
    Gzip,
    Zstd,
}

impl Codec {
    pub(super) const ALL: [Self; 3] = [Self::Plain, Self::Gzip, Self::Zstd];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }

    /// As `grpc-encoding` names it; `None`: the header is left out.
    pub(super) fn header(self) -> Option<&'static str> {
        (self != Self::Plain).then(|| self.as_str())
    }

    fn compress(self, body: Vec<u8>) -> Result<Vec<u8>> {
        Ok(match self {
            Self::Plain => body,
            Self::Gzip => {
                let level = flate2::Compression::new(GZIP_LEVEL);
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
                encoder.write_all(&body)?;
                encoder.finish()?
            }
            Self::Zstd => zstd::encode_all(&*body, ZSTD_LEVEL)?,
        })
    }

    fn inflate(self, body: &[u8]) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        match self {
            Self::Plain => out.extend_from_slice(body),
            Self::Gzip => {
                flate2::read::MultiGzDecoder::new(body).read_to_end(&mut out)?;
            }
            Self::Zstd => {
                zstd::stream::read::Decoder::new(body)?.read_to_end(&mut out)?;
            }
        }
        Ok(out)
    }
}

pub(super) struct Corpus {
    pub(super) codec: Codec,
    /// With the prefix of gRPC.
    pub(super) messages: Vec<Bytes>,
    ids: BTreeSet<Id>,
}

/// What is missing at the destination and what came more than once, in spans.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Arrived {
    pub(super) lost: u64,
    pub(super) doubled: u64,
    /// Ids that nobody sent.
    pub(super) foreign: u64,
}

impl Corpus {
    /// # Errors
    /// When the spans are not as large as the results say, or ids repeat.
    pub(super) fn new(seed: u64, requests: usize, codec: Codec) -> Result<Self> {
        let mut shop = Shop::new(seed);
        let (mut messages, mut ids, mut bytes) = (Vec::new(), Vec::new(), 0);
        for _ in 0..requests {
            let body = shop.request(&mut ids).encode_to_vec();
            bytes += body.len();
            messages.push(framed(codec, &codec.compress(body)?));
        }
        let spans = requests * SPANS_PER_REQUEST;
        let per_span = bytes as f64 / spans as f64;
        if (per_span - BYTES_PER_SPAN as f64).abs() > 5.0 {
            bail!("a span has {per_span:.1} bytes, not {BYTES_PER_SPAN}");
        }
        let ids: BTreeSet<Id> = ids.into_iter().collect();
        if ids.len() != spans {
            bail!("{spans} spans have {} ids", ids.len());
        }
        Ok(Self { codec, messages, ids })
    }

    pub(super) fn compare(&self, mut arrived: Vec<Id>) -> Arrived {
        let all = arrived.len();
        arrived.sort_unstable();
        arrived.dedup();
        let known = arrived.iter().filter(|id| self.ids.contains(*id)).count();
        Arrived {
            lost: (self.ids.len() - known) as u64,
            doubled: (all - arrived.len()) as u64,
            foreign: (arrived.len() - known) as u64,
        }
    }
}

fn framed(codec: Codec, payload: &[u8]) -> Bytes {
    let mut message = Vec::with_capacity(PREFIX_BYTES + payload.len());
    message.push(u8::from(codec != Codec::Plain));
    message.extend_from_slice(&u32::try_from(payload.len()).unwrap_or(u32::MAX).to_be_bytes());
    message.extend_from_slice(payload);
    Bytes::from(message)
}

/// The ids of all spans in a gRPC message, by the public OTLP library and not by our own walker.
pub(super) fn ids(message: &[u8], codec: Codec) -> Result<Vec<Id>> {
    let Some(([flag, ..], payload)) = message.split_first_chunk::<PREFIX_BYTES>() else {
        bail!("a message of {} bytes", message.len());
    };
    let codec = if *flag == 0 { Codec::Plain } else { codec };
    let request = ExportTraceServiceRequest::decode(&*codec.inflate(payload)?)?;
    let scopes = request.resource_spans.iter().flat_map(|block| &block.scope_spans);
    let mut ids = Vec::new();
    for span in scopes.flat_map(|scope| &scope.spans) {
        ids.push([&*span.trace_id, &*span.span_id].concat().try_into().unwrap_or_default());
    }
    Ok(ids)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_can_be_read_again_in_each_codec() {
        for codec in Codec::ALL {
            let corpus = Corpus::new(1, 2, codec).unwrap();
            let mut arrived: Vec<Id> =
                corpus.messages.iter().flat_map(|message| ids(message, codec).unwrap()).collect();
            assert_eq!(corpus.compare(arrived.clone()), Arrived::default());
            let last = arrived.pop().unwrap();
            arrived.extend([arrived[0], [7; 24]]);
            assert_ne!(last, arrived[0]);
            let expected = Arrived { lost: 1, doubled: 1, foreign: 1 };
            assert_eq!(corpus.compare(arrived), expected);
        }
    }
}
