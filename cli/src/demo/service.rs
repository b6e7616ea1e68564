//! The services of the shop, and how each calls itself.

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;

pub(super) const NAMESPACE: &str = "shop";

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Service {
    Frontend,
    Catalog,
    Cart,
    Checkout,
    Payment,
}

impl Service {
    pub(super) const ALL: [Self; 5] =
        [Self::Frontend, Self::Catalog, Self::Cart, Self::Checkout, Self::Payment];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Frontend => "frontend",
            Self::Catalog => "catalog",
            Self::Cart => "cart",
            Self::Checkout => "checkout",
            Self::Payment => "payment",
        }
    }

    fn language(self) -> &'static str {
        match self {
            Self::Frontend => "nodejs",
            Self::Catalog => "python",
            Self::Cart => "dotnet",
            Self::Checkout => "go",
            Self::Payment => "java",
        }
    }

    fn version(self) -> &'static str {
        match self {
            Self::Frontend => "2.14.1",
            Self::Catalog => "1.8.0",
            Self::Cart => "0.9.3",
            Self::Checkout => "3.2.0",
            Self::Payment => "1.1.7",
        }
    }

    pub(super) fn resource(self) -> Resource {
        let name = self.name();
        let pod = format!("{name}-5c9d7f8b6-x{}k2p", self as u8);
        let attributes = vec![
            text("service.name", name),
            text("service.namespace", NAMESPACE),
            text("service.version", self.version()),
            text("service.instance.id", &format!("{NAMESPACE}.{pod}.{name}")),
            text("telemetry.sdk.name", "opentelemetry"),
            text("telemetry.sdk.language", self.language()),
            text("k8s.namespace.name", NAMESPACE),
            text("k8s.deployment.name", name),
            text("k8s.pod.name", &pod),
            text("k8s.container.name", name),
        ];
        Resource { attributes, ..Resource::default() }
    }
}

pub(super) fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, Value::StringValue(value.to_owned()))
}

pub(super) fn number(key: &str, value: i64) -> KeyValue {
    attribute(key, Value::IntValue(value))
}

fn attribute(key: &str, value: Value) -> KeyValue {
    let value = Some(AnyValue { value: Some(value) });
    KeyValue { key: key.to_owned(), value, ..KeyValue::default() }
}
