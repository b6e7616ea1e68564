//! What users write: the custom resources, their defaults, bounds and rules, and the catalogue of
//! conditions, reasons and events. No client, and no decisions: those live in the planner.

pub mod collector;
pub mod conditions;
pub mod destination;
pub mod duration;
mod generated;
mod pages;
pub mod percent;
pub mod pipeline;
pub mod policy;
pub mod quantity;
pub mod reference;
mod rule;
mod schema;
mod selector;
pub mod yaml;

pub use collector::{Collector, CollectorSpec, CollectorStatus};
pub use destination::{Destination, DestinationSpec, DestinationStatus};
pub use duration::Duration;
pub use generated::generated;
pub use percent::Percent;
pub use pipeline::{TelemetryPipeline, TelemetryPipelineSpec, TelemetryPipelineStatus};
pub use policy::{SamplingPolicy, SamplingPolicySpec, SamplingPolicyStatus};
pub use quantity::{Quantity, Size};
pub use schema::{crds, schema_of};

/// The API group of every kind.
pub const GROUP: &str = "sluice.dev";
/// The version that users write.
pub const VERSION: &str = "v1alpha1";
/// The Collector that serves objects without a `collectorRef`.
pub const DEFAULT_COLLECTOR: &str = "default";
