//! One loaded version of a component.

use std::sync::Arc;

use super::context::Context;
use super::instances::Instances;
use super::life::GenerationLife;
use super::version::Version;

/// A version that can serve, with its instances and the requests in them.
pub(crate) struct Generation {
    pub(crate) version: Arc<Version>,
    pub(crate) context: Arc<Context>,
    pub(crate) instances: Instances,
    pub(crate) life: Arc<GenerationLife>,
}

impl Generation {
    /// Makes a generation without instances. The first request makes an instance.
    pub(crate) fn new(version: Arc<Version>, context: Arc<Context>) -> Arc<Self> {
        let life = GenerationLife::begin(version.clone(), &context);
        Arc::new(Self {
            instances: Instances::new(context.clone(), &version, life.clone()),
            version,
            context,
            life,
        })
    }
}
