//! An endpoint as a user writes it, taken apart.

use super::failure::{Failure, FailureReason};
use sluice_engine::config::{Protocol, TlsMode};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) tls: bool,
    /// Before `/v1/<signal>`; without a slash at its end.
    pub(super) base_path: String,
}

impl Target {
    /// `host:port`, or a URL. A written `http://` is plain text whatever the TLS mode says.
    pub(super) fn parse(
        endpoint: &str,
        protocol: Protocol,
        mode: TlsMode,
    ) -> Result<Self, Failure> {
        let invalid = || {
            let message = format!("{endpoint} is not host:port or a URL");
            Failure::for_now(FailureReason::InvalidEndpoint, message)
        };
        let (tls, rest) = match endpoint.split_once("://") {
            Some(("http", rest)) => (false, rest),
            Some(("https", rest)) => (mode != TlsMode::Plaintext, rest),
            Some(_) => return Err(invalid()),
            None => (mode != TlsMode::Plaintext, endpoint),
        };
        let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        let authority: http::uri::Authority = authority.parse().map_err(|_| invalid())?;
        let default_port = match (protocol, tls) {
            (Protocol::Grpc, _) => 4317,
            (Protocol::Http, true) if endpoint.contains("://") => 443,
            (Protocol::Http, false) if endpoint.contains("://") => 80,
            (Protocol::Http, _) => 4318,
        };
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        if host.is_empty() {
            return Err(invalid());
        }
        let port = authority.port_u16().unwrap_or(default_port);
        Ok(Self { host, port, tls, base_path: path.trim_end_matches('/').to_owned() })
    }

    /// `host:port` as a URL writes it.
    pub(super) fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(endpoint: &str, protocol: Protocol, mode: TlsMode, expected: &str) {
        let found = match Target::parse(endpoint, protocol, mode) {
            Ok(target) => {
                let scheme = if target.tls { "https" } else { "http" };
                format!("{scheme}://{}{}", target.authority(), target.base_path)
            }
            Err(failure) => failure.reason.as_str().to_owned(),
        };
        assert_eq!(found, expected);
    }

    #[test]
    fn endpoints_are_host_and_port_or_urls() {
        use Protocol::{Grpc, Http};
        use TlsMode::{Plaintext, Verify};
        check("tempo.obs:4317", Grpc, Plaintext, "http://tempo.obs:4317");
        check("tempo.obs", Grpc, Verify, "https://tempo.obs:4317");
        check("https://otlp.example.com/otlp/", Http, Verify, "https://otlp.example.com:443/otlp");
        check("http://collector:4318", Http, Verify, "http://collector:4318");
        check("[::1]:4318", Http, Plaintext, "http://[::1]:4318");
        check("ftp://tempo", Http, Verify, "InvalidEndpoint");
        check("", Grpc, Verify, "InvalidEndpoint");
        check("a b", Grpc, Verify, "InvalidEndpoint");
    }
}
