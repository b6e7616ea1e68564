//! Broken bodies: nothing panics, and what the survey lets through is what others can read.

use super::arbitrary;
use super::random::Random;
use super::reference::Request;
use sluice_wire::spans::{Probes, read_spans};
use sluice_wire::{
    Limits, ResourceEdit, Signal, Told, json, mark_traces, split, survey, thin_traces, write_block,
};

const BODIES: u64 = 8000;

/// What may be done to a body; each keeps most of it, so that the walk gets deep.
fn mutate(body: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..1 + random.below(3) {
        let at = random.below(body.len() as u64 + 1) as usize;
        match random.below(6) {
            0 => body.truncate(at),
            1 => body.insert(at, random.next() as u8),
            2 if at < body.len() => body[at] ^= 1 << random.below(8),
            3 if at < body.len() => body[at] = *random.pick(&[0, 0x7f, 0x80, 0xff, 0x0a, 0x2a]),
            4 if at < body.len() => {
                body.remove(at);
            }
            _ => {
                let end = at + random.below((body.len() - at) as u64 + 1) as usize;
                let copy = body[at..end].to_vec();
                body.splice(at..at, copy).count();
            }
        }
    }
}

/// Returns whether the body was let through.
fn fuzz(signal: Signal, body: &[u8], seed: u64) -> bool {
    let at = format!("seed {seed} of {signal}");
    let found = survey(signal, body, &Limits::default());
    if signal == Signal::Traces {
        let (none, mut seen) = (Probes::default(), 0);
        let read = read_spans(body, &Limits::default(), (&none, &none), |_, _| seen += 1);
        match &found {
            Ok(found) => assert_eq!((read.as_ref(), seen), (Ok(found), found.items), "{at}"),
            Err(_) => assert!(read.is_err(), "{at}"),
        }
    }
    let Ok(found) = found else { return false };
    Request::decode(signal, body).unwrap_or_else(|error| panic!("{at}: {error}"));
    let edit = ResourceEdit::new(&[("k8s.namespace.name", "shop")], &["a"]);
    let mut edited = Vec::new();
    for block in &found.blocks {
        write_block(body, block, Some(&edit), &mut edited);
        assert!(block.attribute(body, "service.name").is_none_or(|name| name.len() < body.len()));
    }
    let again = survey(signal, &edited, &Limits::default()).unwrap();
    assert_eq!(again.items, found.items, "{at}");
    for block in &again.blocks {
        assert_eq!(block.attribute(&edited, "k8s.namespace.name"), Some("shop"), "{at}");
        assert_eq!(block.attribute(&edited, "a"), None, "{at}");
    }
    let parts = split(signal, body, body.len() / 2);
    assert_eq!(parts.iter().map(|(_, items)| items).sum::<u32>(), found.items, "{at}");
    for (part, items) in parts {
        assert_eq!(survey(signal, &part, &Limits::default()).unwrap().items, items, "{at}");
    }
    let mut line = Vec::new();
    json::from_protobuf(signal, body, &mut line);
    json::to_protobuf(signal, &line).unwrap_or_else(|error| panic!("{at}: {error}"));
    if signal == Signal::Traces {
        let mut out = Vec::new();
        let thinned = thin_traces(body, 1 << 55, &mut out);
        assert_eq!(thinned.kept + thinned.sampled_out, found.items, "{at}");
        assert_eq!(survey(signal, &out, &Limits::default()).unwrap().items, thinned.kept, "{at}");
        let marked = mark_traces(body, &found, |_| Told::default());
        let again = survey(signal, &marked, &Limits::default()).unwrap();
        assert_eq!(again.items, found.items, "{at}");
    }
    true
}

#[test]
fn no_body_makes_it_panic_and_what_passes_can_be_decoded() {
    let (mut passed, mut refused) = (0, 0);
    for seed in 0..BODIES {
        let mut random = Random(seed);
        let signal = *random.pick(&Signal::ALL);
        let mut body = arbitrary::body(signal, &mut random);
        mutate(&mut body, &mut random);
        if fuzz(signal, &body, seed) { passed += 1 } else { refused += 1 }
    }
    assert!(passed > 100 && refused > 100, "{passed} passed, {refused} refused");
}

#[test]
fn every_truncation_is_refused_or_decodes() {
    for seed in 0..20 {
        for signal in Signal::ALL {
            let body = arbitrary::body(signal, &mut Random(seed));
            for end in 0..body.len().min(3000) {
                fuzz(signal, &body[..end], seed);
            }
        }
    }
}

#[test]
fn no_json_makes_it_panic() {
    for seed in 0..BODIES / 4 {
        let mut random = Random(seed);
        let signal = *random.pick(&Signal::ALL);
        let mut text = Vec::new();
        json::from_protobuf(signal, &arbitrary::body(signal, &mut random), &mut text);
        mutate(&mut text, &mut random);
        if let Ok(body) = json::to_protobuf(signal, &text) {
            fuzz(signal, &body, seed);
        }
    }
}
