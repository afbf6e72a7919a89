//! What spans of calls to a backend have in common.

use store_server::trace::{Description, SharedDescription};

use super::backend::Backend;

impl Backend {
    /// The database system, its address, and the name of the database, under the names that OpenTelemetry defines.
    pub(crate) fn description(&self) -> SharedDescription {
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
        let target = None;
        Description { target, attributes }.into()
    }
}
