//! Why a delivery failed: the word that travels from a collector to the planner.

macro_rules! reasons {
    ($($name:ident => $word:literal),* $(,)?) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum FailureReason { $($name),* }

        impl FailureReason {
            pub const ALL: &[Self] = &[$(Self::$name),*];

            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word),* }
            }

            /// `None`: a word of a newer collector.
            pub fn parse(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|reason| reason.as_str() == word)
            }
        }
    };
}

reasons! {
    DnsFailed => "DNSFailed",
    ConnectionRefused => "ConnectionRefused",
    Timeout => "Timeout",
    ConnectionLost => "ConnectionLost",
    UnknownAuthority => "UnknownAuthority",
    HostnameMismatch => "HostnameMismatch",
    CertificateExpired => "CertificateExpired",
    TlsFailed => "TLSFailed",
    SecretMissing => "SecretMissing",
    SecretKeyMissing => "SecretKeyMissing",
    SecretAccessDenied => "SecretAccessDenied",
    SecretInvalid => "SecretInvalid",
    Unauthorized => "Unauthorized",
    RateLimited => "RateLimited",
    Unavailable => "Unavailable",
    Rejected => "Rejected",
    InvalidEndpoint => "InvalidEndpoint",
    StorageFailed => "StorageFailed",
}

impl FailureReason {
    /// It is the credential that is missing or refused.
    pub fn is_of_credentials(self) -> bool {
        matches!(
            self,
            Self::SecretMissing
                | Self::SecretKeyMissing
                | Self::SecretAccessDenied
                | Self::SecretInvalid
                | Self::Unauthorized
        )
    }

    /// Another content of a Secret may mend it: a credential, a CA, a client's certificate.
    pub fn may_be_of_a_secret(self) -> bool {
        self.is_of_credentials() || matches!(self, Self::UnknownAuthority | Self::TlsFailed)
    }
}

#[cfg(test)]
mod tests {
    use super::FailureReason;

    #[test]
    fn every_reason_is_read_as_it_is_written() {
        for reason in FailureReason::ALL {
            assert_eq!(FailureReason::parse(reason.as_str()), Some(*reason));
        }
        assert_eq!(FailureReason::parse("Tired"), None);
    }
}
