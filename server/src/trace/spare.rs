//! Records that wait to be used again, with the room for their attributes and text. Nearly every tree is thrown away as
//! soon as it is finished, so a request takes its records from an earlier one instead of allocating them.

use std::cell::RefCell;

use super::record::Record;

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
    spare
        .ok()
        .flatten()
        .unwrap_or_else(|| Box::new(Record::empty()))
}

/// Takes back records that nobody needs any more.
pub(super) fn give_back(records: impl IntoIterator<Item = Box<Record>>) {
    _ = SPARE.try_with(|spare| {
        let waiting = &mut spare.borrow_mut().records;
        for mut record in records {
            let details = record.details();
            let is_large =
                details.is_some_and(|details| details.attributes.capacity() > MOST_ATTRIBUTES);
            if waiting.len() < MOST && !is_large {
                record.clear();
                waiting.push(record);
            }
        }
    });
}

/// Number of records that wait on this thread.
#[cfg(test)]
pub(super) fn count() -> usize {
    SPARE.with(|spare| spare.borrow().records.len())
}
