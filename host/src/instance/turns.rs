//! Requests that wait, by whose they are: clients take turns, so that one who sends many waits for itself and not its
//! neighbours for it.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::time::Instant;

/// Whose a request is: a client address's, or the host's own.
pub(crate) type Asker = Option<IpAddr>;

/// Lines that are empty and kept for the next client, so that most requests need no new one.
const SPARE: usize = 16;

/// Requests that wait, in a line for each asker.
pub(crate) struct Turns<R> {
    /// Goes before all others.
    first: Line<R>,
    /// The line of each asker. None is empty.
    lines: HashMap<Asker, Line<R>>,
    /// Everyone who has a line, in the order of their turns.
    order: VecDeque<Asker>,
    spare: Vec<Line<R>>,
}

/// The requests of one asker in the order of their arrival, and when each arrived.
type Line<R> = VecDeque<(Instant, R)>;

impl<R> Turns<R> {
    pub(crate) fn new() -> Self {
        Self {
            first: VecDeque::new(),
            lines: HashMap::new(),
            order: VecDeque::new(),
            spare: Vec::new(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.first.is_empty() && self.order.is_empty()
    }

    /// Adds a request after all others of the same asker.
    pub(crate) fn push(&mut self, asker: Asker, request: R) {
        let spare = &mut self.spare;
        let line = self.lines.entry(asker);
        let line = line.or_insert_with(|| spare.pop().unwrap_or_default());
        if line.is_empty() {
            self.order.push_back(asker);
        }
        line.push_back((Instant::now(), request));
    }

    /// Adds a request before all that wait.
    pub(crate) fn push_first(&mut self, request: R) {
        // As old as the one after it, or that would wait longer until another instance is called.
        let since = self.since().unwrap_or_else(Instant::now);
        self.first.push_front((since, request));
    }

    /// Since when the next one waits. Another asker's may have waited longer; it is soon the next.
    pub(crate) fn since(&self) -> Option<Instant> {
        let of_turn = || self.lines.get(self.order.front()?)?.front();
        let next = self.first.front().or_else(of_turn);
        next.map(|(since, _)| *since)
    }

    /// Takes the request whose turn it is.
    pub(crate) fn pop(&mut self) -> Option<R> {
        if let Some((_, request)) = self.first.pop_front() {
            return Some(request);
        }
        let asker = self.order.pop_front()?;
        let line = self.lines.get_mut(&asker)?;
        let next = line.pop_front();
        if !line.is_empty() {
            self.order.push_back(asker);
        } else if let Some(line) = self.lines.remove(&asker)
            && self.spare.len() < SPARE
        {
            self.spare.push(line);
        }
        next.map(|(_, request)| request)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn client(number: u8) -> Asker {
        Some(Ipv4Addr::new(203, 0, 113, number).into())
    }

    #[test]
    fn clients_take_turns() {
        let mut turns = Turns::new();
        for request in 10..14 {
            turns.push(client(1), request);
        }
        turns.push(client(2), 20);
        turns.push(None, 30);
        turns.push(client(2), 21);
        assert_eq!(turns.pop(), Some(10));
        turns.push(client(3), 40);
        turns.push_first(1);
        let rest: Vec<i32> = std::iter::from_fn(|| turns.pop()).collect();
        assert_eq!(rest, [1, 20, 30, 11, 40, 21, 12, 13]);
        assert!(turns.is_empty() && turns.lines.is_empty());
        turns.push(client(1), 15);
        assert_eq!(turns.pop(), Some(15));
    }

    #[test]
    fn what_goes_first_is_as_old_as_what_it_goes_before() {
        let mut turns = Turns::new();
        assert_eq!(turns.since(), None);
        turns.push(client(1), 1);
        let since = turns.since();
        turns.push_first(2);
        assert_eq!(turns.since(), since);
    }
}
