//! One order in a group, as its own request sees it.

use std::cell::RefCell;
use std::ops::Deref;
use std::rc::Rc;

use spin_sdk::wasip3::wit_bindgen::{StreamReader, StreamWriter};
use spin_sdk::wasip3::{spawn, wit_stream};
use store_domain::idempotency::Claim;
use store_guest::idempotency;
use store_guest::mysql::Abort;

use super::gathering::{Candidate, Gathering};
use super::{Placement, Terms, run};

thread_local! {
    /// The orders of this instance that wait for a group. This is the only static that holds something of a request:
    /// each request removes its order when it ends, however it ends.
    static GATHERING: RefCell<Gathering<Rc<Member>>> = const { RefCell::new(Gathering::new()) };
}

/// An order that waits or is in a group.
pub(super) struct Member {
    order: Placement,
    state: RefCell<State>,
    /// Other orders of the group that have the same idempotency key. They get their outcome when this one does.
    echoes: RefCell<Vec<Rc<Member>>>,
    /// The order's request sleeps until this stream ends. A waker can't wake another request's task, only an event that
    /// the host knows; so the request waits for the end of a stream to which nothing is ever written.
    sleep: RefCell<Option<StreamWriter<u8>>>,
}

enum State {
    /// The order waits.
    Waiting,
    /// The order's request has to start a group.
    Called,
    /// The outcome.
    Done(Result<i64, Abort>),
}

impl Deref for Member {
    type Target = Placement;

    fn deref(&self) -> &Placement {
        &self.order
    }
}

impl Candidate for Member {
    fn size(&self) -> (usize, usize, usize) {
        self.order.size()
    }

    fn key(&self) -> Option<&str> {
        self.order.key()
    }
}

impl Member {
    /// Gives the outcome to the order's request and to its echoes. Only the first call counts.
    pub(super) fn done(&self, outcome: Result<i64, Abort>) {
        if self.is_done() {
            return;
        }
        for echo in self.echoes.take() {
            echo.done(heard(&self.claim, &echo.claim, &outcome));
        }
        self.wake(State::Done(outcome));
    }

    fn is_done(&self) -> bool {
        matches!(&*self.state.borrow(), State::Done(_))
    }

    fn wake(&self, state: State) {
        self.state.replace(state);
        self.sleep.take();
    }
}

/// The outcome of an echo: the same as the order's if both are the same request. Otherwise the echo has to look up what
/// its key was used for.
fn heard(
    order: &Option<Claim>,
    echo: &Option<Claim>,
    outcome: &Result<i64, Abort>,
) -> Result<i64, Abort> {
    if order == echo {
        outcome.clone()
    } else {
        Err(idempotency::taken())
    }
}

/// The request's hold on its order. When it is dropped, nobody waits for the outcome any more.
struct Seat(Rc<Member>);

impl Drop for Seat {
    fn drop(&mut self) {
        GATHERING.with_borrow_mut(|gathering| gathering.leave(|other| Rc::ptr_eq(other, &self.0)));
        if matches!(&*self.0.state.borrow(), State::Called) {
            // The request was to start a group and ends before it could.
            drop(GroupTurn);
        }
    }
}

/// What a request has to do next.
enum Step {
    Return(Result<i64, Abort>),
    Lead,
    Wait(StreamReader<u8>),
}

impl Seat {
    fn step(&self) -> Step {
        let mut state = self.0.state.borrow_mut();
        match &*state {
            State::Done(outcome) => Step::Return(outcome.clone()),
            State::Called => {
                *state = State::Waiting;
                Step::Lead
            }
            State::Waiting => {
                let (writer, reader) = wit_stream::new();
                self.0.sleep.replace(Some(writer));
                Step::Wait(reader)
            }
        }
    }
}

/// Places an order in a group.
///
/// # Errors
/// The error that the order would get alone.
pub(super) async fn join(terms: &Terms, order: Placement) -> Result<i64, Abort> {
    let member = Rc::new(Member {
        order,
        state: RefCell::new(State::Waiting),
        echoes: RefCell::default(),
        sleep: RefCell::new(None),
    });
    let seat = Seat(member.clone());
    if GATHERING.with_borrow_mut(|gathering| gathering.enter(member.clone())) {
        member.wake(State::Called);
    }
    loop {
        match seat.step() {
            Step::Return(outcome) => return outcome,
            // The group runs in a task of its own, because it may outlive this request: other parts of the group may
            // take longer.
            Step::Lead => spawn(run::group(terms.clone(), GroupTurn)),
            Step::Wait(mut end) => _ = end.read(Vec::with_capacity(1)).await,
        }
    }
}

/// The turn of one group. Dropping it starts the next group.
pub(super) struct GroupTurn;

impl GroupTurn {
    /// Seals the group: the orders that wait now are its members.
    pub(super) fn seal(terms: &Terms) -> Group {
        let sealed = GATHERING.with_borrow_mut(|gathering| gathering.seal(terms.bounds));
        for (at, echo) in sealed.echoes {
            sealed.members[at].echoes.borrow_mut().push(echo);
        }
        Group(sealed.members)
    }
}

impl Drop for GroupTurn {
    fn drop(&mut self) {
        let next = GATHERING.with_borrow_mut(|gathering| gathering.finish().cloned());
        if let Some(next) = next {
            next.wake(State::Called);
        }
    }
}

/// The members of a group. When the group is dropped, each member without an outcome gets "outcome unknown".
pub(super) struct Group(Vec<Rc<Member>>);

impl Group {
    pub(super) fn members(&self) -> &[Rc<Member>] {
        &self.0
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        for member in &self.0 {
            member.done(Err(run::broken_off()));
        }
    }
}

#[cfg(test)]
mod tests {
    use store_domain::StoreError;
    use store_domain::idempotency::{IdempotencyKey, Route};

    use super::*;

    fn claim(body: &[u8]) -> Option<Claim> {
        let key = IdempotencyKey::parse(b"key").ok()?;
        Some(key.claim(Route::Orders, body))
    }

    #[test]
    fn an_echo_is_told_what_its_order_is_told() {
        let refusal = Err(StoreError::Conflict("too little".into()).into());
        for outcome in [Ok(7), refusal] {
            assert_eq!(heard(&claim(b"a"), &claim(b"a"), &outcome), outcome);
            let other = heard(&claim(b"a"), &claim(b"b"), &outcome);
            assert_eq!(other, Err(idempotency::taken()));
        }
    }
}
