//! Plans which member suffers which fault, in which order; the same seed gives the same plan.

use std::fmt;

use anyhow::{Context, Result};

use crate::measure::Numbers;

/// The role whose holder a fault hits. The holder is looked up when the fault's turn comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Role {
    /// The member that hosts write to
    DatabaseWriter,
    /// One of the other two members
    DatabaseOther,
    /// The writer and another at once
    TwoDatabases,
    RedisPrimary,
    RedisReplica,
    Sentinel,
    Host,
    Proxy,
}

/// The kind of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Blow {
    /// SIGKILL; the member is started again a while later
    Kill,
    /// SIGSTOP, and a while later SIGCONT
    Stop,
    /// SIGTERM; the member is started again at once
    Restart,
    /// The member's network goes down, and up a while later
    CutOff,
}

/// One fault of the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Fault {
    pub(super) role: Role,
    pub(super) blow: Blow,
}

impl Role {
    /// The roles of which one member fails at a time.
    const SINGLE: [Self; 7] = [
        Self::DatabaseWriter,
        Self::DatabaseOther,
        Self::RedisPrimary,
        Self::RedisReplica,
        Self::Sentinel,
        Self::Host,
        Self::Proxy,
    ];
}

impl Fault {
    /// Two of three databases die.
    pub(super) const TWO: Self = Self {
        role: Role::TwoDatabases,
        blow: Blow::Kill,
    };

    /// All faults that exist.
    fn all() -> impl Iterator<Item = Self> {
        let blows = [Blow::Kill, Blow::Stop, Blow::Restart, Blow::CutOff];
        let single = blows
            .into_iter()
            .flat_map(|blow| Role::SINGLE.map(|role| Self { role, blow }));
        single.chain([Self::TWO])
    }

    /// Whether a single member dies: only these faults have goals.
    pub(super) fn is_death(self) -> bool {
        self.blow == Blow::Kill && self.role != Role::TwoDatabases
    }

    /// Parses a fault's name, in the form of `Display`.
    ///
    /// # Errors
    /// If there is no such fault; the message lists all names.
    pub(super) fn named(name: &str) -> Result<Self> {
        let names = || Self::all().map(|fault| fault.to_string());
        let found = Self::all().find(|fault| fault.to_string() == name);
        found.with_context(|| {
            let names: Vec<String> = names().collect();
            format!("there is no fault `{name}`; there are {}", names.join(", "))
        })
    }
}

/// The endless sequence of faults: first one death of each kind of member, then all other faults, and again from the
/// start. Among the deaths, one member is stopped, one restarted and one cut off, and two databases die, because a run
/// may end before it comes to the rest.
pub(super) fn plan(seed: u64, can_cut_off: bool) -> impl Iterator<Item = Fault> {
    let possible = move |fault: &Fault| can_cut_off || fault.blow != Blow::CutOff;
    let mut numbers = Numbers(seed);
    std::iter::repeat_with(move || {
        let deaths = Fault::all().filter(|fault| fault.is_death()).collect();
        let others = Fault::all()
            .filter(|fault| !fault.is_death() && *fault != Fault::TWO)
            .filter(possible)
            .collect();
        let mut deaths = shuffled(deaths, &mut numbers);
        let mut others = shuffled(others, &mut numbers);
        let mut round = Vec::new();
        for blow in [Blow::Stop, Blow::Restart, Blow::CutOff] {
            round.extend(deaths.drain(..1));
            if let Some(first) = others.iter().position(|fault| fault.blow == blow) {
                round.push(others.remove(first));
            }
        }
        round.extend(deaths.drain(..1));
        round.push(Fault::TWO);
        round.extend(deaths);
        round.extend(others);
        round
    })
    .flatten()
}

fn shuffled(mut faults: Vec<Fault>, numbers: &mut Numbers) -> Vec<Fault> {
    for last in (1..faults.len()).rev() {
        let other = numbers.up_to(last as u64 + 1) - 1;
        faults.swap(last, other as usize);
    }
    faults
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let role = match self.role {
            Role::DatabaseWriter => "database-writer",
            Role::DatabaseOther => "database-other",
            Role::TwoDatabases => "two-databases",
            Role::RedisPrimary => "redis-primary",
            Role::RedisReplica => "redis-replica",
            Role::Sentinel => "sentinel",
            Role::Host => "host",
            Role::Proxy => "proxy",
        };
        let blow = match self.blow {
            Blow::Kill => "kill",
            Blow::Stop => "stop",
            Blow::Restart => "restart",
            Blow::CutOff => "cut-off",
        };
        write!(f, "{role}.{blow}")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_plan() {
        let first: Vec<Fault> = plan(7, true).take(60).collect();
        assert_eq!(first, plan(7, true).take(60).collect::<Vec<_>>());
        assert_ne!(first, plan(8, true).take(60).collect::<Vec<_>>());
    }

    #[test]
    fn each_blow_falls_early_and_each_kind_dies_before_all_else_happens() {
        let all: Vec<Fault> = plan(42, true).take(29).collect();
        for blow in [Blow::Kill, Blow::Stop, Blow::Restart, Blow::CutOff] {
            assert!(all[..6].iter().any(|fault| fault.blow == blow), "{blow:?}");
        }
        assert_eq!(all[7], Fault::TWO);
        let dead = all[..11].iter().filter(|fault| fault.is_death());
        assert_eq!(dead.count(), 7);
        assert_eq!(BTreeSet::from_iter(all), Fault::all().collect());
    }

    #[test]
    fn nobody_is_cut_off_where_that_is_not_possible() {
        let mut faults = plan(42, false).take(60);
        assert!(faults.all(|fault| fault.blow != Blow::CutOff));
    }

    #[test]
    fn faults_have_names() {
        for fault in Fault::all() {
            assert_eq!(Fault::named(&fault.to_string()).unwrap(), fault);
        }
        let error = Fault::named("host.hug").unwrap_err().to_string();
        assert!(error.contains("host.kill, "), "{error}");
    }
}
