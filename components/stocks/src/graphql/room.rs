//! The memory of an instance that its queries share.
//!
//! An instance serves 64 requests at once by default, in 128 MiB. Each may hold a mebibyte: a body that is arriving, or
//! a query that waits, or an answer that is being sent. A query that takes more while it is executed takes it from a
//! room for all of them, and waits until the room has enough. What is left of the 128 MiB is for the instance itself
//! and for what its allocator loses between blocks of different sizes.
//!
//! Queries get room in the order in which they came, so a dear one is not overtaken for ever. Cheap ones need no room.

use std::cell::RefCell;
use std::collections::VecDeque;

use spin_sdk::wasip3::wit_bindgen::StreamWriter;
use spin_sdk::wasip3::wit_stream;

use super::cost;

/// The longest answer, in bytes: it stays in memory until its client has read it.
pub(super) const MAX_TEXT_BYTES: usize = 1024 * 1024;

/// The memory, in bytes, that all queries may take together. It fits at least one query of any cost that passes.
const ROOM_BYTES: usize = 32 * 1024 * 1024;
const _: () = assert!(cost::MOST_MEMORY <= ROOM_BYTES);

/// The memory, in bytes, that a query may take without room. Its text and its variables, read and unread, take less
/// than the other half of its mebibyte.
const CHEAP_BYTES: usize = 512 * 1024;

thread_local! {
    /// Who waits is woken by the end of a stream, as an order that waits for its group: see `orders`, `member.rs`. Each
    /// request removes what it has here when it ends, however it ends.
    static ROOM: RefCell<Room<StreamWriter<u8>>> = const { RefCell::new(Room::new(ROOM_BYTES)) };
}

/// A part of the room, until this is dropped.
pub(super) struct RoomShare {
    bytes: usize,
}

impl Drop for RoomShare {
    fn drop(&mut self) {
        if self.bytes > 0 {
            // The one who is next wakes only once the room is no longer borrowed.
            drop(ROOM.with_borrow_mut(|room| room.give_back(self.bytes)));
        }
    }
}

/// Takes room for a query that takes `bytes`; `None` if it has to wait.
pub(super) fn try_hold(bytes: usize) -> Option<RoomShare> {
    let bytes = if bytes > CHEAP_BYTES { bytes } else { 0 };
    let has_room = bytes == 0 || ROOM.with_borrow_mut(|room| room.try_take(bytes));
    // Not made where there is no room: it would give back what it has not taken.
    has_room.then(|| RoomShare { bytes })
}

/// Takes room for a query that takes `bytes`, and waits for its turn.
pub(super) async fn hold(bytes: usize) -> RoomShare {
    let mut turn = Turn {
        number: ROOM.with_borrow_mut(|room| room.wait(bytes)),
        is_over: false,
    };
    while !turn.take() {
        let (writer, mut end) = wit_stream::new();
        ROOM.with_borrow_mut(|room| room.sleep(turn.number, writer));
        _ = end.read(Vec::with_capacity(1)).await;
    }
    RoomShare { bytes }
}

/// The turn of a query that waits. If it is dropped before, the next query has its turn.
struct Turn {
    number: u64,
    is_over: bool,
}

impl Turn {
    /// Takes the room if it is this query's turn and there is enough.
    fn take(&mut self) -> bool {
        self.is_over = ROOM.with_borrow_mut(|room| room.take_turn(self.number));
        if self.is_over {
            // There may be room for the next one too.
            drop(ROOM.with_borrow_mut(Room::wake));
        }
        self.is_over
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if !self.is_over {
            drop(ROOM.with_borrow_mut(|room| room.give_up(self.number)));
        }
    }
}

/// The room. A query sleeps until its `W` is dropped.
struct Room<W> {
    free_bytes: usize,
    /// In order of arrival.
    waiting: VecDeque<Waiting<W>>,
    /// How many queries have ever waited. Each gets its number from it.
    turns: u64,
}

struct Waiting<W> {
    turn: u64,
    bytes: usize,
    sleep: Option<W>,
}

impl<W> Room<W> {
    const fn new(bytes: usize) -> Self {
        Self {
            free_bytes: bytes,
            waiting: VecDeque::new(),
            turns: 0,
        }
    }

