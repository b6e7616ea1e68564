//! Decompression that cannot be made to fill the memory.

use super::too_large;
use crate::intake::Refusal;
use bytes::Bytes;
use libdeflater::{DecompressionError, Decompressor};
use sluice_engine::books::Refused;
use std::io::Read;

/// The largest window a zstd frame may ask for: 8 MiB.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;
/// Header and trailer of a gzip member.
const GZIP_BYTES_MIN: usize = 18;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Identity,
    Gzip,
    Zstd,
}

impl Encoding {
    pub(super) fn parse(name: &[u8]) -> Result<Self, Refusal> {
        match name {
            b"" | b"identity" => Ok(Self::Identity),
            b"gzip" => Ok(Self::Gzip),
            b"zstd" => Ok(Self::Zstd),
            _ => Err(Refusal::for_good(
                Refused::Unsupported,
                "unknown compression; identity, gzip and zstd are supported",
            )),
        }
    }
}

/// At most `bytes_max` bytes, else the body is refused.
pub(super) fn inflate(
    encoding: Encoding,
    body: &Bytes,
    bytes_max: usize,
) -> Result<Bytes, Refusal> {
    match encoding {
        Encoding::Identity => Ok(body.clone()),
        Encoding::Gzip => gzip(body, bytes_max),
        Encoding::Zstd => zstd(body, bytes_max),
    }
}

/// The trailer of the last member says how long its content is. A body of one member, which is
/// what senders write, is inflated by the fast library in one call.
fn gzip(body: &[u8], bytes_max: usize) -> Result<Bytes, Refusal> {
    let Some((_, trailer)) = body.split_last_chunk::<8>() else { return Err(broken("gzip")) };
    if body.len() < GZIP_BYTES_MIN {
        return Err(broken("gzip"));
    }
    let [crc @ .., _, _, _, _] = *trailer;
    let [_, _, _, _, length @ ..] = *trailer;
    let length = usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX);
    if bytes_max < length {
        // Too large, or cut off so that these four bytes are no trailer.
        return read(flate2::read::MultiGzDecoder::new(body), bytes_max, "gzip");
    }
    let mut out = vec![0; length];
    match Decompressor::new().gzip_decompress(body, &mut out) {
        Ok(written) if written == length && libdeflater::crc32(&out) == u32::from_le_bytes(crc) => {
            Ok(Bytes::from(out))
        }
        // Several members, or a trailer that lies.
        Ok(_) | Err(DecompressionError::InsufficientSpace) => {
            read(flate2::read::MultiGzDecoder::new(body), bytes_max, "gzip")
        }
        Err(_) => Err(broken("gzip")),
    }
}

fn zstd(body: &[u8], bytes_max: usize) -> Result<Bytes, Refusal> {
    if body.is_empty() {
        return Err(broken("zstd"));
    }
    let mut decoder = zstd::stream::read::Decoder::with_buffer(body).map_err(|_| broken("zstd"))?;
    decoder.window_log_max(ZSTD_WINDOW_LOG_MAX).map_err(|_| broken("zstd"))?;
    read(decoder, bytes_max, "zstd")
}

fn read(decoder: impl Read, bytes_max: usize, codec: &str) -> Result<Bytes, Refusal> {
    let mut out = Vec::new();
    let cap = u64::try_from(bytes_max).unwrap_or(u64::MAX).saturating_add(1);
    decoder.take(cap).read_to_end(&mut out).map_err(|_| broken(codec))?;
    if bytes_max < out.len() {
        return Err(too_large(bytes_max));
    }
    Ok(Bytes::from(out))
}

fn broken(codec: &str) -> Refusal {
    Refusal::for_good(Refused::Malformed, format!("the body is not valid {codec}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn gz(content: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    #[track_caller]
    fn check(encoding: Encoding, body: &[u8], expected: Result<&[u8], Refused>) {
        let found = inflate(encoding, &Bytes::copy_from_slice(body), 1000);
        let found = found.as_ref().map(AsRef::as_ref).map_err(|refusal| refusal.reason);
        assert_eq!(found, expected);
    }

    #[test]
    fn what_was_compressed_comes_back() {
        check(Encoding::Gzip, &gz(b"spans"), Ok(b"spans"));
        check(Encoding::Zstd, &zstd::encode_all(&b"spans"[..], 1).unwrap(), Ok(b"spans"));
        check(Encoding::Gzip, &gz(b""), Ok(b""));
    }

    #[test]
    fn every_member_of_a_gzip_body_counts() {
        check(Encoding::Gzip, &[gz(b"spans "), gz(b"and more")].concat(), Ok(b"spans and more"));
        check(Encoding::Gzip, &[gz(b"more spans"), gz(b"x")].concat(), Ok(b"more spansx"));
    }

    #[test]
    fn bombs_are_refused_as_too_large() {
        let zeros = vec![0; 1_000_000];
        check(Encoding::Gzip, &gz(&zeros), Err(Refused::TooLarge));
        check(Encoding::Zstd, &zstd::encode_all(&zeros[..], 1).unwrap(), Err(Refused::TooLarge));
        let mut liar = gz(&zeros);
        let at = liar.len() - 4;
        liar[at..].copy_from_slice(&10_u32.to_le_bytes());
        check(Encoding::Gzip, &liar, Err(Refused::TooLarge));
    }

    #[test]
    fn a_zstd_window_above_8_mib_is_refused() {
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(25).unwrap();
        encoder.write_all(b"spans").unwrap();
        check(Encoding::Zstd, &encoder.finish().unwrap(), Err(Refused::Malformed));
    }

    #[test]
    fn broken_bodies_are_malformed() {
        for encoding in [Encoding::Gzip, Encoding::Zstd] {
            check(encoding, b"", Err(Refused::Malformed));
            check(encoding, b"not compressed at all", Err(Refused::Malformed));
        }
        check(Encoding::Gzip, &gz(b"spans")[..20], Err(Refused::Malformed));
    }
}
