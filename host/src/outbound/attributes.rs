//! The attributes of a backend in traces, which are the same for each call.

use std::sync::Arc;

use store_server::trace::Value;

use super::backend::Backend;

/// The attributes of spans, under the names that OpenTelemetry defines.
pub(crate) type Attributes = Arc<[(&'static str, Value)]>;

impl Backend {
    /// The database system, its address, and the name of the database.
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
