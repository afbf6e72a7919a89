//! What the traces say of a backend, the same with each call of it.

use std::sync::Arc;

use store_server::trace::Value;

use super::backend::Backend;

/// Attributes of spans, by the names that OpenTelemetry gives them.
pub(crate) type Attributes = Arc<[(&'static str, Value)]>;

impl Backend {
    /// Which system it is, where, and which database of it.
    pub(crate) fn attributes(&self) -> Attributes {
        let is_redis = self.scheme().starts_with("redis");
        let system = if is_redis { "redis" } else { "mysql" };
        let mut attributes = vec![
            ("db.system.name", system.into()),
            ("server.address", self.reachable_host().to_owned().into()),
            ("server.port", i64::from(self.port).into()),
        ];
        let database = self.database().or(is_redis.then_some("0"));
        if let Some(database) = database {
            attributes.push(("db.namespace", database.to_owned().into()));
        }
        attributes.into()
    }
}
