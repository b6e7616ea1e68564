//! Makes it exist: watch, apply, report, serve the control stream. What should exist is decided by
//! the planner; nothing in this room looks into a spec.

mod apply;
mod authority;
mod backoff;
mod calls;
mod control;
mod custody;
mod events;
mod health;
mod lease;
mod metrics;
mod observe;
mod owner;
mod published;
mod report;
mod run;
mod settings;
mod spine;
mod stores;

pub use apply::{Applied, Applier, ApplyError, Found};
pub use authority::{Authority, AuthorityError, ServingCertificate};
pub use calls::CallError;
pub use control::{
    AUDIENCE, Assignments, Desk, Identity, Lookups, Refusal, Reports, Reviewer, Signer, Wanted,
    WantedRing, serve, server_config,
};
pub use events::Events;
pub use lease::Role;
pub use metrics::Metrics;
pub use observe::{ChildKey, ChildKind, Existing, ExistingChild};
pub use published::Published;
pub use report::{News, Reporter, Versions, report, versions};
pub use run::{RunError, run};
pub use settings::{LogFormat, Settings};
pub use spine::{Incomplete, Spine};
pub use stores::Stores;

/// Owns what the operator applies; the status of users' objects has a manager of its own.
pub const FIELD_MANAGER: &str = "sluice";
