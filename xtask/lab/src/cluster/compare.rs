//! Compares the clients' knowledge of their orders with the database.

use std::collections::{BTreeMap, BTreeSet};

use super::history::{Cancellation, Order, Outcome};

/// An order in the database: its id, and its products and pieces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) user: u64,
    pub(super) id: u64,
    pub(super) lines: Vec<(u64, u64)>,
}

/// The differences between the clients' orders and the database's rows.
pub(super) fn compare(orders: &[Order], rows: &[Row]) -> Vec<String> {
    let mut found: BTreeMap<(u64, u64), Vec<&Row>> = BTreeMap::new();
    for row in rows {
        // The first line is the buyer's own product, with as many pieces as the order's number.
        let number = row.lines.first().map_or(0, |line| line.1);
        found.entry((row.user, number)).or_default().push(row);
    }
    let mut failures = Vec::new();
    let mut ids = BTreeSet::new();
    for order in orders {
        if let Outcome::Placed(id) = order.outcome
            && !ids.insert(id)
        {
            failures.push(format!("order {id} was confirmed for two orders"));
        }
        let rows = found.remove(&(order.user, order.number));
        let rows = rows.unwrap_or_default();
        if let Some(failure) = judge(order, &rows) {
            let Order { user, number, .. } = order;
            let key = if order.is_keyed { "" } else { "out" };
            failures.push(format!(
                "order {number} of user {user}, with{key} a key: {failure}"
            ));
        }
    }
    for row in found.into_values().flatten() {
        failures.push(format!("nobody placed order {}: {row:?}", row.id));
    }
    failures
}

fn judge(order: &Order, rows: &[&Row]) -> Option<String> {
    let ids: Vec<u64> = rows.iter().map(|row| row.id).collect();
    match (order.outcome, order.cancelled, &ids[..]) {
        (Outcome::Placed(id), Cancellation::No, []) => Some(format!("confirmed as {id}, but lost")),
        (Outcome::Placed(id), Cancellation::No | Cancellation::Unknown, [found])
            if *found == id =>
        {
            let is_whole = rows[0].lines == order.lines;
            (!is_whole).then(|| {
                format!(
                    "placed with {:?}, but in the database it is {:?}",
                    order.lines, rows[0]
                )
            })
        }
        (Outcome::Placed(_), Cancellation::Yes | Cancellation::Unknown, [])
        | (Outcome::Refused(_), _, [])
        | (Outcome::Unknown, _, [] | [_]) => None,
        (Outcome::Placed(id), Cancellation::Yes, _) => Some(format!(
            "confirmed as {id} and cancelled, but in the database as {ids:?}"
        )),
        (Outcome::Placed(id), _, _) => {
            Some(format!("confirmed as {id}, but in the database as {ids:?}"))
        }
        (Outcome::Refused(status), _, _) => Some(format!(
            "refused with {status}, but in the database as {ids:?}"
        )),
        (Outcome::Unknown, _, _) => Some(format!("in the database {} times: {ids:?}", ids.len())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use Cancellation::{No, Yes};
    use Outcome::{Placed, Refused};

    fn order(outcome: Outcome, cancelled: Cancellation) -> Order {
        Order {
            user: 3,
            number: 7,
            is_keyed: true,
            lines: vec![(3, 7), (50, 2)],
            outcome,
            cancelled,
        }
    }

    fn row(id: u64) -> Row {
        Row {
            user: 3,
            id,
            lines: vec![(3, 7), (50, 2)],
        }
    }

    /// What is wrong if the database has rows with these ids.
    fn failures(outcome: Outcome, cancelled: Cancellation, ids: &[u64]) -> Vec<String> {
        let rows: Vec<Row> = ids.iter().copied().map(row).collect();
        compare(&[order(outcome, cancelled)], &rows)
    }

    #[test]
    fn what_was_told_and_is_there_is_right() {
        for (outcome, cancelled, ids) in [
            (Placed(9), No, &[9][..]),
            (Placed(9), Yes, &[]),
            (Placed(9), Cancellation::Unknown, &[9]),
            (Placed(9), Cancellation::Unknown, &[]),
            (Refused(409), No, &[]),
            (Outcome::Unknown, No, &[9]),
            (Outcome::Unknown, No, &[]),
        ] {
            let failures = failures(outcome, cancelled, ids);
            assert!(failures.is_empty(), "{failures:?}");
        }
    }

    #[test]
    fn what_was_told_and_is_not_so_is_said() {
        for (outcome, cancelled, ids, said) in [
            (Placed(9), No, &[][..], "confirmed as 9, but lost"),
            (Placed(9), No, &[9, 10], "in the database as [9, 10]"),
            (Placed(9), No, &[10], "in the database as [10]"),
            (Placed(9), Yes, &[9], "cancelled, but in the database"),
            (
                Refused(503),
                No,
                &[9],
                "refused with 503, but in the database",
            ),
            (Outcome::Unknown, No, &[9, 10], "in the database 2 times"),
        ] {
            let failures = failures(outcome, cancelled, ids);
            assert_eq!(failures.len(), 1, "{failures:?}");
            assert!(failures[0].contains(said), "{failures:?}");
        }
    }

    #[test]
    fn an_order_that_nobody_placed_is_said() {
        let failures = compare(&[], &[row(9)]);
        assert!(
            failures[0].starts_with("nobody placed order 9"),
            "{failures:?}"
        );
    }

    #[test]
    fn half_an_order_is_not_there() {
        let mut half = row(9);
        half.lines.pop();
        let failures = compare(&[order(Placed(9), No)], &[half]);
        assert_eq!(failures.len(), 1, "{failures:?}");
    }
}
