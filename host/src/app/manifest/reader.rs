//! From TOML to the manifest, key by key, so that each error can name its key.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use toml::{Table, Value};

use super::tool::Tool;
use super::{ComponentManifest, Manifest, ManifestError, Route};
use crate::app::variables::{Declaration, Template, check_name};
use crate::instance::Probe;
use crate::outbound::AllowedHost;

/// Turns TOML into the manifest, naming each key it stumbles over.
pub(super) struct Reader<'a> {
    pub(super) path: &'a Path,
}

/// What Spin knows and this host does not offer to components.
const UNSUPPORTED: [(&str, &str); 8] = [
    ("files", "this host gives components no file system"),
    ("key_value_stores", "this host has no key-value stores"),
    ("sqlite_databases", "this host has no SQLite"),
    ("ai_models", "this host has no language models"),
    (
        "dependencies",
        "compose dependencies into the component first",
    ),
    (
        "dependencies_inherit_configuration",
        "compose dependencies into the component first",
    ),
    (
        "allowed_http_hosts",
        "a key of manifest version 1: use `allowed_outbound_hosts`",
    ),
    ("config", "a key of manifest version 1: use `variables`"),
];

/// What says nothing about serving: descriptions, and what `spin build` and other tools read.
const IGNORED: [&str; 5] = [
    "description",
    "build",
    "targets",
    "exclude_files",
    "profile",
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawDeclaration {
    default: Option<String>,
    #[serde(default)]
    required: bool,
    /// Taken as it is: this host prints no variable's value.
    #[serde(default, rename = "secret")]
    _secret: bool,
}

impl Reader<'_> {
    pub(super) fn manifest(&self, mut table: Table) -> Result<Manifest, ManifestError> {
        match table.remove("spin_manifest_version") {
            Some(Value::Integer(2)) => {}
            Some(other) => {
                return Err(self.error(
                    "spin_manifest_version",
                    format!("is {other}; this host serves version 2"),
                ));
            }
            None => {
                return Err(self.error(
                    "spin_manifest_version",
                    "is missing; write `spin_manifest_version = 2`",
                ));
            }
        }
        self.application(table.remove("application"))?;
        let variables = self.variables(self.table("variables", table.remove("variables"))?)?;
        let mut entries = self.table("component", table.remove("component"))?;
        let routes = self.routes(self.table("trigger", table.remove("trigger"))?)?;
        if let Some(key) = table.keys().next() {
            return Err(self.error(key, "is not a key of a Spin manifest"));
        }

        let mut components = BTreeMap::new();
        for route in &routes {
            let id = &route.component;
            if components.contains_key(id) {
                continue;
            }
            let Some(entry) = entries.remove(id) else {
                return Err(self.error(
                    &format!("component.{id}"),
                    format!("is missing; the route `{}` names it", route.pattern),
                ));
            };
            self.check_id(id)?;
            components.insert(id.clone(), self.component(id, entry)?);
        }
        Ok(Manifest {
            path: self.path.to_owned(),
            variables,
            routes,
            components,
        })
    }

    /// An id is part of paths: of the admin interface's, and of the files in which swaps survive. Spin's are words of
    /// ASCII letters and digits with hyphens between them, and so among those that are taken here.
    fn check_id(&self, id: &str) -> Result<(), ManifestError> {
        let is_usual = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if !id.is_empty() && id.chars().all(is_usual) {
            return Ok(());
        }
        let reason = "has an id of other characters than ASCII letters, digits, `-` and `_`";
        Err(self.error(&format!("component.{id}"), reason))
    }

    fn application(&self, value: Option<Value>) -> Result<(), ManifestError> {
        let table = self.table("application", value)?;
        match table.get("name") {
            Some(Value::String(_)) => Ok(()),
            Some(_) => Err(self.error("application.name", "must be a string")),
            None => Err(self.error("application.name", "is missing")),
        }
    }

    fn variables(&self, table: Table) -> Result<BTreeMap<String, Declaration>, ManifestError> {
        let mut variables = BTreeMap::new();
        for (name, value) in table {
            let key = format!("variables.{name}");
            check_name(&name).map_err(|reason| self.error(&key, reason))?;
            let raw: RawDeclaration = value
                .try_into()
                .map_err(|error: toml::de::Error| self.error(&key, one_line(error.message())))?;
            if raw.required && raw.default.is_some() {
                return Err(self.error(&key, "is `required` and has a `default`; keep one of them"));
            }
            if !raw.required && raw.default.is_none() {
                return Err(self.error(&key, "needs a `default`, or `required = true`"));
            }
            let default = raw
                .default
                .map(|text| self.template(&key, &text))
                .transpose()?;
            variables.insert(name, Declaration { default });
        }
        Ok(variables)
    }

    fn routes(&self, mut triggers: Table) -> Result<Vec<Route>, ManifestError> {
        let http = triggers.remove("http");
        if let Some(kind) = triggers.keys().next() {
            return Err(self.error(
                &format!("trigger.{kind}"),
                "this host serves HTTP triggers only",
            ));
        }
        let Some(Value::Array(http)) = http else {
            return Err(self.error(
                "trigger.http",
                "no route: write at least one [[trigger.http]]",
            ));
        };
        http.into_iter()
            .enumerate()
            .map(|(index, trigger)| self.route(&format!("trigger.http[{index}]"), trigger))
            .filter_map(Result::transpose)
            .collect()
    }

    /// `None` for a private route, which only other components may call and this host offers to nobody.
    fn route(&self, key: &str, trigger: Value) -> Result<Option<Route>, ManifestError> {
        let mut trigger = self.table(key, Some(trigger))?;
        let component = self.string(&format!("{key}.component"), trigger.remove("component"))?;
        let pattern = match trigger.remove("route") {
            Some(Value::Table(private))
                if private.get("private") == Some(&Value::Boolean(true)) =>
            {
                return Ok(None);
            }
            other => self.string(&format!("{key}.route"), other)?,
        };
        if let Some(executor) = trigger.remove("executor")
            && executor.get("type").and_then(Value::as_str) != Some("http")
        {
            return Err(self.error(
                &format!("{key}.executor"),
                "this host runs `type = \"http\"` only",
            ));
        }
        trigger.remove("id");
        if let Some(unknown) = trigger.keys().next() {
            return Err(self.error(
                &format!("{key}.{unknown}"),
                "is not a key of an HTTP trigger",
            ));
        }
        if !pattern.starts_with('/') {
            return Err(self.error(
                &format!("{key}.route"),
                format!("`{pattern}` must start with `/`"),
            ));
        }
        Ok(Some(Route { pattern, component }))
    }

    fn component(&self, id: &str, entry: Value) -> Result<ComponentManifest, ManifestError> {
        let key = format!("component.{id}");
        let mut entry = self.table(&key, Some(entry))?;
        for (name, reason) in UNSUPPORTED {
            if entry.get(name).is_some_and(|value| !is_empty(value)) {
                return Err(self.error(&format!("{key}.{name}"), reason));
            }
            entry.remove(name);
        }
        for name in IGNORED {
            entry.remove(name);
        }
        let (tool, probe) = self.tool(&key, entry.remove("tool"))?;
        let source = match entry.remove("source") {
            Some(Value::Table(_)) => {
                return Err(self.error(
                    &format!("{key}.source"),
                    "this host loads files only; download the component and name its path",
                ));
            }
            other => self.string(&format!("{key}.source"), other)?,
        };
        let component = ComponentManifest {
            source: self.path.parent().unwrap_or(Path::new("")).join(source),
            allowed_outbound_hosts: self
                .allowed_hosts(&key, entry.remove("allowed_outbound_hosts"))?,
            variables: self
                .strings(&format!("{key}.variables"), entry.remove("variables"))?
                .into_iter()
                .map(|(name, text)| {
                    let key = format!("{key}.variables.{name}");
                    check_name(&name).map_err(|reason| self.error(&key, reason))?;
                    let template = self.template(&key, &text)?;
                    Ok((name, template))
                })
                .collect::<Result<_, ManifestError>>()?,
            environment: self
                .strings(&format!("{key}.environment"), entry.remove("environment"))?,
            probe,
            redis_near_cache: tool.redis_near_cache,
            limits: tool.limits,
        };
        match entry.keys().next() {
            Some(unknown) => {
                Err(self.error(&format!("{key}.{unknown}"), "is not a key of a component"))
            }
            None => Ok(component),
        }
    }

    /// Our own table; those of other tools are theirs.
    fn tool(
        &self,
        key: &str,
        value: Option<Value>,
    ) -> Result<(Tool, Option<Probe>), ManifestError> {
        let mut tools = self.table(&format!("{key}.tool"), value)?;
        let key = format!("{key}.tool.{}", env!("CARGO_PKG_NAME"));
        let own = self.table(&key, tools.remove(env!("CARGO_PKG_NAME")))?;
        let tool: Tool = Value::Table(own)
            .try_into()
            .map_err(|error: toml::de::Error| self.error(&key, one_line(error.message())))?;
        let probe = tool.probe().map_err(|reason| self.error(&key, reason))?;
        Ok((tool, probe))
    }

    fn allowed_hosts(
        &self,
        key: &str,
        value: Option<Value>,
    ) -> Result<Vec<Template>, ManifestError> {
        let key = format!("{key}.allowed_outbound_hosts");
        let hosts = match value {
            None => return Ok(Vec::new()),
            Some(Value::Array(hosts)) => hosts,
            Some(_) => return Err(self.error(&key, "must be a list of strings")),
        };
        hosts
            .into_iter()
            .map(|host| {
                let text = self.string(&key, Some(host))?;
                let template = self.template(&key, &text)?;
                if let Some(literal) = template.literal() {
                    AllowedHost::parse(literal).map_err(|reason| self.error(&key, reason))?;
                }
                Ok(template)
            })
            .collect()
    }

    fn template(&self, key: &str, text: &str) -> Result<Template, ManifestError> {
        Template::parse(text).map_err(|reason| self.error(key, reason))
    }

    fn strings(
        &self,
        key: &str,
        value: Option<Value>,
    ) -> Result<BTreeMap<String, String>, ManifestError> {
        self.table(key, value)?
            .into_iter()
            .map(|(name, value)| {
                Ok((
                    name.clone(),
                    self.string(&format!("{key}.{name}"), Some(value))?,
                ))
            })
            .collect()
    }

    fn table(&self, key: &str, value: Option<Value>) -> Result<Table, ManifestError> {
        match value {
            None => Ok(Table::new()),
            Some(Value::Table(table)) => Ok(table),
            Some(_) => Err(self.error(key, "must be a table")),
        }
    }

    fn string(&self, key: &str, value: Option<Value>) -> Result<String, ManifestError> {
        match value {
            Some(Value::String(text)) => Ok(text),
            Some(_) => Err(self.error(key, "must be a string")),
            None => Err(self.error(key, "is missing")),
        }
    }

    fn error(&self, key: &str, reason: impl Into<String>) -> ManifestError {
        ManifestError::Key {
            path: self.path.to_owned(),
            key: key.to_owned(),
            reason: reason.into(),
        }
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Array(list) => list.is_empty(),
        Value::Table(table) => table.is_empty(),
        Value::Boolean(flag) => !flag,
        _ => false,
    }
}

