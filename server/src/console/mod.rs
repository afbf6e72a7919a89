//! The console: a web page on a program's admin listener. It shows what this program and the rest of its fleet do, and
//! changes them for visitors who have the token (docs/CONSOLE.md). Nothing here knows what a metric or a status means,
//! or changes anything by itself. Its paths:
//!
//! - `GET /console`, `GET /console/FILE`: the page and its files.
//! - `GET /history[?after=POSITION]`: the samples of the last fifteen minutes.
//! - `GET /events`: the last lines of the audit log and the last warnings.
//! - `GET /fleet`: this program and the other members of its fleet.
//! - `POST /token`: whether the admin token that came with the request is right.
//! - `GET` or `POST /fleet/NAME/PATH`: passes a request on to the admin listener of member NAME.
//!
//! `files` has the page, `history` the last fifteen minutes of the program's metrics, and `fleet` the other members.
//! `forward` passes the page's requests on to members, one `exchange` for each, at the paths that `paths` lists. A
//! `reply` is harmless in a browser. The program's admin listener decides who may ask and whose token is right; the
//! page decides what an answer means.

mod exchange;
mod files;
mod fleet;
mod forward;
mod history;
mod member;
mod paths;
mod reply;

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use prometheus::Registry;
use serde_json::{Value, json};
use tokio::time::{MissedTickBehavior, interval};

pub use self::files::File;
use self::fleet::Fleet;
pub use self::forward::Forward;
pub use self::history::{FAILED, Panel, Reading, undrawable};
use self::history::{History, STEP};
pub use self::member::{Member, MemberUrl, check_names};
use self::reply::data;
pub use self::reply::{Reply, refusal};
use crate::build::Build;
use crate::recent;

/// The resource that a path of the console names.
#[derive(Clone, Copy, Debug)]
pub enum ConsoleResource<'a> {
    /// A file of the page.
    File(&'static File),
    /// The samples of the last fifteen minutes.
    History,
    /// The last lines of the audit log, and the last warnings.
    Events,
    /// This program and the others of its fleet.
    Fleet,
    /// The check whether a token is right.
    Token,
    /// A path of another member's admin listener.
    Member {
        /// The member's name.
        name: &'a str,
        /// The path, with its leading slash.
        path: &'a str,
    },
}

/// Why a resource does not answer a request.
#[derive(Clone, Copy, Debug)]
pub enum ConsoleRejection {
    /// The path is not passed on to other members.
    NoSuchPath,
    /// The resource answers only these methods, in the form of `Allow`.
    Method(&'static str),
}

/// The program whose console this is.
#[derive(Clone, Debug)]
pub struct Program {
    /// Name of its package.
    pub package: &'static str,
    /// The name by which its operators know it.
    pub name: String,
    /// Whether it keeps slow and failed requests for `GET /traces`.
    pub keeps_traces: bool,
}

/// The console of one program.
pub struct Console {
    program: Program,
    history: History,
    fleet: Fleet,
}

impl<'a> ConsoleResource<'a> {
    /// The resource that `path` names; `None` if the path is not one of the console's.
    #[must_use]
    pub fn of(path: &'a str) -> Option<Self> {
        match path {
            "/history" => Some(Self::History),
            "/events" => Some(Self::Events),
            "/fleet" => Some(Self::Fleet),
            "/token" => Some(Self::Token),
            _ => match path.strip_prefix("/fleet/") {
                Some(rest) => {
                    let slash = rest.find('/')?;
                    let (name, path) = rest.split_at(slash);
                    Some(Self::Member { name, path })
                }
                None => File::at(path).map(Self::File),
            },
        }
    }

