//! Makes a [`Config`] of the file's text, with complaints that name the line, the key and what was probably meant.

use std::net::ToSocketAddrs;
use std::path::{Path, PathBuf};

use store_server::console::one_line;
use store_server::document::{self, Document, explain, name};

use super::{Config, ConfigError, Listen, Route, ServerEntry, check};

/// What is wrong with a file, and where.
pub(super) struct Complaint {
    pub(super) path: document::Path,
    pub(super) reason: String,
}

impl Complaint {
    pub(super) fn new(path: &[&str], reason: impl Into<String>) -> Self {
        Self {
            path: path.iter().map(|&step| step.to_owned()).collect(),
            reason: reason.into(),
        }
    }
}

pub(super) fn load(file: &Path) -> Result<Config, ConfigError> {
    let unreadable = |error| ConfigError::Unreadable {
        file: file.to_owned(),
        error,
    };
    let text = std::fs::read_to_string(file).map_err(unreadable)?;
    let absolute = std::path::absolute(file).map_err(unreadable)?;
    let folder = absolute.parent().unwrap_or(Path::new("/"));
    parse(&text, folder).map_err(|(line, reason)| ConfigError::Wrong {
        file: file.to_owned(),
        line,
        reason,
    })
}

/// Parses and checks the settings; paths in them are taken from `folder`.
///
/// # Errors
/// The line and what is wrong there.
pub(super) fn parse(text: &str, folder: &Path) -> Result<Config, (usize, String)> {
    understand(text, folder, resolve)
}

/// Like [`parse`], with another function that finds the servers' addresses.
pub(super) fn understand(
    text: &str,
    folder: &Path,
    resolve: fn(&mut Config) -> Result<(), Complaint>,
) -> Result<Config, (usize, String)> {
    let document = Document::parse(text)?;
    let mut config: Config =
        toml::from_str(text).map_err(|error| misunderstood(&document, &error))?;
    complete(&mut config, folder);
    check::check(&config)
        .and_then(|()| resolve(&mut config))
        .map_err(|complaint| {
            let line = document.line_of(&complaint.path);
            let reason = match complaint.path.as_slice() {
                [] => complaint.reason,
                path => format!("`{}`: {}", name(path), complaint.reason),
            };
            (line, reason)
        })?;
    Ok(config)
}

/// The file with the admin token, as this file names it, even if other settings in it are wrong.
pub(super) fn token_file(file: &Path) -> Option<PathBuf> {
    let text = std::fs::read_to_string(file).ok()?;
    let document: toml::Table = toml::from_str(&text).ok()?;
    let server = document.get("server").and_then(toml::Value::as_table);
    let named = server.and_then(|server| server.get("admin_token_file")?.as_str());
    let folder = std::path::absolute(file).ok()?;
    let default = super::Server::default().admin_token_file;
    Some(folder.parent()?.join(named.map_or(default, PathBuf::from)))
}

/// Fills in what the file may leave out, and makes paths absolute.
fn complete(config: &mut Config, folder: &Path) {
    if config.listen.is_empty() {
        config.listen.push(Listen::default());
    }
    if config.routes.is_empty() && config.upstreams.len() == 1 {
        config
            .routes
            .extend(config.upstreams.keys().map(|name| Route {
                path_prefix: "/".into(),
                host: None,
                upstreams: name.clone(),
            }));
    }
    let absolute = |path: &mut PathBuf| *path = folder.join(&*path);
    absolute(&mut config.server.pid_file);
    absolute(&mut config.server.upgrade_socket);
    absolute(&mut config.server.admin_token_file);
    for tls in config.listen.iter_mut().filter_map(|l| l.tls.as_mut()) {
        absolute(&mut tls.certificate);
        absolute(&mut tls.key);
    }
    let log = config.access_log.path.as_mut();
    log.filter(|path| *path != Path::new("-")).map(absolute);
}

/// Finds the servers' addresses. This comes last, as it may ask a name server.
fn resolve(config: &mut Config) -> Result<(), Complaint> {
    for (group, settings) in &mut config.upstreams {
        for (number, server) in settings.servers.iter_mut().enumerate() {
            resolve_server(server).map_err(|reason| {
                let number = number.to_string();
                Complaint::new(&["upstreams", group, "servers", &number, "address"], reason)
            })?;
        }
    }
    Ok(())
}

/// Finds the address of one server. Of several, as `localhost` has, the first of IPv4 counts: our servers listen there.
fn resolve_server(server: &mut ServerEntry) -> Result<(), String> {
    let address = &server.address;
    let found: Vec<_> = address
        .to_socket_addrs()
        .map_err(|error| match error.kind() {
            std::io::ErrorKind::InvalidInput => {
                format!("`{address}` is no address; write for example \"127.0.0.1:5000\"")
            }
            _ => format!("`{address}` can't be resolved: {error}"),
        })?
        .collect();
    server.resolved = *found
        .iter()
        .find(|address| address.is_ipv4())
        .or(found.first())
        .ok_or_else(|| format!("`{address}` resolves to nothing"))?;
    match server.resolved.port() {
        0 => Err("port 0 is no server's".into()),
        _ => Ok(()),
    }
}

/// The line and the reason why a file is TOML but no configuration.
fn misunderstood(document: &Document<'_>, error: &toml::de::Error) -> (usize, String) {
    let Some(span) = error.span() else {
        return (1, one_line(error.message()));
    };
    let path = document.path_at(&span);
    let line = document.line_at(span.start);
    let reason = explain(error.message());
    if path.is_empty() {
        return (line, reason);
    }
    (line, format!("`{}`: {reason}", name(&path)))
}
