//! What a transaction changes is marked in Redis before it commits: from then on readers ask MySQL, until the new value
//! is in Redis or somebody knows better. ADR 13 says why that is enough.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use store_domain::cache::{DOUBT_SETTLED, TURN_GONE, TURN_PLACED, turn_of_version};
use store_domain::changes::{Entity, Subject};

use crate::mysql::{Abort, Connection, ids, padded, placeholders, rung};
use crate::redis::{Redis, RedisError};
use crate::trust::{self, STATE_COLUMNS, State};
use crate::{cache, log_sparsely};

/// Most entities in one statement.
const ROWS_AT_ONCE: usize = 500;

/// A connection may have broken since it was last used, which shows at once: then it is tried again. Not after a wait, as
/// others wait for what the transaction has locked.
const AT_ONCE: Duration = Duration::from_millis(250);

/// Marks what `changed`, inside the transaction that changes it and after all of its changes.
///
/// # Errors
/// If MySQL fails, or [`Abort::NotMarked`] if Redis can't be written and readers may still trust it.
pub async fn note(connection: &Connection, changed: &[Subject]) -> Result<(), Abort> {
    for changed in changed.chunks(ROWS_AT_ONCE) {
        mark_all(connection, changed).await?;
    }
    Ok(())
}

async fn mark_all(connection: &Connection, changed: &[Subject]) -> Result<(), Abort> {
    let asked_at = Instant::now();
    let rows: Vec<Row> = connection
        .query(&outcome(changed), ids(ids_of(changed)))
        .await?;
    let Some(state) = rows.iter().find_map(state) else {
        return Err(Abort::NotMarked(0));
    };
    match state.doubted_for {
        // Nobody trusts Redis, and nobody will as long as this transaction holds the state.
        Some(time) if time >= DOUBT_SETTLED => return Ok(()),
        // Soon nobody will. Others need not wait until then for what this transaction has locked.
        Some(_) => return Err(Abort::NotMarked(state.epoch)),
        None => {}
    }
    let rows: HashMap<(i64, i64), &Row> = rows.iter().map(|row| ((row.0, row.1), row)).collect();
    let turns: Vec<_> = changed.iter().map(|&one| (one, turn(one, &rows))).collect();
    for is_last in [false, true] {
        match try_to_mark(&state, &turns).await {
            Ok(true) => return Ok(()),
            Ok(false) => {}
            Err(error) => log_sparsely(format_args!("changes not marked: {error}")),
        }
        // What the instance knew of Redis is no longer so.
        trust::forget();
        if is_last || asked_at.elapsed() > AT_ONCE {
            break;
        }
    }
    Err(Abort::NotMarked(state.epoch))
}

/// Says whether all are marked.
async fn try_to_mark(state: &State, turns: &[(Subject, String)]) -> Result<bool, RedisError> {
    let redis = Redis::open().await?;
    match trust::script(&redis, state).await? {
        Some(script) => cache::mark(&redis, &script, turns).await,
        None => Ok(false),
    }
}

/// What a row of [`outcome`] is about; then epoch, server, beat and doubt, or a thing's id, nothing, its version, nothing.
type Row = (i64, i64, String, i64, Option<i64>);

const ABOUT_STATE: i64 = 0;

const fn about(entity: Entity) -> i64 {
    match entity {
        Entity::Order => 1,
        Entity::Product => 2,
    }
}

/// Queries the state of the cache, which then stays as it is until the transaction ends, and those things that are there
/// after it: each of the orders, and each of the products' stock with its version.
pub fn outcome(changed: &[Subject]) -> String {
    let mut statement = format!(
        "(SELECT {ABOUT_STATE}, {STATE_COLUMNS} FROM cache_state s WHERE s.id = 1 LOCK IN SHARE MODE)"
    );
    for (entity, columns, table, id) in [
        (Entity::Order, "id, '', 0", "orders", "id"),
        (
            Entity::Product,
            "product_id, '', version",
            "stocks",
            "product_id",
        ),
    ] {
        let count = rung(of(entity, changed).count());
        if count > 0 {
            let (about, some) = (about(entity), placeholders(count));
            statement += &format!(
                " UNION ALL (SELECT {about}, {columns}, NULL FROM {table} WHERE {id} IN ({some}))"
            );
        }
    }
    statement
}

/// The parameters of [`outcome`].
pub fn ids_of(changed: &[Subject]) -> impl Iterator<Item = i64> {
    let ids = |entity| padded(of(entity, changed).collect());
    ids(Entity::Order).into_iter().chain(ids(Entity::Product))
}

fn of(entity: Entity, changed: &[Subject]) -> impl Iterator<Item = i64> {
    let of_entity = changed.iter().filter(move |(of, _)| *of == entity);
    of_entity.map(|&(_, id)| id)
}

fn state((about, epoch, server, beat, doubted_ms): &Row) -> Option<State> {
    (*about == ABOUT_STATE).then(|| (*epoch, server.clone(), *beat, *doubted_ms).into())
}

/// Whose turn it is to write a thing once the transaction has committed.
fn turn((entity, id): Subject, rows: &HashMap<(i64, i64), &Row>) -> String {
    match (rows.get(&(about(entity), id)), entity) {
        (None, _) => TURN_GONE.into(),
        (Some(_), Entity::Order) => TURN_PLACED.into(),
        (Some((_, _, _, version, _)), Entity::Product) => turn_of_version(*version),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_is_named_after_what_there_is_afterwards() {
        let thing = |entity, id, version| (about(entity), id, String::new(), version, None);
        let rows = [
            (ABOUT_STATE, 7, "server".into(), 3, None),
            thing(Entity::Order, 5, 0),
            thing(Entity::Product, 7, 12),
        ];
        let found = rows.iter().find_map(state).expect("it is there");
        assert_eq!((found.epoch, found.beat), (7, 3));
        let rows = rows.iter().map(|row| ((row.0, row.1), row)).collect();
        assert_eq!(turn((Entity::Order, 5), &rows), TURN_PLACED);
        assert_eq!(turn((Entity::Order, 7), &rows), TURN_GONE);
        assert_eq!(turn((Entity::Product, 7), &rows), "w12");
        assert_eq!(turn((Entity::Product, 5), &rows), TURN_GONE);
    }

    #[test]
    fn only_what_changed_is_asked_for() {
        let changed = [
            (Entity::Product, 5),
            (Entity::Order, 7),
            (Entity::Product, 6),
        ];
        let statement = outcome(&changed);
        assert!(
            statement.ends_with("WHERE product_id IN (?, ?))"),
            "{statement}"
        );
        assert!(ids_of(&changed).eq([7, 5, 6]));
        assert!(!outcome(&changed[..1]).contains("orders"));
    }
}