pub(super) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const APP: &str = r#"
        spin_manifest_version = 2
        [application]
        name = "app"
        [variables]
        greeting = { default = "hello" }
        token = { required = true, secret = true }
        [[trigger.http]]
        route = "/hello/:name"
        component = "hello"
        [component.hello]
        source = "hello.wasm"
        allowed_outbound_hosts = ["redis://{{ greeting }}:6379"]
        [component.hello.variables]
        text = "{{ greeting }}!"
        [component.hello.build]
        command = "make"
    "#;

    fn read(text: &str) -> Result<Manifest, String> {
        let table = text.parse().expect("test input is TOML");
        Reader {
            path: Path::new("app/spin.toml"),
        }
        .manifest(table)
        .map_err(|error| error.to_string())
    }

    #[test]
    fn an_app_is_read() {
        let app = read(APP).expect("valid");
        assert_eq!(
            app.routes,
            [Route {
                pattern: "/hello/:name".into(),
                component: "hello".into()
            }]
        );
        assert_eq!(app.components["hello"].source, Path::new("app/hello.wasm"));
        assert!(app.variables["token"].default.is_none());
    }

    #[test]
    fn what_the_host_can_not_serve_is_named() {
        let cases = [
            (
                "spin_manifest_version = 2",
                "spin_manifest_version = 1",
                "`spin_manifest_version`: is 1",
            ),
            (
                "component = \"hello\"",
                "component = \"bye\"",
                "`component.bye`: is missing",
            ),
            (
                "source = \"hello.wasm\"",
                "",
                "`component.hello.source`: is missing",
            ),
            (
                "source = \"hello.wasm\"",
                "source = { url = \"x\" }",
                "loads files only",
            ),
            (
                "command = \"make\"",
                "[component.hello.files]\na = 1",
                "`component.hello.files`: this host gives",
            ),
            (
                "route = \"/hello/:name\"",
                "route = \"hello\"",
                "must start with `/`",
            ),
            (
                "default = \"hello\"",
                "secret = true",
                "`variables.greeting`: needs a `default`",
            ),
            (
                "default = \"hello\"",
                "defualt = \"hello\"",
                "unknown field `defualt`",
            ),
            (
                "[[trigger.http]]",
                "[trigger.redis]\n[[trigger.http]]",
                "`trigger.redis`",
            ),
            (
                "{{ greeting }}!",
                "{{ greeting !",
                "`component.hello.variables.text`",
            ),
            (
                "redis://{{ greeting }}:6379",
                "no address",
                "allowed_outbound_hosts",
            ),
            (
                "component = \"hello\"\n        [component.hello]",
                "component = \"../x\"\n        [component.\"../x\"]",
                "`component.../x`: has an id",
            ),
            (
                "greeting = {",
                "PG_ADDRESS = { default = \"\" }\n        greeting = {",
                "`variables.PG_ADDRESS`: has 'P' in its name",
            ),
            (
                "text = \"",
                "text_ = \"",
                "`component.hello.variables.text_`: must end",
            ),
            (
                "[application]",
                "[extra]\n[application]",
                "`extra`: is not a key",
            ),
        ];
        for (from, to, expected) in cases {
            let message = read(&APP.replace(from, to)).expect_err(expected);
            assert!(message.contains(expected), "{message:?} lacks {expected:?}");
            assert!(message.starts_with("app/spin.toml: "), "{message}");
        }
    }
}
