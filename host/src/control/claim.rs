//! The right to change what serves. A component, or the whole app, is changed by one change at a time.

use std::collections::BTreeSet;
use std::sync::Arc;

use parking_lot::Mutex;

use super::ControlError;

/// What is being changed now. [`Claim`] alone writes it.
#[derive(Default)]
pub(super) struct Claims {
    /// True while the whole app is changed, including components that the change adds.
    app: bool,
    ids: BTreeSet<String>,
}

/// The right to a change, given back on drop.
pub(super) struct Claim {
    /// The id of the component; `None` for the whole app.
    id: Option<String>,
    claims: Arc<Mutex<Claims>>,
}

impl Claim {
    /// Takes the right to change one component.
    ///
    /// # Errors
    /// Another change of the component or of the app is under way.
    pub(super) fn one(claims: &Arc<Mutex<Claims>>, id: &str) -> Result<Self, ControlError> {
        let mut claimed = claims.lock();
        if claimed.app || !claimed.ids.insert(id.to_owned()) {
            return Err(ControlError::Busy(format!("`{id}`")));
        }
        Ok(Self {
            id: Some(id.to_owned()),
            claims: claims.clone(),
        })
    }

    /// Takes the right to change the whole app.
    ///
    /// # Errors
    /// Another change is under way.
    pub(super) fn all(claims: &Arc<Mutex<Claims>>) -> Result<Self, ControlError> {
        let mut claimed = claims.lock();
        if let Some(id) = claimed.ids.first() {
            return Err(ControlError::Busy(format!("`{id}`")));
        }
        if claimed.app {
            return Err(ControlError::Busy("the app".into()));
        }
        claimed.app = true;
        Ok(Self {
            id: None,
            claims: claims.clone(),
        })
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut claimed = self.claims.lock();
        match &self.id {
            Some(id) => _ = claimed.ids.remove(id),
            None => claimed.app = false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_app_and_its_components_are_changed_one_at_a_time() {
        let claims = Arc::default();
        let refused = |claim: Result<Claim, ControlError>| {
            let error = claim.err().map(|error| error.to_string());
            error.expect("the claim is refused")
        };
        let busy =
            |what| format!("another change of {what} is under way; try again when it is done");
        let one = Claim::one(&claims, "a").expect("free");
        let other = Claim::one(&claims, "b").expect("free");
        assert_eq!(refused(Claim::one(&claims, "a")), busy("`a`"));
        assert_eq!(refused(Claim::all(&claims)), busy("`a`"));
        drop((one, other));
        let all = Claim::all(&claims).expect("free again");
        assert_eq!(refused(Claim::all(&claims)), busy("the app"));
        assert_eq!(refused(Claim::one(&claims, "new")), busy("`new`"));
        drop(all);
        assert!(Claim::one(&claims, "a").is_ok());
    }
}
