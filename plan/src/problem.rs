//! A mistake in a user's object. Data, not an error: planning goes on without that object.

use crate::observed::ObjectName;
use crate::report::Signal;
use sluice_crds::conditions::Reason;
use sluice_crds::policy::TargetKind;
use std::fmt;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// `path` is a field, or empty for the object as a whole. Message and remedy make a sentence each.
    Invalid {
        path: String,
        message: String,
        remedy: String,
    },
    /// A field that acts on the whole cluster, in another namespace than the system namespace.
    SystemOnly {
        path: &'static str,
        system_namespace: String,
    },
    CollectorNotFound {
        name: String,
    },
    DestinationNotFound {
        destination: ObjectName,
    },
    /// The destination exists, was refused itself, and never ran.
    DestinationInvalid {
        destination: ObjectName,
    },
    /// `from` is the namespace of the pipeline.
    DestinationNotAllowed {
        destination: ObjectName,
        from: String,
        why: NotAllowed,
    },
    UnsupportedSignal {
        destination: ObjectName,
        type_name: &'static str,
        signal: Signal,
    },
    /// Of a SamplingPolicy.
    TargetNotFound {
        kind: TargetKind,
        name: ObjectName,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotAllowed {
    /// It stands in a namespace that is neither the pipeline's own nor the system namespace.
    NotShared,
    /// Its `allowedNamespaces` does not select the pipeline's namespace.
    NotSelected,
}

impl Problem {
    pub(crate) fn invalid(path: &str, message: impl Into<String>, remedy: &str) -> Self {
        Self::Invalid { path: path.to_owned(), message: message.into(), remedy: remedy.to_owned() }
    }

    /// The reason of the conditions `Accepted`, `Ready` and `Stalled`.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Invalid { .. } => Reason::InvalidSpec,
            Self::SystemOnly { .. } => Reason::RefNotPermitted,
            Self::CollectorNotFound { .. } => Reason::CollectorNotFound,
            Self::DestinationNotFound { .. } => Reason::DestinationNotFound,
            Self::DestinationInvalid { .. } => Reason::DestinationInvalid,
            Self::DestinationNotAllowed { .. } => Reason::DestinationNotAllowed,
            Self::UnsupportedSignal { .. } => Reason::UnsupportedSignal,
            Self::TargetNotFound { .. } => Reason::TargetNotFound,
        }
    }

    /// What is wrong, without a full stop.
    pub fn message(&self) -> String {
        match self {
            Self::Invalid { path, message, .. } if path.is_empty() => message.clone(),
            Self::Invalid { path, message, .. } => format!("{path}: {message}"),
            Self::SystemOnly { path, .. } => {
                format!("{path}: acts on other namespaces, and only the system namespace may do so")
            }
            Self::CollectorNotFound { name } => format!("There is no Collector \"{name}\""),
            Self::DestinationNotFound { destination } => {
                format!("There is no Destination \"{destination}\"")
            }
            Self::DestinationInvalid { destination } => {
                format!("Destination \"{destination}\" is invalid")
            }
            Self::DestinationNotAllowed { destination, from, why: NotAllowed::NotShared } => {
                format!(
                    "Destination \"{destination}\" may not be used from namespace \"{from}\": \
                 only Destinations of the system namespace are shared"
                )
            }
            Self::DestinationNotAllowed { destination, from, why: NotAllowed::NotSelected } => {
                format!("Destination \"{destination}\" does not allow namespace \"{from}\"")
            }
            Self::UnsupportedSignal { destination, type_name, signal } => format!(
                "Destination \"{destination}\" of type {type_name} cannot carry {}",
                signal.as_str()
            ),
            Self::TargetNotFound { kind, name } => {
                format!("There is no {} \"{name}\"", kind.as_str())
            }
        }
    }

    /// What to do, without a full stop; empty when the message says it.
    pub fn remedy(&self) -> String {
        match self {
            Self::Invalid { remedy, .. } => remedy.clone(),
            Self::SystemOnly { path, system_namespace } => {
                format!("remove {path}, or move the object to namespace \"{system_namespace}\"")
            }
            Self::CollectorNotFound { name } => {
                format!("create it, or name another than \"{name}\" in spec.collectorRef")
            }
            Self::DestinationNotFound { destination } => format!(
                "create it in namespace \"{}\", or mend spec.*.destinationRefs",
                destination.namespace
            ),
            Self::DestinationInvalid { destination } => {
                format!("see the conditions of Destination \"{destination}\"")
            }
            Self::DestinationNotAllowed { why: NotAllowed::NotShared, .. } => {
                "use a Destination of the pipeline's own namespace or of the system namespace"
                    .into()
            }
            Self::DestinationNotAllowed { from, why: NotAllowed::NotSelected, .. } => {
                format!("select namespace \"{from}\" in spec.allowedNamespaces of the Destination")
            }
            Self::UnsupportedSignal { signal, .. } => format!(
                "name a Destination of another type (OTLP, for one) in spec.{}.destinationRefs",
                signal.as_str()
            ),
            Self::TargetNotFound { .. } => {
                "create it, or correct kind and name in spec.targetRefs".into()
            }
        }
    }
}

/// Message and remedy as two clauses of one sentence.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.message())?;
        match self.remedy().as_str() {
            "" => Ok(()),
            remedy => write!(f, "; {remedy}"),
        }
    }
}
