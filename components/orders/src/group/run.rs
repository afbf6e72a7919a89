//! Takes a group through its transactions: all orders in one, and if that fails in parts, down to single orders.

use std::cell::{Cell, OnceCell};
use std::collections::VecDeque;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::{Either, join, join_all, select};
use store_domain::StoreError;
use store_guest::cache::{Turn, Write};
use store_guest::mysql::{
    ATTEMPTS, Abort, Connection, MysqlError, TransactionFate, ids, padded, transaction_of,
};

use super::member::{GroupTurn, Member};
use super::placing::{self, PlacedOrders, WriteProof};
use super::{Placement, Terms};
use crate::sql;

/// How often a group is tried as a whole before it is divided.
const GROUP_ATTEMPTS: u32 = 2;

/// How many parts of a group are placed at once: a quarter of the connections in a host's pool. The parts of a part are
/// placed one after the other.
const PARTS_AT_ONCE: usize = 4;

/// How long a group may take until its commit. A group that takes longer usually waits for another transaction's lock
/// on something that one of its orders needs. It is then divided, so that each part waits for itself, and the next
/// group starts.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long the next group may have to wait for this one. Longer than [`PATIENCE`], which limits waits for locks: so
/// this limit is for a commit, or the look-up of its outcome, that gets no answer.
const PATIENCE_OF_OTHERS: Duration = Duration::from_secs(2);

/// Runs one group until each of its members has an outcome.
pub(super) async fn group(terms: Terms, under_way: GroupTurn) {
    let sealed = OnceCell::new();
    let sealed_at = Cell::new(None);
    let seal = || {
        sealed_at.set(Some(Instant::now()));
        GroupTurn::seal(&terms)
    };
    // The group is sealed as late as possible: orders that arrive while the transaction begins still belong to it.
    let orders = || placements(sealed.get_or_init(seal).members());
    let under_way = Cell::new(Some(under_way));
    // The next group need not wait for this group's cache writes, nor for its orders that are held up.
    let let_others_go = || drop(under_way.take());
    let outcome = {
        let attempt = pin!(attempt(&terms, orders, let_others_go));
        match select(attempt, pin!(overdue(&sealed_at))).await {
            Either::Left((outcome, _)) => outcome,
            Either::Right(((), attempt)) => {
                let_others_go();
                attempt.await
            }
        }
    };
    let group = sealed.into_inner().unwrap_or_else(seal);
    let_others_go();
    settle(&terms, group.members(), outcome, SettlementScope::Whole).await;
}

/// Whether a whole group or a part of one is settled.
#[derive(Clone, Copy, PartialEq, Eq)]
enum SettlementScope {
    Whole,
    Part,
}

/// Completes when the group has kept others waiting for too long. Until the group is sealed nobody waits for it,
/// because orders that arrive join it.
async fn overdue(sealed_at: &Cell<Option<Instant>>) {
    loop {
        let waited = sealed_at.get().map_or(Duration::ZERO, |at| at.elapsed());
        match PATIENCE_OF_OTHERS.checked_sub(waited) {
            Some(left) if !left.is_zero() => spin_sdk::time::sleep(left).await,
            _ => return,
        }
    }
}

/// Places an order without a group.
///
/// # Errors
/// The order's error.
pub(super) async fn alone(terms: &Terms, order: &Placement) -> Result<i64, Abort> {
    let placed = attempt(terms, || vec![order], || {}).await;
    let placed = placed.map_err(|failure| failure.abort)?;
    tell_cache(placed.after_commit).await;
    let outcome = placed.outcomes.into_iter().next();
    Ok(outcome.unwrap_or_else(|| Err(no_outcome()))?)
}

async fn tell_cache(after_commit: Option<(Turn, Vec<Write>)>) {
    if let Some((turn, writes)) = after_commit {
        turn.end(writes).await;
    }
}

/// The outcome of an order whose group ended without giving it one, for example because the host ended the task.
pub(super) fn broken_off() -> Abort {
    MysqlError::CommitUnknown("the order's group ended without an outcome".into()).into()
}

fn no_outcome() -> StoreError {
    StoreError::Internal("a transaction without an outcome".into())
}

fn placements(members: &[Rc<Member>]) -> Vec<&Placement> {
    members.iter().map(|member| &***member).collect()
}

