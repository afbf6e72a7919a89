//! The requests of a load, in the form that each load generator reads.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// Requests of one kind. If they differ, wrk sends them in turn and oha takes a random one.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(super) url: String,
    /// wrk's flags, including a script that makes the requests.
    pub(super) wrk: Vec<String>,
    /// Whether the requests go over HTTP/2, which wrk does not speak.
    pub(super) http2: bool,
    /// oha's flags for the same requests, including the URL.
    pub(super) oha: Vec<String>,
}

impl Target {
    /// A GET of the same URL, repeated.
    pub(crate) fn get(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            wrk: Vec::new(),
            http2: false,
            // The measured servers have self-signed certificates. wrk and h2load don't check certificates at all.
            oha: vec!["--insecure".to_owned(), url.to_owned()],
        }
    }

    /// Changes the target to use a new connection for each request.
    pub(crate) fn closing(mut self) -> Self {
        self.wrk
            .extend(["--header", "Connection: close"].map(str::to_owned));
        self.oha.push("--disable-keepalive".to_owned());
        self
    }

    /// Changes the target to use HTTP/2 with TLS.
    pub(crate) fn over_http2(mut self) -> Self {
        self.http2 = true;
        self.oha.push("--http2".to_owned());
        self
    }

    /// A `POST` of this JSON with an `Idempotency-Key`. The script for wrk goes to `folder`, in a file with this name.
    pub(crate) fn post(url: &str, body: &str, folder: &Path, name: &str) -> Result<Self> {
        let script = folder.join(format!("{name}.lua"));
        let text = format!(
            "wrk.method = \"POST\"\nwrk.body = [[{body}]]\n\
             wrk.headers[\"content-type\"] = \"application/json\"\n\
             wrk.headers[\"idempotency-key\"] = \"{name}\"\n"
        );
        write(&script, &text)?;
        let key = format!("idempotency-key: {name}");
        let json = "application/json";
        let oha = ["-m", "POST", "-T", json, "-H", &key, "-d", body, url];
        Ok(Self {
            url: url.to_owned(),
            wrk: script_flags(&script),
            http2: false,
            oha: oha.map(str::to_owned).into(),
        })
    }

    /// GETs of these paths of the server at `base`. The files for the generators go to `folder`; their names begin with
    /// `name`.
    pub(crate) fn gets(base: &str, paths: &[String], folder: &Path, name: &str) -> Result<Self> {
        let script = folder.join(format!("{name}.lua"));
        let requests = paths
            .iter()
            .map(|path| format!("  wrk.format(\"GET\", \"{path}\"),"));
        write(&script, &lua(requests))?;
        // These files contain the server's URL, and several servers may be measured in one folder.
        let port = base.rsplit_once(':').map_or("", |(_, port)| port);
        let urls = folder.join(format!("{name}-{port}.txt"));
        let lines: Vec<String> = paths.iter().map(|path| format!("{base}{path}")).collect();
        write(&urls, &lines.join("\n"))?;
        Ok(Self {
            url: base.to_owned(),
            wrk: script_flags(&script),
            http2: false,
            oha: vec!["--urls-from-file".to_owned(), urls.display().to_string()],
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
        let script = folder.join(format!("{name}.lua"));
        let requests = bodies.iter().map(|body| {
            format!(
                "  wrk.format(\"POST\", \"/orders\", {{[\"content-type\"]=\"application/json\"}}, [[{body}]]),"
            )
        });
        write(&script, &lua(requests))?;
        let list = folder.join(format!("{name}.txt"));
        write(&list, &bodies.join("\n"))?;
        let list = list.display().to_string();
        let url = format!("{base}/orders");
        let oha = ["-m", "POST", "-T", "application/json", "-Z", &list, &url];
        Ok(Self {
            url: base.to_owned(),
            wrk: script_flags(&script),
            http2: false,
            oha: oha.map(str::to_owned).into(),
        })
    }
}

fn script_flags(script: &Path) -> Vec<String> {
    vec!["--script".to_owned(), script.display().to_string()]
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

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("writing {}", path.display()))
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
    fn both_generators_are_given_the_same_requests() {
        let folder = tempfile::tempdir().expect("a folder");
        let bodies = ["{\"a\":1}", "{\"a\":2}"].map(str::to_owned);
        let target = Target::orders("http://h:1", bodies.into_iter(), folder.path(), "place");
        let target = target.expect("written");
        let list = fs::read_to_string(folder.path().join("place.txt")).expect("written");
        assert_eq!(list, "{\"a\":1}\n{\"a\":2}");
        let script = fs::read_to_string(&target.wrk[1]).expect("written");
        assert!(list.lines().all(|body| script.contains(body)), "{script}");
        assert_eq!(target.oha.last().expect("a URL"), "http://h:1/orders");
    }
}
