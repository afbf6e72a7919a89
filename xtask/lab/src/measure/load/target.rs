//! The requests of a load, in the form that each load generator reads.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// One request: a GET, or a POST of JSON.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Request {
    /// The path and query, from the first slash on.
    pub(crate) path: String,
    pub(crate) body: Option<String>,
}

/// Requests of one kind to one server. If they differ, they are sent in turn.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Target {
    /// The start of the server's URLs.
    pub(super) base: String,
    pub(super) requests: Vec<Request>,
    /// The names and values of header lines that all requests have.
    pub(super) headers: Vec<(String, String)>,
    /// Whether the requests go over HTTP/2, which wrk does not speak.
    pub(super) http2: bool,
    /// Whether a connection is used for many requests.
    pub(super) keep_alive: bool,
    /// The file with the certificate of a server with TLS. wrk and h2load don't check certificates at all.
    pub(super) certificate: Option<PathBuf>,
    /// wrk's flags, including a script that makes the requests.
    #[serde(skip)]
    pub(super) wrk: Vec<String>,
}

impl Target {
    /// A GET of the same path of the server at `base`, repeated.
    pub(crate) fn get(base: &str, path: &str) -> Self {
        let request = Request {
            path: path.to_owned(),
            body: None,
        };
        Self::of(base, vec![request])
    }

    fn of(base: &str, requests: Vec<Request>) -> Self {
        Self {
            base: base.to_owned(),
            requests,
            headers: Vec::new(),
            http2: false,
            keep_alive: true,
            certificate: None,
            wrk: Vec::new(),
        }
    }

    /// Changes the target to use a new connection for each request.
    pub(crate) fn closing(mut self) -> Self {
        self.wrk
            .extend(["--header", "Connection: close"].map(str::to_owned));
        self.keep_alive = false;
        self
    }

    /// Changes the target to use HTTP/2 with TLS.
    pub(crate) fn over_http2(mut self) -> Self {
        self.http2 = true;
        self
    }

    /// Sets the file with the server's certificate, in PEM, which servers with TLS need.
    pub(crate) fn with_certificate(mut self, file: PathBuf) -> Self {
        self.certificate = Some(file);
        self
    }

    /// A `POST` of this JSON with an `Idempotency-Key`. The script for wrk goes to `folder`, in a file with this name.
    pub(crate) fn post(
        base: &str,
        path: &str,
        body: &str,
        folder: &Path,
        name: &str,
    ) -> Result<Self> {
        let text = format!(
            "wrk.method = \"POST\"\nwrk.body = [[{body}]]\n\
             wrk.headers[\"content-type\"] = \"application/json\"\n\
             wrk.headers[\"idempotency-key\"] = \"{name}\"\n"
        );
        let request = Request {
            path: path.to_owned(),
            body: Some(body.to_owned()),
        };
        Ok(Self {
            headers: vec![("idempotency-key".to_owned(), name.to_owned())],
            wrk: script_flags(folder, name, &text)?,
            ..Self::of(base, vec![request])
        })
    }

    /// GETs of these paths of the server at `base`. The script for wrk goes to `folder`, in a file with this name.
    pub(crate) fn gets(base: &str, paths: &[String], folder: &Path, name: &str) -> Result<Self> {
        let lines = paths
            .iter()
            .map(|path| format!("  wrk.format(\"GET\", \"{path}\"),"));
        let script = lua(lines);
        let requests = paths.iter().map(|path| Request {
            path: path.clone(),
            body: None,
        });
        Ok(Self {
            wrk: script_flags(folder, name, &script)?,
            ..Self::of(base, requests.collect())
        })
    }

    /// `POST /orders` with these bodies, otherwise as [`Target::gets`].
    pub(crate) fn orders(
        base: &str,
        bodies: impl Iterator<Item = String>,
        folder: &Path,
        name: &str,
    ) -> Result<Self> {
        let bodies: Vec<String> = bodies.collect();
        let lines = bodies.iter().map(|body| {
            format!(
                "  wrk.format(\"POST\", \"/orders\", {{[\"content-type\"]=\"application/json\"}}, [[{body}]]),"
            )
        });
        let script = lua(lines);
        let requests = bodies.into_iter().map(|body| Request {
            path: "/orders".to_owned(),
            body: Some(body),
        });
        Ok(Self {
            wrk: script_flags(folder, name, &script)?,
            ..Self::of(base, requests.collect())
        })
    }

    /// The URL of the first request; wrk's script and h2load take the server from it.
    pub(super) fn url(&self) -> String {
        let path = self.requests.first().map_or("", |request| &request.path);
        format!("{}{path}", self.base)
    }
}

/// Writes a script, and returns the flags that make wrk use it.
fn script_flags(folder: &Path, name: &str, text: &str) -> Result<Vec<String>> {
    let file = folder.join(format!("{name}.lua"));
    fs::write(&file, text).with_context(|| format!("writing {}", file.display()))?;
    Ok(vec!["--script".to_owned(), file.display().to_string()])
}

/// A script that sends the requests in turn. They are made once, because making a request costs more than sending it.
fn lua(requests: impl Iterator<Item = String>) -> String {
    let requests: Vec<String> = requests.collect();
    format!(
        "local requests, last = {{}}, 0\n\
         function init()\n  requests = {{\n{}\n  }}\nend\n\
         function request()\n  last = last % #requests + 1\n  return requests[last]\nend\n",
        requests.join("\n")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_holds_its_requests() {
        let script = lua(["  one,".to_owned(), "  two,".to_owned()].into_iter());
        assert!(
            script.contains("requests = {\n  one,\n  two,\n  }"),
            "{script}"
        );
    }

    #[test]
    fn all_generators_are_given_the_same_requests() {
        let folder = tempfile::tempdir().expect("a folder");
        let bodies = ["{\"a\":1}", "{\"a\":2}"].map(str::to_owned);
        let target = Target::orders("http://h:1", bodies.into_iter(), folder.path(), "place");
        let target = target.expect("written");
        assert_eq!(target.url(), "http://h:1/orders");
        let script = fs::read_to_string(&target.wrk[1]).expect("written");
        assert_eq!(target.requests.len(), 2);
        for request in &target.requests {
            let body = request.body.as_deref().expect("a POST");
            assert!(script.contains(body), "{script}");
        }
    }
}
