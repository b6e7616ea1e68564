//! What the survey finds, and what it refuses.

use super::random::Random;
use super::reference::{self, Request};
use super::{arbitrary, realistic};
use prost::Message;
use sluice_wire::{Limits, Malformed, Signal, survey};

#[test]
fn the_survey_finds_what_decoding_finds() {
    for seed in 0..500 {
        for signal in Signal::ALL {
            let body = arbitrary::body(signal, &mut Random(seed));
            let found = survey(signal, &body, &Limits::default()).unwrap();
            let mut request = Request::decode(signal, &body).unwrap();
            let at = format!("seed {seed} of {signal}");
            assert_eq!(found.items as usize, request.items().len(), "{at}");
            assert_eq!(found.blocks.iter().map(|block| block.items).sum::<u32>(), found.items);
            let resources = request.resources();
            assert_eq!(found.blocks.len(), resources.len(), "{at}");
            for (block, resource) in found.blocks.iter().zip(resources) {
                for key in arbitrary::KEYS {
                    let expected = reference::attribute(resource, key);
                    assert_eq!(block.attribute(&body, key), expected, "{at} key {key:?}");
                }
            }
        }
    }
}

#[test]
fn a_realistic_span_has_461_bytes() {
    let request = realistic::request(1, 480);
    let bytes = request.encoded_len() / 480;
    assert!((450..=472).contains(&bytes), "a span has {bytes} bytes");
    assert_eq!(
        survey(Signal::Traces, &request.encode_to_vec(), &Limits::default()).unwrap().items,
        480
    );
}

/// A request of one block, one scope and one span with this payload.
fn with_span(span: &[u8]) -> Vec<u8> {
    wrap(span.to_vec(), b"\x12\x12\x0a")
}

#[track_caller]
fn check(span: &[u8], expected: Result<u32, Malformed>) {
    let found = survey(Signal::Traces, &with_span(span), &Limits::default());
    assert_eq!(found.map(|survey| survey.items), expected);
}

#[test]
fn a_span_without_fields_is_a_span() {
    check(b"", Ok(1));
}

#[test]
fn unknown_fields_are_walked_over() {
    check(b"\xf8\x01\x01", Ok(1));
    check(b"\xfa\x01\x02xy", Ok(1));
}

#[test]
fn lengths_beyond_their_message_are_refused() {
    check(b"\x2a\x05abc", Err(Malformed::Truncated));
    check(b"\x39\0\0\0", Err(Malformed::Truncated));
    check(b"\x4a\x03\x0a\x04k", Err(Malformed::Truncated));
}

#[test]
fn other_wire_types_than_its_own_are_refused() {
    check(b"\x28\x01", Err(Malformed::WireType));
    check(b"\x0b\x0c", Err(Malformed::WireType));
    check(b"\xf3\x01\xf4\x01", Err(Malformed::WireType));
    check(b"\x02\x00", Err(Malformed::WireType));
}

#[test]
fn a_tag_longer_than_it_need_be_hides_nothing() {
    check(b"\xaa\x00\x01a", Err(Malformed::WireType));
}

#[test]
fn varints_have_at_most_64_bits() {
    check(b"\x30\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", Ok(1));
    check(b"\x30\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", Err(Malformed::Varint));
    check(b"\x30\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", Err(Malformed::Varint));
    check(b"\x30\x80", Err(Malformed::Varint));
}

#[test]
fn strings_are_utf8() {
    check(b"\x2a\x03\xc3\xbcx", Ok(1));
    check(b"\x2a\x02\xc3\x28", Err(Malformed::Utf8));
    check(b"\x2a\x0cabcdefghijk\xff", Err(Malformed::Utf8));
    check(b"\x4a\x05\x0a\x03a\xffb", Err(Malformed::Utf8));
}

#[test]
fn ids_have_their_length_or_none() {
    check(b"\x0a\x00\x12\x00", Ok(1));
    check(b"\x0a\x10abcdefghijklmnop\x12\x08abcdefgh", Ok(1));
    check(b"\x0a\x0fabcdefghijklmno", Err(Malformed::IdLength));
    check(b"\x12\x10abcdefghijklmnop", Err(Malformed::IdLength));
}

/// A span with an attribute whose value has this depth: each level is put into the tags `around`.
fn nested(depth: usize, around: &[u8]) -> Vec<u8> {
    let innermost = b"\x0a\x01x".to_vec();
    let value = (1..depth).fold(innermost, |value, _| wrap(value, around));
    wrap(value, b"\x12\x4a")
}

fn wrap(payload: Vec<u8>, tags: &[u8]) -> Vec<u8> {
    tags.iter().fold(payload, |payload, tag| {
        let mut out = vec![*tag];
        prost::encode_length_delimiter(payload.len(), &mut out).unwrap();
        out.extend(payload);
        out
    })
}

#[test]
fn values_are_nested_at_most_16_deep() {
    let (array, list) = (b"\x0a\x2a", b"\x12\x0a\x32");
    for around in [array.as_slice(), list] {
        check(&nested(16, around), Ok(1));
        check(&nested(17, around), Err(Malformed::TooDeep));
        check(&nested(5000, around), Err(Malformed::TooDeep));
    }
}

#[test]
fn limits_hold() {
    let limits = Limits {
        items_max: 1,
        blocks_max: 1,
        attributes_max: 1,
        resources_max: 1,
        ..Limits::default()
    };
    let check = |body: &[u8], expected| {
        assert_eq!(survey(Signal::Traces, body, &limits).unwrap_err(), expected);
    };
    check(b"\x0a\x00\x0a\x00", Malformed::TooManyBlocks);
    check(b"\x0a\x04\x0a\x00\x0a\x00", Malformed::TooManyResources);
    check(b"\x0a\x06\x0a\x04\x0a\x00\x0a\x00", Malformed::TooManyAttributes);
    check(b"\x0a\x06\x12\x04\x12\x00\x12\x00", Malformed::TooManyItems);
}
