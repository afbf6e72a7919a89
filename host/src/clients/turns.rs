//! Waiting requests, in one line for each client. Clients take turns, so a client with many requests delays its own and
//! not those of others.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv6Addr};
use std::time::Instant;

/// The client address that a request belongs to; `None` for the host's own work.
pub(crate) type Asker = Option<IpAddr>;

/// The asker of all mirrored copies. They take turns with clients as if one client had sent them. No client has this
/// address: packets to its range are discarded (RFC 6666), and IPv6 clients count by the first half of their addresses
/// only.
pub(crate) const COPIES: IpAddr = IpAddr::V6(Ipv6Addr::new(0x100, 0, 0, 0, 0, 0, 0, 1));

/// How many empty lines are kept for the next clients, so that most requests allocate none.
const SPARE: usize = 16;

/// Waiting requests, in one line for each asker.
pub(crate) struct Turns<R> {
    /// Requests that go before all others.
    first: Line<R>,
    /// The line of each asker that has one. No line is empty.
    lines: HashMap<Asker, Line<R>>,
    /// The askers that have a line, in the order of their turns.
    order: VecDeque<Asker>,
    spare: Vec<Line<R>>,
}

/// The requests of one asker in the order of their arrival, with the time of arrival.
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

    /// Whether requests of this asker wait.
    pub(crate) fn has_line(&self, asker: Asker) -> bool {
        self.lines.contains_key(&asker)
    }

    /// Adds a request at the end of its asker's line.
    pub(crate) fn push(&mut self, asker: Asker, request: R) {
        let spare = &mut self.spare;
        let line = self.lines.entry(asker);
        let line = line.or_insert_with(|| spare.pop().unwrap_or_default());
        if line.is_empty() {
            self.order.push_back(asker);
        }
        line.push_back((Instant::now(), request));
    }

    /// Adds a request before all waiting ones.
    pub(crate) fn push_first(&mut self, request: R) {
        // It gets the age of the request behind it. Otherwise that request would wait longer until another instance is
        // called for it.
        let since = self.since().unwrap_or_else(Instant::now);
        self.first.push_front((since, request));
    }

    /// How long the next request has waited, as a start time. A request of another asker may have waited longer, but
    /// will soon be the next.
    pub(crate) fn since(&self) -> Option<Instant> {
        let of_turn = || self.lines.get(self.order.front()?)?.front();
        let next = self.first.front().or_else(of_turn);
        next.map(|(since, _)| *since)
    }

    /// Removes the request whose turn it is.
    pub(crate) fn pop(&mut self) -> Option<R> {
        self.pop_first_or_of(|_| true)
    }

    /// Removes the first urgent request, or else the request of the next asker that `may` be served.
    pub(crate) fn pop_first_or_of(&mut self, may: impl Fn(Asker) -> bool) -> Option<R> {
        if let Some((_, request)) = self.first.pop_front() {
            return Some(request);
        }
        self.pop_of(may).map(|(_, request)| request)
    }

    /// Removes the request of the next asker that `may` be served. The askers before it keep their turns.
    pub(crate) fn pop_of(&mut self, may: impl Fn(Asker) -> bool) -> Option<(Asker, R)> {
        let turn = self.order.iter().position(|asker| may(*asker))?;
        let asker = self.order.remove(turn)?;
        let line = self.lines.get_mut(&asker)?;
        let (_, request) = line.pop_front()?;
        if line.is_empty() {
            self.end_line(asker);
        } else {
            self.order.push_back(asker);
        }
        Some((asker, request))
    }

    /// Removes the requests at the beginning of an asker's line for which `over` is true.
    pub(crate) fn forget_first(&mut self, asker: Asker, over: impl Fn(&R) -> bool) {
        let Some(line) = self.lines.get_mut(&asker) else {
            return;
        };
        while line.pop_front_if(|(_, request)| over(request)).is_some() {}
        if line.is_empty() {
            self.order.retain(|other| *other != asker);
            self.end_line(asker);
        }
    }

    fn end_line(&mut self, asker: Asker) {
        if let Some(line) = self.lines.remove(&asker)
            && self.spare.len() < SPARE
        {
            self.spare.push(line);
        }
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
    fn who_may_have_nothing_keeps_its_turn() {
        let mut turns = Turns::new();
        for (asker, request) in [(1, 10), (2, 20), (1, 11), (3, 30), (2, 21)] {
            turns.push(client(asker), request);
        }
        let not_1 = |asker| asker != client(1);
        assert_eq!(turns.pop_of(not_1), Some((client(2), 20)));
        assert_eq!(turns.pop(), Some(10));
        assert_eq!(turns.pop_of(not_1), Some((client(3), 30)));
        assert_eq!(turns.pop_of(not_1), Some((client(2), 21)));
        assert_eq!(turns.pop_of(not_1), None);
        assert_eq!(turns.pop(), Some(11));
    }

    #[test]
    fn what_is_over_is_forgotten_and_its_asker_with_it() {
        let mut turns = Turns::new();
        for request in [10, 11, 2, 12] {
            turns.push(client(1), request);
        }
        turns.push(client(2), 20);
        turns.forget_first(client(1), |request| *request >= 10);
        assert_eq!(turns.pop(), Some(2));
        turns.forget_first(client(1), |request| *request >= 10);
        turns.forget_first(client(3), |_| true);
        assert!(turns.has_line(client(2)) && !turns.has_line(client(1)));
        assert_eq!(turns.pop(), Some(20));
        assert!(turns.is_empty() && turns.lines.is_empty());
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
