//! An export request as a gRPC message: compressed, framed, and read again.

use anyhow::{Result, bail};
use bytes::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use std::io::{Read, Write};

/// As SDKs and the gRPC libraries compress by default.
const GZIP_LEVEL: u32 = 6;
const ZSTD_LEVEL: i32 = 3;
/// Flag and length before each gRPC message.
const PREFIX_BYTES: usize = 5;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Codec {
    Plain,
    Gzip,
    Zstd,
}

impl Codec {
    pub(crate) const ALL: [Self; 3] = [Self::Plain, Self::Gzip, Self::Zstd];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }

    /// As `grpc-encoding` names it; `None`: the header is left out.
    pub(crate) fn header(self) -> Option<&'static str> {
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

/// With the prefix of gRPC.
pub(crate) fn write(codec: Codec, body: Vec<u8>) -> Result<Bytes> {
    let payload = codec.compress(body)?;
    let mut message = Vec::with_capacity(PREFIX_BYTES + payload.len());
    message.push(u8::from(codec != Codec::Plain));
    message.extend_from_slice(&u32::try_from(payload.len())?.to_be_bytes());
    message.extend_from_slice(&payload);
    Ok(Bytes::from(message))
}

/// By the public OTLP library and not by our own walker.
pub(crate) fn read(message: &[u8], codec: Codec) -> Result<ExportTraceServiceRequest> {
    let Some(([flag, ..], payload)) = message.split_first_chunk::<PREFIX_BYTES>() else {
        bail!("a message of {} bytes", message.len());
    };
    let codec = if *flag == 0 { Codec::Plain } else { codec };
    Ok(ExportTraceServiceRequest::decode(&*codec.inflate(payload)?)?)
}
