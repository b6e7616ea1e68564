//! Jaeger's remote sampling protocol, as far as it is spoken here: a service asks which share of its
//! traces to keep.
//!
//! <https://github.com/jaegertracing/jaeger-idl/blob/main/proto/api_v2/sampling.proto>

use crate::protobuf::{payloads, put_fixed64, put_message};

/// Of the gRPC method.
pub const PATH: &str = "/jaeger.api_v2.SamplingManager/GetSamplingStrategy";

/// How JSON names the kind of the strategy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    Word,
    /// Clients of Thrift before 0.9.3.
    Number,
}

/// The service that a `SamplingStrategyParameters` is about; `None` where it is not UTF-8.
pub fn service(message: &[u8]) -> Option<&str> {
    std::str::from_utf8(payloads(message, 1).last().unwrap_or_default()).ok()
}

/// A `SamplingStrategyResponse`: keep traces with this probability.
pub fn strategy(rate: f64) -> Vec<u8> {
    let mut out = Vec::new();
    put_message(&mut out, 2, 9, |out| put_fixed64(out, 1, rate.to_bits()));
    out
}

/// The same in JSON.
pub fn strategy_json(rate: f64, dialect: Dialect) -> String {
    let kind = match dialect {
        Dialect::Word => "\"PROBABILISTIC\"",
        Dialect::Number => "0",
    };
    format!(r#"{{"strategyType":{kind},"probabilisticSampling":{{"samplingRate":{rate}}}}}"#)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strategy_is_a_double_in_two_messages() {
        let expected = [[0x12, 0x09, 0x09].as_slice(), &0.25_f64.to_le_bytes()].concat();
        assert_eq!(strategy(0.25), expected);
        assert_eq!(service(&[0x0a, 4, b'c', b'a', b'r', b't']), Some("cart"));
        assert_eq!(service(&[]), Some(""));
        assert_eq!(service(&[0x0a, 1, 0xff]), None);
    }

    #[test]
    fn json_names_the_kind_as_the_client_reads_it() {
        let expected =
            r#"{"strategyType":"PROBABILISTIC","probabilisticSampling":{"samplingRate":0.000001}}"#;
        assert_eq!(strategy_json(1e-6, Dialect::Word), expected);
        let expected = r#"{"strategyType":0,"probabilisticSampling":{"samplingRate":1}}"#;
        assert_eq!(strategy_json(1.0, Dialect::Number), expected);
    }
}
