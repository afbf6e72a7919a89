//! One order's way through a group, from its own request's point of view.

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
    /// The orders of this instance that wait. They are the one thing of requests that a static holds: each takes its own
    /// out when it ends, however that comes.
    static GATHERING: RefCell<Gathering<Rc<Member>>> = const { RefCell::new(Gathering::new()) };
}

/// An order in the gathering or in a group.
pub(super) struct Member {
    order: Placement,
    state: RefCell<State>,
    /// Others of its group that have its key. They are told when it is.
    echoes: RefCell<Vec<Rc<Member>>>,
    /// Its request sleeps until this ends. A task can't wake another by a waker, only by what the host knows of: so a
    /// request waits for the end of a stream that nothing is ever written to.
    sleep: RefCell<Option<StreamWriter<u8>>>,
}

enum State {
    /// It waits.
    Waiting,
    /// Its request has to start a group.
    Called,
    /// What became of it.
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
    /// Tells its request, and those of its echoes, what became of it, which is told once.
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

/// What an order's echo is told: the same, if it asked for the same. Otherwise it has to look what the key stands for now.
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

/// A request's hold on its order. Without it, nobody waits for the outcome.
struct Seat(Rc<Member>);

impl Drop for Seat {
    fn drop(&mut self) {
        GATHERING.with_borrow_mut(|gathering| gathering.leave(|other| Rc::ptr_eq(other, &self.0)));
        if matches!(&*self.0.state.borrow(), State::Called) {
            // It was to start a group and does not come to it.
            drop(GroupTurn);
        }
    }
}

/// What a request does next.
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
/// What the order would fail with if it were alone.
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
            // Goes on when this request has its answer: a part of its group may take longer.
            Step::Lead => spawn(run::group(terms.clone(), GroupTurn)),
            Step::Wait(mut end) => _ = end.read(Vec::with_capacity(1)).await,
        }
    }
}

/// The turn of one group. When this is dropped, the next group goes.
pub(super) struct GroupTurn;

impl GroupTurn {
    /// Who belongs to the group: those who wait now.
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

/// The members of a group. Whoever of them was told nothing until it is dropped is told that nobody knows.
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
