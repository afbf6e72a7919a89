//! Traces in OpenTelemetry's form, and the exporter that sends them.

use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use opentelemetry::trace::{Link, SpanContext, SpanKind, Status, TraceFlags, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue, StringValue};
use opentelemetry_http::hyper::HyperClient;
use opentelemetry_otlp::tonic_types::transport::{Certificate, ClientTlsConfig};
use opentelemetry_otlp::{SpanExporter as Otlp, WithExportConfig, WithHttpConfig, WithTonicConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanExporter, SpanLinks};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use super::context::Ids;
use super::description::Value;
use super::finished_trace::FinishedTrace;
use super::record::{Kind, Record};
use super::settings::{Destination, Protocol};

/// The exporter for a destination. Must be called in the runtime that will use it. The exporter itself reads endpoint,
/// headers and compression from the environment.
pub(super) fn exporter(destination: &Destination, program: &'static str) -> Result<Otlp, String> {
    let certificate = destination.certificate.as_deref();
    let built = match destination.protocol {
        Protocol::Http => {
            let client = HyperClient::new(connector(certificate)?, destination.timeout, None);
            Otlp::builder()
                .with_http()
                .with_http_client(client)
                .with_protocol(opentelemetry_otlp::Protocol::HttpBinary)
                .with_timeout(destination.timeout)
                .build()
        }
        Protocol::Grpc => {
            let builder = Otlp::builder()
                .with_tonic()
                .with_timeout(destination.timeout);
            match destination.endpoint.starts_with("https:") {
                true => builder.with_tls_config(tls_of_grpc(certificate)?).build(),
                false => builder.build(),
            }
        }
    };
    let mut exporter = built.map_err(|error| error.to_string())?;
    exporter.set_resource(&resource(program));
    Ok(exporter)
}

/// The attributes that are sent with all traces of this process.
fn resource(program: &'static str) -> Resource {
    let usual = Resource::builder().build();
    let is_named = usual
        .get(&"service.name".into())
        .is_some_and(|name| !name.as_str().starts_with("unknown_service"));
    let instance = uuid::Uuid::new_v4().to_string();
    let mut resource = Resource::builder().with_attributes([
        KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        KeyValue::new("service.instance.id", instance),
        KeyValue::new("process.pid", i64::from(std::process::id())),
    ]);
    if !is_named {
        resource = resource.with_service_name(program);
    }
    resource.build()
}

/// A connector for HTTP/1.1, with or without TLS.
fn connector(certificate: Option<&Path>) -> Result<HttpsConnector<HttpConnector>, String> {
    let mut roots = RootCertStore::empty();
    match certificate {
        None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        Some(file) => {
            let unreadable = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
            let all = CertificateDer::pem_file_iter(file).map_err(|error| unreadable(&error))?;
            for each in all {
                let each = each.map_err(|error| unreadable(&error))?;
                roots.add(each).map_err(|error| unreadable(&error))?;
            }
            if roots.is_empty() {
                return Err(unreadable(&"there is no certificate in it"));
            }
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(HttpsConnectorBuilder::new()
        .with_tls_config(config)
        .https_or_http()
        .enable_http1()
        .build())
}

fn tls_of_grpc(certificate: Option<&Path>) -> Result<ClientTlsConfig, String> {
    let Some(file) = certificate else {
        return Ok(ClientTlsConfig::new().with_webpki_roots());
    };
    let pem = std::fs::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
    Ok(ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem)))
}

/// The spans of a trace.
pub(super) fn spans(tree: &FinishedTrace) -> impl Iterator<Item = SpanData> {
    let state = tree.state.as_ref().and_then(|state| state.to_str().ok());
    let state = state.and_then(|state| TraceState::from_str(state).ok());
    let state = state.unwrap_or_default();
    let scope = InstrumentationScope::builder(env!("CARGO_PKG_NAME"))
        .with_version(env!("CARGO_PKG_VERSION"))
        .build();
    tree.spans.iter().enumerate().map(move |(number, span)| {
        let is_root = number == 0;
        SpanData {
            span_context: SpanContext::new(
                tree.trace,
                span.id,
                flags(tree.is_sampled),
                false,
                state.clone(),
            ),
            parent_span_id: span.parent,
            parent_span_is_remote: is_root && tree.has_caller,
            span_kind: match span.kind {
                Kind::Server => SpanKind::Server,
                Kind::Client => SpanKind::Client,
                Kind::Internal => SpanKind::Internal,
            },
            name: span.full_name().into(),
            start_time: tree.time_of(span.began),
            end_time: tree.time_of(span.ended),
            attributes: attributes(span),
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: links(&span.links),
            status: match &span.error {
                Some(error) => Status::error(error.clone()),
                None => Status::Unset,
            },
            instrumentation_scope: scope.clone(),
        }
    })
}

fn flags(is_sampled: bool) -> TraceFlags {
    TraceFlags::default().with_sampled(is_sampled)
}

fn attributes(span: &Record) -> Vec<KeyValue> {
    let own = span.attributes();
    let mut all: Vec<_> = own
        .map(|(name, value)| KeyValue::new(*name, otel_value(value)))
        .collect();
    if let Some(error) = &span.error {
        all.push(KeyValue::new(
            "error.type",
            StringValue::from(error.clone()),
        ));
    }
    all
}

fn otel_value(value: &Value) -> opentelemetry::Value {
    match value {
        Value::Static(text) => (*text).into(),
        Value::Shared(text) => text.clone().into(),
        Value::Text(text) => text.to_string().into(),
        Value::Number(number) => (*number).into(),
        Value::Bool(is_so) => (*is_so).into(),
    }
}

fn links(others: &[Ids]) -> SpanLinks {
    let mut links = SpanLinks::default();
    links.links = others
        .iter()
        .map(|other| {
            let flags = flags(other.is_sampled);
            let state = TraceState::default();
            let context = SpanContext::new(other.trace, other.span, flags, false, state);
            Link::with_context(context)
        })
        .collect();
    links
}