    /// Takes `bytes`, if they are free and nobody waits. Returns whether it did.
    fn try_take(&mut self, bytes: usize) -> bool {
        let is_free = self.waiting.is_empty() && bytes <= self.free_bytes;
        if is_free {
            self.free_bytes -= bytes;
        }
        is_free
    }

    /// Adds a query to those that wait, and returns its number.
    fn wait(&mut self, bytes: usize) -> u64 {
        self.turns += 1;
        self.waiting.push_back(Waiting {
            turn: self.turns,
            bytes,
            sleep: None,
        });
        self.turns
    }

    /// Takes the bytes of the first query that waits, if that is this one and they are free. Returns whether it did.
    fn take_turn(&mut self, turn: u64) -> bool {
        match self.waiting.front() {
            Some(first) if first.turn == turn && first.bytes <= self.free_bytes => {
                self.free_bytes -= first.bytes;
                self.waiting.pop_front();
                true
            }
            _ => false,
        }
    }

    /// Records by what the query is woken.
    fn sleep(&mut self, turn: u64, by: W) {
        let mut waiting = self.waiting.iter_mut();
        if let Some(waiting) = waiting.find(|waiting| waiting.turn == turn) {
            waiting.sleep = Some(by);
        }
    }

    /// What wakes the query whose turn it is, once the caller drops it.
    #[must_use]
    fn wake(&mut self) -> Option<W> {
        let free_bytes = self.free_bytes;
        let first = self.waiting.front_mut();
        first
            .filter(|first| first.bytes <= free_bytes)?
            .sleep
            .take()
    }

    #[must_use]
    fn give_back(&mut self, bytes: usize) -> Option<W> {
        self.free_bytes += bytes;
        self.wake()
    }

    /// Removes a query that no longer waits.
    #[must_use]
    fn give_up(&mut self, turn: u64) -> Option<W> {
        self.waiting.retain(|waiting| waiting.turn != turn);
        self.wake()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A room of ten bytes in which one query has nine.
    fn nearly_full() -> Room<&'static str> {
        let mut room = Room::new(10);
        assert!(room.try_take(9));
        room
    }

    fn sleeper(room: &mut Room<&'static str>, bytes: usize, name: &'static str) -> u64 {
        let turn = room.wait(bytes);
        assert!(!room.take_turn(turn), "{name}");
        room.sleep(turn, name);
        turn
    }

    #[test]
    fn who_finds_no_room_waits_until_it_is_given_back() {
        let mut room = nearly_full();
        assert!(!room.try_take(2));
        let turn = sleeper(&mut room, 2, "first");
        assert_eq!(room.give_back(9), Some("first"));
        assert!(room.take_turn(turn));
        assert_eq!(room.free_bytes, 8);
        assert_eq!(room.give_back(2), None);
        assert!(room.try_take(10));
    }

    #[test]
    fn nobody_overtakes_and_who_fits_together_goes_together() {
        let mut room = nearly_full();
        let large = sleeper(&mut room, 6, "large");
        let small = sleeper(&mut room, 1, "small");
        assert!(!room.try_take(1), "the large one was here first");
        assert!(!room.take_turn(small));
        assert_eq!(room.give_back(9), Some("large"));
        assert!(room.take_turn(large));
        assert_eq!(room.wake(), Some("small"));
        assert!(room.take_turn(small));
        assert_eq!(room.free_bytes, 3);
    }

    #[test]
    fn who_gives_up_lets_the_next_one_in() {
        let mut room = nearly_full();
        let large = sleeper(&mut room, 6, "large");
        let small = sleeper(&mut room, 1, "small");
        assert_eq!(room.give_up(large), Some("small"));
        assert!(room.take_turn(small));
        assert_eq!(room.give_up(large), None, "it was gone already");
        assert_eq!(room.free_bytes, 0);
    }

    #[test]
    fn a_cheap_query_needs_no_room() {
        let cheap: Vec<_> = (0..1000).map(|_| try_hold(CHEAP_BYTES)).collect();
        assert!(cheap.iter().all(Option::is_some));
        let dear: Vec<_> = (0..9).map(|_| try_hold(ROOM_BYTES / 2)).collect();
        assert_eq!(dear.iter().flatten().count(), 2);
        drop(dear);
        assert!(try_hold(ROOM_BYTES).is_some());
    }
}
