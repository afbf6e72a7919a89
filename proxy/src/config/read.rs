//! Turns the file's text into a [`Config`]. An error names the line, the key, and what was probably meant.

use std::path::{Path, PathBuf};

use store_server::document::{Document, explain, name};
use store_server::terminal::one_line;

use super::complaint::Complaint;
use super::{Config, ConfigError, Listen, Route, check};

/// Reads and checks the file, and the certificates for upstreams that it names. Names of servers are not looked up.
///
/// # Errors
/// A file can't be read, or something in it is wrong.
pub fn load(file: &Path) -> Result<Config, ConfigError> {
    let unreadable = |error| ConfigError::Unreadable {
        file: file.to_owned(),
        error,
    };
    let text = std::fs::read_to_string(file).map_err(unreadable)?;
    let absolute = std::path::absolute(file).map_err(unreadable)?;
    let folder = absolute.parent().unwrap_or(Path::new("/"));
    let read = parse(&text, folder).and_then(|mut config| {
        read_certificates(&mut config).map_err(|complaint| match Document::parse(&text) {
            Ok(document) => complaint.at_its_line(&document),
            Err(error) => error,
        })?;
        Ok(config)
    });
    read.map_err(|(line, reason)| ConfigError::Wrong {
        file: file.to_owned(),
        line,
        reason,
    })
}

/// Parses and checks the settings. Relative paths count from `folder`. Reads no other file.
///
/// # Errors
/// The number of the wrong line, and the reason.
pub(super) fn parse(text: &str, folder: &Path) -> Result<Config, (usize, String)> {
    let document = Document::parse(text)?;
    let mut config: Config =
        toml::from_str(text).map_err(|error| misunderstood(&document, &error))?;
    complete(&mut config, folder);
    locate(&mut config)
        .and_then(|()| check::check(&config))
        .map_err(|complaint| complaint.at_its_line(&document))?;
    Ok(config)
}

/// The file with the admin token that the configuration in `file` names, even if other settings in it are wrong. `None`
/// if `file` can't be read.
pub fn token_file(file: &Path) -> Option<PathBuf> {
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
    for tls in config.upstreams.values_mut().filter_map(|g| g.tls.as_mut()) {
        tls.take_paths_from(folder);
    }
    let log = config.access_log.path.as_mut();
    log.filter(|path| *path != Path::new("-")).map(absolute);
}

/// Sets the location of each server from its entry.
fn locate(config: &mut Config) -> Result<(), Complaint> {
    for (group, settings) in &mut config.upstreams {
        for (number, server) in settings.servers.iter_mut().enumerate() {
            server.locate().map_err(|(key, reason)| {
                let number = number.to_string();
                let entry = ["upstreams", group, "servers", &number];
                let path: Vec<&str> = entry.into_iter().chain(key).collect();
                Complaint::new(&path, reason)
            })?;
        }
    }
    Ok(())
}

/// Reads the certificates and keys for TLS to upstreams. Called last, after all checks that read no other file.
fn read_certificates(config: &mut Config) -> Result<(), Complaint> {
    for (group, settings) in &mut config.upstreams {
        if let Some(tls) = &mut settings.tls {
            tls.read_files().map_err(|(key, error)| {
                Complaint::new(&["upstreams", group, "tls", key], error.to_string())
            })?;
        }
    }
    Ok(())
}

/// The line and the reason if a file is valid TOML but no valid configuration.
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
