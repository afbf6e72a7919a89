//! The orders that wait for a group, and when the next group starts: when an order arrives and no group is under way,
//! or when a group has committed. No timer adds delay.

use std::collections::{HashMap, VecDeque};
use std::ops::Deref;

use super::Placement;

/// How many groups of one instance may be under way at once. With two, each group would be half as large:
/// docs/adr/0015.
const GROUPS_AT_ONCE: usize = 1;

/// The limits of one group.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) orders: usize,
    /// The lines of all orders.
    pub(super) items: usize,
    /// The bytes of all request bodies.
    pub(super) bytes: usize,
}

impl Bounds {
    /// Whether the order alone is within the limits.
    pub(super) fn fit(&self, order: &Placement) -> bool {
        let (_, items, bytes) = order.size();
        items <= self.items && bytes <= self.bytes
    }
}

/// An order that can be gathered into a group.
pub(super) trait Candidate {
    /// The number of orders (1), of lines and of bytes.
    fn size(&self) -> (usize, usize, usize);

    /// The SHA-256 of the order's `Idempotency-Key`.
    fn key(&self) -> Option<&str>;
}

impl Candidate for Placement {
    fn size(&self) -> (usize, usize, usize) {
        (1, self.basket.product_ids().len(), self.bytes)
    }

    fn key(&self) -> Option<&str> {
        self.claim.as_ref().map(|claim| claim.key_sha256.as_str())
    }
}

/// The orders that wait for a group, in order of arrival.
pub(super) struct Gathering<M> {
    waiting: VecDeque<M>,
    /// The number of groups that were started and have not committed yet.
    under_way: usize,
}

/// A group that accepts no more orders.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SealedGroup<M> {
    /// The members of the group, in order of arrival.
    pub(super) members: Vec<M>,
    /// Orders whose idempotency key a member has too, each with that member's index in `members`.
    pub(super) echoes: Vec<(usize, M)>,
}

impl<M> Gathering<M> {
    pub(super) const fn new() -> Self {
        Self {
            waiting: VecDeque::new(),
            under_way: 0,
        }
    }

    /// Adds an order. Returns whether a group has to start; that group then counts as under way.
    #[must_use]
    pub(super) fn enter(&mut self, member: M) -> bool {
        self.waiting.push_back(member);
        self.call().is_some()
    }

    /// Removes an order that leaves before its group was sealed, if it still waits.
    pub(super) fn leave(&mut self, is_it: impl Fn(&M) -> bool) {
        self.waiting.retain(|member| !is_it(member));
    }

    /// Notes that a group has committed or given up. If another group has to start, counts it as under way and returns
    /// its first member.
    #[must_use]
    pub(super) fn finish(&mut self) -> Option<&M> {
        self.under_way = self.under_way.saturating_sub(1);
        self.call()
    }

    fn call(&mut self) -> Option<&M> {
        if self.under_way >= GROUPS_AT_ONCE {
            return None;
        }
        let first = self.waiting.front()?;
        self.under_way += 1;
        Some(first)
    }
}

