//! The manifest as serde reads it: which keys it has, and what form each has. Further rules about a key are in its type
//! here, so that serde's error names the key.

use std::collections::BTreeMap;

use serde::de::{Error as _, IgnoredAny};
use serde::{Deserialize, Deserializer};
use toml::{Table, Value};

use super::tool::Tool;
use crate::app::variables::{Declaration, Template, check_name};
use crate::outbound::AllowedHost;

/// All of it but `spin_manifest_version`, which says whether the rest has this form.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawManifest {
    #[serde(rename = "application")]
    _application: Application,
    #[serde(default)]
    pub(super) variables: BTreeMap<VariableName, Declaration>,
    /// Each a [`RawComponent`], if a route names it.
    #[serde(default)]
    pub(super) component: BTreeMap<String, Table>,
    #[serde(default)]
    pub(super) trigger: BTreeMap<HttpTrigger, Vec<RawRoute>>,
}

/// The table `[application]`. Its other keys describe the app to people, and are ignored.
#[derive(Deserialize)]
struct Application {
    #[serde(rename = "name")]
    _name: String,
}

/// The name of a variable, by Spin's rule.
#[derive(Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(try_from = "String")]
pub(super) struct VariableName(pub(super) String);

impl TryFrom<String> for VariableName {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        check_name(&name).map(|()| Self(name))
    }
}

/// The kind of a trigger.
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

/// Which requests a route is for.
#[derive(Deserialize)]
#[serde(try_from = "Value")]
pub(super) enum RoutePattern {
    Public(String),
    /// Only other components may call it, and this host offers it to nobody.
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

/// One component's entry, without the keys that say nothing about serving.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawComponent {
    /// The component's file.
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

/// An address that the component may connect to. If it has no variables, it is checked while it is read.
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
