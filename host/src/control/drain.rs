//! The end of a generation.

use std::sync::Arc;
use std::time::Duration;

use super::Control;
use super::ledger::{KeptVersion, Ledger};
use crate::instance::Generation;

/// How long the instances of a generation may take to end after they are cut off. They need one or two epoch ticks,
/// unless a thread is starved.
const CUT_LIMIT: Duration = Duration::from_secs(10);

impl Control {
    /// Lets a generation that no longer serves finish its requests.
    pub(super) fn retire(&self, ledger: &mut Ledger, generation: Arc<Generation>) {
        self.let_finish(ledger, generation, Vec::new());
    }

    /// Like [`Control::retire`], and keeps the generation's code for a rollback.
    pub(super) fn retire_and_keep(&self, ledger: &mut Ledger, generation: Arc<Generation>) {
        let most = self.config.swap.keep_generations as usize;
        let excess = ledger.keep(generation.version.clone(), most);
        self.let_finish(ledger, generation, excess);
    }

    fn let_finish(
        &self,
        ledger: &mut Ledger,
        generation: Arc<Generation>,
        excess: Vec<KeptVersion>,
    ) {
        ledger.retired.push(Arc::downgrade(&generation.life));
        let limit = self.config.swap.swap_drain_timeout;
        self.spawn(drain(generation, limit, excess));
    }

    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.tasks.lock();
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task);
    }
}

/// Waits until a generation is freed, and cuts it off when its time is over. The versions in `excess` are no longer
/// kept; they are freed here, so that a swap does not wait for that.
async fn drain(generation: Arc<Generation>, limit: Duration, excess: Vec<KeptVersion>) {
    let component = generation.context.id.clone();
    let number = generation.version.number;
    let life = &generation.life;
    let (cut, freed) = (life.cut.clone(), life.freed.clone());
    life.retired.cancel();
    drop(generation);
    drop(excess);
    if tokio::time::timeout(limit, freed.cancelled())
        .await
        .is_err()
    {
        tracing::warn!(
            component,
            generation = number,
            "Generation {number} of `{component}` did not finish within {limit:?} and is cut off"
        );
        cut.cancel();
        if tokio::time::timeout(CUT_LIMIT, freed.cancelled())
            .await
            .is_err()
        {
            tracing::error!(
                component,
                generation = number,
                "Generation {number} of `{component}` is still held after it was cut off"
            );
            return;
        }
    }
    tracing::info!(
        component,
        generation = number,
        "Generation {number} of `{component}` is freed"
    );
}

/// Ends a generation that never served.
pub(super) fn discard(generation: &Generation) {
    generation.life.retired.cancel();
    generation.life.cut.cancel();
}
