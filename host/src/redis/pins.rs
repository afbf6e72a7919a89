//! One connection to a server answers a component's handle, although the link that carries its commands may be opened
//! again, to another server.

use parking_lot::Mutex;
use redis::RedisResult;

use super::errors::handle_ended;

/// The most slots of a Redis Cluster for which a handle has pins. It bounds the memory that a handle takes.
const MOST: usize = 16;

/// The connections that have answered one handle of a component, other than with an error: one connection, or one for
/// each slot of a Redis Cluster. If a component uses more than 16 slots over one handle, the oldest pins are forgotten.
///
/// Without this, a component could ask one server for its state and then, after a failover, tell another server what
/// was true for the first.
#[derive(Default)]
pub(super) struct Pins(Mutex<Vec<(u16, u64)>>);

/// The pin for one command. The default pins nothing: it is for commands that any connection may answer.
#[derive(Clone, Copy, Default)]
pub(super) struct Pin<'a> {
    pins: Option<&'a Pins>,
    slot: u16,
}

impl Pins {
    /// The pin where one server has all keys.
    pub(super) fn of_all_keys(&self) -> Pin<'_> {
        Pin {
            pins: Some(self),
            slot: 0,
        }
    }

    /// The pin for a slot of a Redis Cluster. A command without a slot may go to any of its servers.
    pub(super) fn of_slot(&self, slot: Option<u16>) -> Pin<'_> {
        Pin {
            pins: slot.is_some().then_some(self),
            slot: slot.unwrap_or_default(),
        }
    }
}

impl Pin<'_> {
    /// Whether no connection has answered yet.
    pub(super) fn is_free(&self) -> bool {
        let pinned = |pins: &Pins| pinned(&pins.0.lock(), self.slot).is_some();
        !self.pins.is_some_and(pinned)
    }

    /// Refuses a connection if another one has answered before.
    ///
    /// # Errors
    /// Another one has; the command must not be sent.
    pub(super) fn check(&self, connection: u64) -> RedisResult<()> {
        let Some(pins) = self.pins else { return Ok(()) };
        match pinned(&pins.0.lock(), self.slot) {
            Some(pinned) if pinned != connection => Err(handle_ended()),
            _ => Ok(()),
        }
    }

    /// Remembers that a connection has answered.
    ///
    /// # Errors
    /// Meanwhile another one has, and the component must not see this answer.
    pub(super) fn fix(&self, connection: u64) -> RedisResult<()> {
        let Some(pins) = self.pins else { return Ok(()) };
        let mut pins = pins.0.lock();
        match pinned(&pins, self.slot) {
            Some(pinned) if pinned == connection => Ok(()),
            Some(_) => Err(handle_ended()),
            None => {
                if pins.len() == MOST {
                    pins.remove(0);
                }
                pins.push((self.slot, connection));
                Ok(())
            }
        }
    }
}

fn pinned(pins: &[(u16, u64)], slot: u16) -> Option<u64> {
    let pin = pins.iter().find(|(of, _)| *of == slot);
    pin.map(|(_, connection)| *connection)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_connection_has_answered_no_other_answers() {
        let pins = Pins::default();
        let pin = pins.of_all_keys();
        assert!(pin.is_free() && pin.check(1).is_ok() && pin.check(2).is_ok());
        assert!(pin.fix(2).is_ok() && !pin.is_free());
        assert!(pin.check(1).is_err() && pin.fix(1).is_err());
        assert!(pin.check(2).is_ok() && pin.fix(2).is_ok());
        assert!(Pins::default().of_all_keys().check(1).is_ok());
    }

    #[test]
    fn each_slot_has_its_own_and_a_command_without_one_has_none() {
        let pins = Pins::default();
        for slot in 0..=MOST as u16 {
            assert!(pins.of_slot(Some(slot)).fix(u64::from(slot)).is_ok());
        }
        assert!(pins.of_slot(Some(1)).check(2).is_err());
        assert!(pins.of_slot(None).fix(7).is_ok());
        assert!(pins.of_slot(None).check(8).is_ok());
        assert!(pins.of_slot(Some(0)).check(7).is_ok(), "it is forgotten");
        assert_eq!(pins.0.lock().len(), MOST);
    }
}
