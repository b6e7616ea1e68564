//! The credentials of one request: the header that shows them, and what must never be shown.

use super::failure::{Failure, FailureReason};
use super::tls;
use crate::secrets::Secrets;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, HeaderName, HeaderValue};
use sluice_engine::config::{Auth, SecretKey};

/// Stands for a credential in what a peer said.
const REDACTED: &str = "[redacted]";

/// Read anew for each request, so that a new Secret counts at once.
#[derive(Default)]
pub(super) struct Credentials {
    pub(super) header: Option<(HeaderName, HeaderValue)>,
    /// In the forms in which a peer could repeat them.
    secrets: Vec<String>,
}

impl Credentials {
    /// # Errors
    /// When a Secret cannot be read, or holds what no header can carry.
    pub(super) fn read(auth: &Auth, secrets: &Secrets) -> Result<Self, Failure> {
        match auth {
            Auth::None => Ok(Self::default()),
            Auth::Basic(secret) => {
                let key = |key: &str| SecretKey { secret: secret.clone(), key: key.to_owned() };
                let password = tls::read(&key("password"), secrets)?;
                let user = tls::read(&key("username"), secrets)?;
                let pair = STANDARD.encode([&user[..], b":", &password].concat());
                Self::new(AUTHORIZATION, "Basic ", pair.into_bytes(), &[&password])
            }
            Auth::Bearer(key) => {
                let token = tls::read(key, secrets)?.trim_ascii().to_vec();
                Self::new(AUTHORIZATION, "Bearer ", token, &[])
            }
            Auth::Header { name, value } => {
                let name = HeaderName::try_from(name.as_str()).map_err(|_| {
                    let message = format!("header {name} cannot be sent");
                    Failure::for_now(FailureReason::InvalidEndpoint, message)
                })?;
                let value = tls::read(value, secrets)?.trim_ascii().to_vec();
                Self::new(name, "", value, &[])
            }
        }
    }

    fn new(
        name: HeaderName,
        scheme: &str,
        secret: Vec<u8>,
        others: &[&[u8]],
    ) -> Result<Self, Failure> {
        let whole = [scheme.as_bytes(), &secret].concat();
        let mut value = HeaderValue::from_bytes(&whole).map_err(|_| {
            Failure::for_now(FailureReason::SecretInvalid, "a credential is no header value")
        })?;
        value.set_sensitive(true);
        // The longest first: none is left in part because another is a part of it.
        let shown = [&secret[..]].into_iter().chain(others.iter().copied());
        let shown = shown.map(<[u8]>::trim_ascii).filter(|secret| !secret.is_empty());
        let secrets = shown.map(|secret| String::from_utf8_lossy(secret).into_owned()).collect();
        Ok(Self { header: Some((name, value)), secrets })
    }

    /// What a peer said, without the credentials that it was shown.
    pub(super) fn redact(&self, text: &str) -> String {
        self.secrets
            .iter()
            .fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), REDACTED))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sluice_engine::config::SecretName;

    fn read(auth: &Auth) -> Credentials {
        let secrets = Secrets::empty();
        let data = [("username", "alice"), ("password", "s3cret"), ("token", "t0ken\n")];
        let data = data.map(|(key, value)| (key.to_owned(), value.as_bytes().to_vec()));
        secrets.put(name(), Ok(data.into()));
        Credentials::read(auth, &secrets).unwrap()
    }

    fn name() -> SecretName {
        SecretName { namespace: "shop".into(), name: "vendor".into() }
    }

    #[test]
    fn a_token_that_a_peer_repeats_is_redacted() {
        let key = SecretKey { secret: name(), key: "token".into() };
        let credentials = read(&Auth::Bearer(key));
        assert_eq!(credentials.header.as_ref().unwrap().1, "Bearer t0ken");
        assert_eq!(credentials.redact("no Bearer t0ken here"), "no Bearer [redacted] here");
    }

    #[test]
    fn a_password_is_redacted_in_clear_and_encoded() {
        let credentials = read(&Auth::Basic(name()));
        let said = "Basic YWxpY2U6czNjcmV0 is alice with s3cret";
        assert_eq!(credentials.redact(said), "Basic [redacted] is alice with [redacted]");
    }

    #[test]
    fn a_password_that_is_a_part_of_the_pair_is_redacted() {
        let secrets = Secrets::empty();
        let data = [("username", "alice"), ("password", "YWxp\n")];
        let data = data.map(|(key, value)| (key.to_owned(), value.as_bytes().to_vec()));
        secrets.put(name(), Ok(data.into()));
        let credentials = Credentials::read(&Auth::Basic(name()), &secrets).unwrap();
        let said = "Basic YWxpY2U6WVd4cAo= is alice with YWxp";
        assert_eq!(credentials.redact(said), "Basic [redacted] is alice with [redacted]");
    }

    #[test]
    fn without_credentials_nothing_is_redacted() {
        assert_eq!(read(&Auth::None).redact("not today"), "not today");
    }
}
