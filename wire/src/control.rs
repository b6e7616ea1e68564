//! The control stream between the operator and its collectors: client, server and messages.
//!
//! Generated from `proto/control.proto`; `UPDATE=1 cargo test -p sluice-wire` makes it anew.

#![allow(clippy::all, unreachable_pub, reason = "generated code")]

include!("control/sluice.control.v1.rs");