    /// Checks that the resource answers requests with this method.
    ///
    /// # Errors
    /// The resource answers no requests, or none with this method.
    pub fn check(self, method: &Method) -> Result<(), ConsoleRejection> {
        let methods = match self {
            Self::Token => &[Method::POST],
            Self::Member { path, .. } => paths::methods(path),
            _ => &[Method::GET, Method::HEAD][..],
        };
        if methods.is_empty() {
            return Err(ConsoleRejection::NoSuchPath);
        }
        if !methods.contains(method) {
            let is_post = methods.contains(&Method::POST);
            let allowed = if is_post { "POST" } else { "GET, HEAD" };
            return Err(ConsoleRejection::Method(allowed));
        }
        Ok(())
    }
}

impl Console {
    /// The console of `program`, with charts of the metrics in `registry`.
    #[must_use]
    pub fn new(
        program: Program,
        panels: &'static [Panel],
        registry: Registry,
        members: Vec<Member>,
    ) -> Arc<Self> {
        Arc::new(Self {
            program,
            history: History::new(registry, panels),
            fleet: Fleet::new(members),
        })
    }

    /// Takes samples and checks the other members, until the future is dropped. `found` returns the members that are
    /// not configured.
    pub async fn run(self: Arc<Self>, found: impl Fn() -> Vec<Member>) {
        let mut tick = interval(STEP);
        // After a pause, samples continue at their usual interval.
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            self.history.sample();
            self.fleet.look(found());
        }
    }

    /// Answers a request that reads a resource of this program. Requests to other members are not answered here, see
    /// [`Console::forward`].
    #[must_use]
    pub fn read(
        &self,
        place: ConsoleResource<'_>,
        query: Option<&str>,
        headers: &HeaderMap,
    ) -> Reply {
        match place {
            ConsoleResource::File(file) => file.answer(headers),
            ConsoleResource::History => {
                let after = query.and_then(|query| query.strip_prefix("after="));
                data(&self.history.shown(after))
            }
            ConsoleResource::Events => data(&recent::json()),
            ConsoleResource::Fleet => data(&self.members()),
            ConsoleResource::Token | ConsoleResource::Member { .. } => {
                refusal(StatusCode::NOT_FOUND, "there is nothing to read here")
            }
        }
    }

    /// The answer to a request with the right token.
    #[must_use]
    pub fn token_is_right(&self) -> Reply {
        data(&json!({ "right": true }))
    }

    /// Passes a request on to another member, and returns its answer. If the request carries a component, its `body` is
    /// received only after that member has accepted the sender's token.
    ///
    /// # Errors
    /// The body could not be received.
    pub async fn forward<E: fmt::Display>(
        &self,
        request: Forward<'_>,
        body: impl Future<Output = Result<Bytes, E>>,
    ) -> Result<Reply, E> {
        self.fleet.forward(request, body).await
    }

    fn members(&self) -> Value {
        let build = Build::this();
        json!({
            "self": {
                "name": self.program.name,
                "program": self.program.package,
                "keeps_traces": self.program.keeps_traces,
                "process": self.history.process(),
                "version": build.version,
                "commit": build.commit,
            },
            "members": self.fleet.members(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::reply::NOTHING;
    use super::*;

    #[test]
    fn places_are_found_by_their_paths() {
        assert!(matches!(
            ConsoleResource::of("/history"),
            Some(ConsoleResource::History)
        ));
        assert!(matches!(
            ConsoleResource::of("/console"),
            Some(ConsoleResource::File(_))
        ));
        let Some(ConsoleResource::Member { name, path }) =
            ConsoleResource::of("/fleet/host-1/components/a/swap")
        else {
            panic!("a member's")
        };
        assert_eq!((name, path), ("host-1", "/components/a/swap"));
        for unknown in [
            "/",
            "/fleet/",
            "/fleet/host-1",
            "/console/none.js",
            "/conso",
        ] {
            assert!(ConsoleResource::of(unknown).is_none(), "{unknown}");
        }
    }

    #[test]
    fn data_are_kept_by_nobody_and_run_nothing() {
        let program = Program {
            package: "p",
            name: "n".into(),
            keeps_traces: false,
        };
        let console = Console::new(program, &[], Registry::new(), vec![]);
        for place in [
            ConsoleResource::History,
            ConsoleResource::Events,
            ConsoleResource::Fleet,
        ] {
            let answer = console.read(place, None, &HeaderMap::new());
            assert_eq!(answer.headers()["cache-control"], "no-store");
            assert_eq!(answer.headers()["content-security-policy"], NOTHING);
            assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
        }
    }
}