/// Why a transaction failed as a whole.
struct Failure {
    abort: Abort,
    cause: Cause,
}

/// What a failure means for the group's orders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    /// Each order alone would fail in the same way.
    Common,
    /// Another request has one of the idempotency keys.
    Keys,
    /// The transaction took too long.
    Stuck,
    /// Any other failure; one of the orders may have caused it.
    Unknown,
}

impl Cause {
    fn of(abort: &Abort, is_stuck: bool) -> Self {
        match abort {
            _ if is_stuck => Self::Stuck,
            Abort::Database(error) if error.concerns_all() => Self::Common,
            // The changes can't be marked in Redis, or MySQL or Redis can't be reached to do so.
            Abort::NotMarked(_) | Abort::Rejected(StoreError::Unavailable(_)) => Self::Common,
            Abort::Database(error) if error.is_duplicate() => Self::Keys,
            Abort::Rejected(StoreError::Conflict(_)) => Self::Keys,
            _ => Self::Unknown,
        }
    }
}

/// Runs one transaction for several orders, and retries it where that may help. If a single order is held up, its
/// transaction goes on and `on_delay` is called.
async fn attempt<'a>(
    terms: &Terms,
    orders: impl Fn() -> Vec<&'a Placement>,
    on_delay: impl Fn(),
) -> Result<PlacedOrders, Failure> {
    let is_stuck = Cell::new(false);
    let is_group = Cell::new(false);
    let placed = transaction_of(
        &terms.mysql_url,
        // A failure that is the same for all orders is not tried again in parts, so it gets all attempts here.
        |abort| match Cause::of(abort, false) {
            Cause::Common => ATTEMPTS,
            _ if is_group.get() => GROUP_ATTEMPTS,
            _ => ATTEMPTS,
        },
        async |connection: &Connection| {
            let orders = orders();
            is_group.set(orders.len() > 1);
            let placing = pin!(placing::place_in(connection, terms, &orders));
            let patience = pin!(spin_sdk::time::sleep(PATIENCE));
            match select(placing, patience).await {
                Either::Left((placed, _)) => placed,
                Either::Right(((), placing)) if !is_group.get() => {
                    on_delay();
                    placing.await
                }
                Either::Right(_) => {
                    is_stuck.set(true);
                    Err(
                        StoreError::Unavailable("the group waits too long for a lock".into())
                            .into(),
                    )
                }
            }
        },
        async |connection, placed| fate(connection, &placed.witnesses).await,
    );
    placed.await.map_err(|abort| Failure {
        cause: Cause::of(&abort, is_stuck.get()),
        abort,
    })
}

/// Whether the transaction that wrote the witnesses was committed.
async fn fate(
    connection: &Connection,
    witnesses: &[WriteProof],
) -> Result<TransactionFate, MysqlError> {
    if witnesses.is_empty() {
        return Ok(TransactionFate::Committed);
    }
    let order_ids = padded(witnesses.iter().map(|(order_id, _)| *order_id).collect());
    let statement = sql::writers(order_ids.len());
    let found: Vec<WriteProof> = connection.query(&statement, ids(order_ids)).await?;
    Ok(fate_by(witnesses, &found))
}

/// All witnesses were written by one transaction, so any of them proves its commit. One is enough: other orders may
/// have been deleted since.
fn fate_by(witnesses: &[WriteProof], found: &[WriteProof]) -> TransactionFate {
    if witnesses.iter().any(|witness| found.contains(witness)) {
        TransactionFate::Committed
    } else {
        TransactionFate::RolledBack
    }
}

/// Updates the cache and gives each member its outcome; divides the group if its transaction failed for unclear
/// reasons.
async fn settle(
    terms: &Terms,
    members: &[Rc<Member>],
    outcome: Result<PlacedOrders, Failure>,
    scope: SettlementScope,
) {
    match outcome {
        Ok(placed) => {
            tell_cache(placed.after_commit).await;
            for (member, outcome) in members.iter().zip(placed.outcomes) {
                member.done(outcome.map_err(Abort::from));
            }
        }
        Err(Failure { abort, cause }) if members.len() <= 1 || cause == Cause::Common => {
            for member in members {
                member.done(Err(abort.clone()));
            }
        }
        Err(Failure { cause, .. }) => in_parts(terms, members, cause, scope).await,
    }
}

