//! The manifest as serde reads it: its keys and their forms. Where a key has further rules, its type checks them, so
//! that serde's error names the key.

use std::collections::BTreeMap;

use serde::de::{Error as _, IgnoredAny};
use serde::{Deserialize, Deserializer};
use toml::{Table, Value};

use super::tool::Tool;
use crate::app::variables::{Declaration, Template, check_name};
use crate::outbound::AllowedHost;

/// All of the file but `spin_manifest_version`, which is checked first because the rest depends on it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawManifest {
    #[serde(rename = "application")]
    _application: Application,
    #[serde(default)]
    pub(super) variables: BTreeMap<VariableName, Declaration>,
    /// Each table is read as a [`RawComponent`], but only if a route names the component.
    #[serde(default)]
    pub(super) component: BTreeMap<String, Table>,
    #[serde(default)]
    pub(super) trigger: BTreeMap<HttpTrigger, Vec<RawRoute>>,
}

/// The table `[application]`. Its other keys only describe the app to people, and are ignored.
#[derive(Deserialize)]
struct Application {
    #[serde(rename = "name")]
    _name: String,
}

/// The name of a variable, checked by Spin's rule.
#[derive(Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(try_from = "String")]
pub(super) struct VariableName(pub(super) String);

impl TryFrom<String> for VariableName {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        check_name(&name).map(|()| Self(name))
    }
}

/// The only kind of trigger that this host serves.
#[derive(Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(try_from = "String")]
pub(super) struct HttpTrigger;

impl TryFrom<String> for HttpTrigger {
    type Error = &'static str;

    fn try_from(kind: String) -> Result<Self, &'static str> {
        match kind.as_str() {
            "http" => Ok(Self),
            _ => Err("this host serves HTTP triggers only"),
        }
    }
}

/// One `[[trigger.http]]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRoute {
    pub(super) component: String,
    pub(super) route: RoutePattern,
    #[serde(default, rename = "executor")]
    _executor: Option<Executor>,
    #[serde(default, rename = "id")]
    _id: IgnoredAny,
}

/// The requests that a route is for.
#[derive(Deserialize)]
#[serde(try_from = "Value")]
pub(super) enum RoutePattern {
    Public(String),
    /// Only other components may call this route. This host lets no component call another, so nobody can.
    Private,
}

impl TryFrom<Value> for RoutePattern {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        match value {
            Value::String(pattern) if pattern.starts_with('/') => Ok(Self::Public(pattern)),
            Value::String(pattern) => Err(format!("`{pattern}` must start with `/`")),
            Value::Table(table) if table.get("private") == Some(&Value::Boolean(true)) => {
                Ok(Self::Private)
            }
            _ => Err("must be a path that starts with `/`, or { private = true }".into()),
        }
    }
}

#[derive(Deserialize)]
struct Executor {
    #[serde(rename = "type")]
    _kind: ExecutorKind,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum ExecutorKind {
    Http,
}

/// The entry of one component, after `UNSUPPORTED` and `IGNORED` keys were taken out.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawComponent {
    /// The path of the component's file.
    #[serde(deserialize_with = "path_of_a_file")]
    pub(super) source: String,
    #[serde(default)]
    pub(super) allowed_outbound_hosts: Vec<OutboundHost>,
    #[serde(default)]
    pub(super) variables: BTreeMap<VariableName, Template>,
    #[serde(default)]
    pub(super) environment: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) tool: Tools,
}

fn path_of_a_file<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    match Value::deserialize(from)? {
        Value::String(path) => Ok(path),
        Value::Table(_) => Err(D::Error::custom(
            "this host loads files only; download the component and name its path",
        )),
        _ => Err(D::Error::custom("must be the path of a file")),
    }
}

/// An address that the component may connect to. If it has no variables, it is checked here.
#[derive(Deserialize)]
#[serde(try_from = "String")]
pub(super) struct OutboundHost(pub(super) Template);

impl TryFrom<String> for OutboundHost {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let template = Template::parse(&text)?;
        if let Some(literal) = template.literal() {
            AllowedHost::parse(literal)?;
        }
        Ok(Self(template))
    }
}

/// The table `tool` of a component. Only this host's entry is read; the others belong to other tools.
#[derive(Default, Deserialize)]
pub(super) struct Tools {
    #[serde(default, rename = "store-host")]
    pub(super) own: Tool,
}
