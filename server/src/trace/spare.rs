//! Records that wait to be used again, with the room for their attributes and text. Nearly every tree is thrown away as
//! soon as it is finished, so a request takes its records from an earlier one instead of allocating them.

use std::cell::RefCell;
use std::time::Instant;

use opentelemetry::trace::SpanId;

use super::record::{Kind, Record};
use super::shared_description::SharedDescription;

/// Most records that wait on one thread. A request seldom has more spans, and other threads have their own.
const MOST: usize = 64;

/// Room for attributes. A record with more is freed, so that a few large ones don't stay.
const MOST_ATTRIBUTES: usize = 8;

/// The records that wait on one thread.
struct Spare {
    #[expect(clippy::vec_box, reason = "they are boxed while they are in use")]
    records: Vec<Box<Record>>,
}

thread_local! {
    static SPARE: RefCell<Spare> = const { RefCell::new(Spare { records: Vec::new() }) };
}

/// A record of which the caller must set id, parent, name, kind and begin. It has no target, attributes or text.
pub(super) fn take() -> Box<Record> {
    // While a thread ends, nothing waits on it any more.
    let spare = SPARE.try_with(|spare| spare.borrow_mut().records.pop());
    spare.ok().flatten().unwrap_or_else(|| Box::new(empty()))
}

/// Takes back records that nobody needs any more.
pub(super) fn give_back(records: impl IntoIterator<Item = Box<Record>>) {
    _ = SPARE.try_with(|spare| {
        let waiting = &mut spare.borrow_mut().records;
        for mut record in records {
            if waiting.len() < MOST && record.attributes.capacity() <= MOST_ATTRIBUTES {
                clear(&mut record);
                waiting.push(record);
            }
        }
    });
}

fn clear(record: &mut Record) {
    record.before = None;
    record.target = None;
    record.attributes.clear();
    record.shared = SharedDescription::default();
    record.links.clear();
    record.error = None;
    record.text.clear();
    record.describe = None;
}

/// Number of records that wait on this thread.
#[cfg(test)]
pub(super) fn count() -> usize {
    SPARE.with(|spare| spare.borrow().records.len())
}

fn empty() -> Record {
    let now = Instant::now();
    Record {
        id: SpanId::INVALID,
        parent: SpanId::INVALID,
        name: "",
        target: None,
        kind: Kind::Internal,
        began: now,
        ended: now,
        before: None,
        attributes: Vec::with_capacity(4),
        shared: SharedDescription::default(),
        links: Vec::new(),
        error: None,
        text: String::new(),
        describe: None,
    }
}