impl<M: Deref<Target: Candidate>> Gathering<M> {
    /// Takes the orders of the next group: as many as the limits allow, strictly in order of arrival.
    pub(super) fn seal(&mut self, bounds: Bounds) -> SealedGroup<M> {
        let mut keys = HashMap::new();
        let mut sealed = SealedGroup {
            members: vec![],
            echoes: vec![],
        };
        let (mut orders, mut items, mut bytes) = (0, 0, 0);
        while let Some(next) = self.waiting.pop_front() {
            let size = next.size();
            (orders, items, bytes) = (orders + size.0, items + size.1, bytes + size.2);
            let has_room =
                orders <= bounds.orders && items <= bounds.items && bytes <= bounds.bytes;
            if !(has_room || sealed.members.is_empty()) {
                self.waiting.push_front(next);
                break;
            }
            let place = sealed.members.len();
            let owner = match next.key() {
                Some(key) => *keys.entry(key.to_owned()).or_insert(place),
                None => place,
            };
            if owner == place {
                sealed.members.push(next);
            } else {
                sealed.echoes.push((owner, next));
            }
        }
        sealed
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;

    #[derive(Debug, PartialEq, Eq)]
    struct Order {
        number: u32,
        items: usize,
        bytes: usize,
        key: Option<&'static str>,
    }

    impl Candidate for Order {
        fn size(&self) -> (usize, usize, usize) {
            (1, self.items, self.bytes)
        }

        fn key(&self) -> Option<&str> {
            self.key
        }
    }

    const BOUNDS: Bounds = Bounds {
        orders: 3,
        items: 10,
        bytes: 100,
    };

    fn order(number: u32, items: usize, bytes: usize) -> Rc<Order> {
        keyed(number, items, bytes, None)
    }

    fn keyed(number: u32, items: usize, bytes: usize, key: Option<&'static str>) -> Rc<Order> {
        Rc::new(Order {
            number,
            items,
            bytes,
            key,
        })
    }

    fn gathering(orders: impl IntoIterator<Item = Rc<Order>>) -> Gathering<Rc<Order>> {
        let mut gathering = Gathering::new();
        for order in orders {
            _ = gathering.enter(order);
        }
        gathering
    }

    fn numbers(orders: &[Rc<Order>]) -> Vec<u32> {
        orders.iter().map(|order| order.number).collect()
    }

    fn seal(gathering: &mut Gathering<Rc<Order>>) -> Vec<u32> {
        numbers(&gathering.seal(BOUNDS).members)
    }

    #[test]
    fn the_first_goes_at_once_and_others_when_it_has_committed() {
        let mut gathering = Gathering::new();
        assert!(gathering.enter(order(1, 1, 1)));
        assert_eq!(seal(&mut gathering), [1]);
        assert!(!gathering.enter(order(2, 1, 1)));
        assert!(!gathering.enter(order(3, 1, 1)));
        assert_eq!(gathering.finish().map(|first| first.number), Some(2));
        assert_eq!(seal(&mut gathering), [2, 3]);
        assert_eq!(gathering.finish(), None);
        assert!(gathering.enter(order(4, 1, 1)));
    }

    #[test]
    fn a_group_keeps_its_bounds_and_the_order_in_which_they_came() {
        let mut by_orders = gathering((1..=4).map(|number| order(number, 1, 1)));
        assert_eq!(seal(&mut by_orders), [1, 2, 3]);
        assert_eq!(seal(&mut by_orders), [4]);
        let mut by_items = gathering([order(1, 4, 1), order(2, 7, 1), order(3, 1, 1)]);
        assert_eq!(seal(&mut by_items), [1], "and not the small one before it");
        assert_eq!(seal(&mut by_items), [2, 3]);
        let mut by_bytes = gathering([order(1, 1, 50), order(2, 1, 50), order(3, 1, 1)]);
        assert_eq!(seal(&mut by_bytes), [1, 2]);
        assert_eq!(seal(&mut by_bytes), [3]);
    }

    #[test]
    fn nobody_is_too_large_to_go_some_time() {
        let mut gathering = gathering([order(1, 11, 101), order(2, 1, 1)]);
        assert_eq!(seal(&mut gathering), [1]);
        assert_eq!(seal(&mut gathering), [2]);
        assert!(seal(&mut gathering).is_empty());
    }

    #[test]
    fn who_has_a_members_key_is_its_echo() {
        let mut gathering = gathering([
            keyed(1, 1, 1, Some("a")),
            keyed(2, 1, 1, Some("b")),
            keyed(3, 1, 1, Some("b")),
        ]);
        let sealed = gathering.seal(BOUNDS);
        assert_eq!(numbers(&sealed.members), [1, 2]);
        let echoes = sealed.echoes.iter();
        let echoes: Vec<_> = echoes.map(|(at, echo)| (*at, echo.number)).collect();
        assert_eq!(echoes, [(1, 3)]);
    }

    #[test]
    fn who_leaves_is_not_called() {
        let mut gathering = gathering([order(1, 1, 1), order(2, 1, 1), order(3, 1, 1)]);
        assert_eq!(
            gathering
                .seal(Bounds {
                    orders: 1,
                    ..BOUNDS
                })
                .members
                .len(),
            1
        );
        gathering.leave(|order| order.number == 2);
        assert_eq!(gathering.finish().map(|first| first.number), Some(3));
        gathering.leave(|order| order.number == 3);
        assert_eq!(gathering.finish(), None);
    }
}
