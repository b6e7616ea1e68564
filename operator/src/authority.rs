//! The operator's own certificate authority: one key in one Secret, certificates in memory.

use crate::stores::MANAGED_BY;
use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use kube::core::DynamicObject;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use serde_json::json;
use sluice_plan::GATEWAY_SERVER_NAME as SERVER_NAME;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

/// Name of the Secret and of the ConfigMap.
pub(crate) const NAME: &str = "sluice-operator-ca";

const AUTHORITY_DAYS: i64 = 3650;
const SERVING_DAYS: i64 = 7;

#[derive(Clone)]
pub struct Authority {
    issuer: Arc<Issuer<'static, KeyPair>>,
    certificate_pem: String,
}

#[derive(Debug)]
pub enum AuthorityError {
    Generate(rcgen::Error),
    /// The Secret does not hold a certificate and its key.
    Parse(rcgen::Error),
    Sign(rcgen::Error),
    /// The TLS library does not take the key.
    Use(rustls::Error),
}

impl fmt::Display for AuthorityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Generate(error) => write!(f, "cannot make a certificate authority: {error}"),
            Self::Parse(error) => write!(f, "cannot read the certificate authority: {error}"),
            Self::Sign(error) => write!(f, "cannot sign a certificate: {error}"),
            Self::Use(error) => write!(f, "cannot use a certificate: {error}"),
        }
    }
}

impl std::error::Error for AuthorityError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Generate(error) | Self::Parse(error) | Self::Sign(error) => Some(error),
            Self::Use(error) => Some(error),
        }
    }
}

impl Authority {
    /// A new one, valid for ten years from the day before `now`.
    ///
    /// # Errors
    /// [`AuthorityError::Generate`].
    pub fn generate(now: Timestamp) -> Result<Self, AuthorityError> {
        let key = KeyPair::generate().map_err(AuthorityError::Generate)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = common_name("Sluice operator CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        validity(&mut params, now, AUTHORITY_DAYS);
        let certificate = params.self_signed(&key).map_err(AuthorityError::Generate)?;
        Ok(Self { certificate_pem: certificate.pem(), issuer: Arc::new(Issuer::new(params, key)) })
    }

    /// # Errors
    /// [`AuthorityError::Parse`].
    pub fn from_pem(certificate: &str, key: &str) -> Result<Self, AuthorityError> {
        let key = KeyPair::from_pem(key).map_err(AuthorityError::Parse)?;
        let issuer = Issuer::from_ca_cert_pem(certificate, key).map_err(AuthorityError::Parse)?;
        Ok(Self { issuer: Arc::new(issuer), certificate_pem: certificate.to_owned() })
    }

    /// What a peer needs in order to trust this authority.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// For the Secret, and nothing else.
    pub fn key_pem(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// A certificate for a server that is reached under `names`, valid for a week.
    ///
    /// # Errors
    /// When a name is none, or the TLS library refuses what was made.
    pub fn certify(
        &self,
        names: &[String],
        now: Timestamp,
        provider: &CryptoProvider,
    ) -> Result<CertifiedKey, AuthorityError> {
        let key = KeyPair::generate().map_err(AuthorityError::Sign)?;
        let mut params = CertificateParams::new(names).map_err(AuthorityError::Sign)?;
        params.distinguished_name = common_name("sluice-operator");
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        validity(&mut params, now, SERVING_DAYS);
        let certificate = params.signed_by(&key, &self.issuer).map_err(AuthorityError::Sign)?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        CertifiedKey::from_der(vec![certificate.der().clone()], key, provider)
            .map_err(AuthorityError::Use)
    }

    /// A certificate for whoever holds the key of a signing request, as a gateway's; both in PEM.
    /// The request says nothing but the key: names and uses are ours.
    ///
    /// # Errors
    /// When it is no request.
    pub fn sign(&self, request: &str, now: Timestamp) -> Result<String, AuthorityError> {
        let request =
            CertificateSigningRequestParams::from_pem(request).map_err(AuthorityError::Parse)?;
        let names = [SERVER_NAME.to_owned()];
        let mut params = CertificateParams::new(names).map_err(AuthorityError::Sign)?;
        params.distinguished_name = common_name(SERVER_NAME);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        validity(&mut params, now, SERVING_DAYS);
        let signed = params.signed_by(&request.public_key, &self.issuer);
        signed.map(|certificate| certificate.pem()).map_err(AuthorityError::Sign)
    }

    /// The ConfigMap through which collectors learn whom to trust.
    pub fn config_map(&self, namespace: &str, owners: serde_json::Value) -> DynamicObject {
        let object = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": NAME,
                "namespace": namespace,
                "labels": {MANAGED_BY.0: MANAGED_BY.1},
                "ownerReferences": owners,
            },
            "data": {"ca.crt": self.certificate_pem},
        });
        #[expect(clippy::expect_used, reason = "the literal above has an object's shape")]
        serde_json::from_value(object).expect("a ConfigMap is an object")
    }
}

fn common_name(name: &str) -> DistinguishedName {
    let mut names = DistinguishedName::new();
    names.push(DnType::CommonName, name);
    names
}

/// Whole days, beginning with the day before: clocks differ.
fn validity(params: &mut CertificateParams, now: Timestamp, days: i64) {
    let day = |offset: i64| {
        let moment = now.saturating_add(SignedDuration::from_hours(24 * offset));
        let date = moment.unwrap_or(now).to_zoned(TimeZone::UTC).date();
        rcgen::date_time_ymd(
            i32::from(date.year()),
            date.month().unsigned_abs(),
            date.day().unsigned_abs(),
        )
    };
    params.not_before = day(-1);
    params.not_after = day(days);
}

/// The certificate that the control server shows; may be exchanged while it serves.
#[derive(Debug)]
pub struct ServingCertificate(RwLock<Arc<CertifiedKey>>);

impl ServingCertificate {
    pub fn new(certificate: CertifiedKey) -> Self {
        Self(RwLock::new(Arc::new(certificate)))
    }

    pub fn replace(&self, certificate: CertifiedKey) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(certificate);
    }
}

impl ResolvesServerCert for ServingCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_that_was_stored_signs_as_before() {
        let now = Timestamp::now();
        let provider = rustls::crypto::ring::default_provider();
        let made = Authority::generate(now).unwrap();
        let read = Authority::from_pem(made.certificate_pem(), &made.key_pem()).unwrap();
        assert_eq!(read.certificate_pem(), made.certificate_pem());
        let names = ["sluice-operator.sluice-system.svc".to_owned(), "10.1.2.3".to_owned()];
        assert_eq!(read.certify(&names, now, &provider).unwrap().cert.len(), 1);
    }

    #[test]
    fn the_published_config_map_holds_the_certificate_and_no_key() {
        let authority = Authority::generate(Timestamp::now()).unwrap();
        let text =
            serde_json::to_string(&authority.config_map("sluice-system", json!([]))).unwrap();
        assert!(text.contains("BEGIN CERTIFICATE"));
        assert!(!text.contains("PRIVATE KEY"));
    }

    #[test]
    fn a_secret_of_other_contents_is_an_error_not_a_panic() {
        assert!(matches!(Authority::from_pem("x", "y"), Err(AuthorityError::Parse(_))));
    }
}