async fn in_parts(terms: &Terms, members: &[Rc<Member>], cause: Cause, scope: SettlementScope) {
    match cause {
        Cause::Stuck => {
            let parts = members.chunks(members.len().div_ceil(PARTS_AT_ONCE));
            let parts = parts.map(|members| part(terms, members));
            match scope {
                // All parts at once: one after the other, the parts behind a part that is held up would wait too.
                SettlementScope::Whole => drop(join_all(parts).await),
                // One after the other: the database itself may be slow, and many single transactions at once would make
                // it slower.
                SettlementScope::Part => in_turn(parts.collect()).await,
            }
        }
        Cause::Keys if members.iter().any(|member| member.claim.is_some()) => {
            let keyed = |member: &Rc<Member>| member.claim.is_some();
            let (keyed, keyless): (Vec<_>, Vec<_>) = members.iter().cloned().partition(keyed);
            let mut parts = VecDeque::from([part(terms, &keyless)]);
            let keyed = keyed.chunks(PARTS_AT_ONCE);
            parts.extend(keyed.map(|some| each_alone(terms, some)));
            in_turn(parts).await;
        }
        _ => {
            // Orders that arrived first are placed first.
            let (first, second) = members.split_at(members.len() / 2);
            in_turn([part(terms, first), part(terms, second)].into()).await;
        }
    }
}

/// The future that places a part of a group.
type Part<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

/// Places parts one after the other. If a part is held up, the parts after it go on without waiting for it.
fn in_turn(mut parts: VecDeque<Part<'_>>) -> Part<'_> {
    Box::pin(async move {
        while let Some(next) = parts.pop_front() {
            let patience = pin!(spin_sdk::time::sleep(PATIENCE));
            if let Either::Right(((), held_up)) = select(next, patience).await {
                join(held_up, in_turn(parts)).await;
                return;
            }
        }
    })
}

/// Places orders of a group at once, each in a transaction of its own.
fn each_alone<'a>(terms: &'a Terms, members: &'a [Rc<Member>]) -> Part<'a> {
    let alone = members.chunks(1).map(|member| part(terms, member));
    Box::pin(join_all(alone).map(drop))
}

/// Places a part of a group in one transaction.
fn part<'a>(terms: &'a Terms, members: &'a [Rc<Member>]) -> Part<'a> {
    Box::pin(async move {
        if !members.is_empty() {
            let outcome = attempt(terms, || placements(members), || {}).await;
            settle(terms, members, outcome, SettlementScope::Part).await;
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_the_same_for_all_divides_no_group() {
        let cause = |error: MysqlError| Cause::of(&error.into(), false);
        assert_eq!(cause(MysqlError::Connect("x".into())), Cause::Common);
        assert_eq!(cause(MysqlError::CommitUnknown("x".into())), Cause::Common);
        assert_eq!(cause(MysqlError::Lost("x".into())), Cause::Unknown);
        assert_eq!(cause(MysqlError::Unexpected("x".into())), Cause::Unknown);
        let common = |abort: Abort| assert_eq!(Cause::of(&abort, false), Cause::Common);
        common(Abort::NotMarked(1));
        common(StoreError::Unavailable("x".into()).into());
    }

    #[test]
    fn one_order_that_is_left_tells_that_all_were_committed() {
        let witnesses = [(1, 11), (2, 22)];
        assert_eq!(fate_by(&witnesses, &[(2, 22)]), TransactionFate::Committed);
        // Other transactions got these ids meanwhile, or the rows are from an older version of the store.
        let others = [(1, 99), (2, 0)];
        assert_eq!(fate_by(&witnesses, &others), TransactionFate::RolledBack);
        assert_eq!(fate_by(&witnesses, &[]), TransactionFate::RolledBack);
    }

    #[test]
    fn keys_and_locks_of_others_are_told_apart() {
        let conflict = || Abort::from(StoreError::Conflict("x".into()));
        assert_eq!(Cause::of(&conflict(), false), Cause::Keys);
        assert_eq!(
            Cause::of(&store_guest::idempotency::taken(), false),
            Cause::Keys
        );
        assert_eq!(Cause::of(&conflict(), true), Cause::Stuck);
    }
}
