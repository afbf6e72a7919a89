//! The command line: how to serve, or what else to do.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Arg, Args, Parser, Subcommand};

use crate::config::{parse_duration, token_file};
use store_server::logging::LogFormat;
use store_server::manual::ManualArgs;
use store_server::{Secret, terminal, token};

/// A load balancer for store hosts.
///
/// Without a command it serves until SIGTERM. SIGHUP reads the file again; SIGQUIT hands the sockets to a process that
/// was started with --upgrade.
///
/// Exit codes: 0 after a clean stop, 2 for a wrong setting, or a port or file that it may not have, 4 for a taken port,
/// 1 for anything else, which may pass.
#[derive(Debug, Parser)]
#[command(name = "store-proxy", version = store_server::build::VERSION)]
#[command(mut_args = environment_twin)]
#[command(mut_subcommands = |command| command.mut_args(environment_twin))]
pub struct Cli {
    /// What to do instead of serving.
    #[command(subcommand)]
    pub command: Option<Command>,

    /// How to serve.
    #[command(flatten)]
    pub serve: Serve,
}

/// The flag, which its environment variable sets too: `STORE_PROXY_LOG_FORMAT` is that of `--log-format`.
fn environment_twin(flag: Arg) -> Arg {
    terminal::environment_twin("STORE_PROXY_", flag)
}

/// How to serve.
#[derive(Clone, Debug, Args)]
pub struct Serve {
    /// The settings; store-proxy.example.toml explains them all
    #[arg(long, default_value = "store-proxy.toml", global = true)]
    pub config: PathBuf,

    /// Print the settings as they were understood, and exit
    #[arg(long)]
    pub check: bool,

    /// Take the sockets over from the running process, once it gets SIGQUIT
    #[arg(long, conflicts_with = "check")]
    pub upgrade: bool,

    /// Form of the log lines on stderr
    #[arg(long, value_enum, default_value_t = LogFormat::Text, global = true)]
    pub log_format: LogFormat,

    /// What to log: a level, or `target=level` pairs divided by commas
    #[arg(
        long,
        // pingora logs each request that failed, which the access log does too, each connection that an upstream closed
        // while nobody used it, and each second in which a process does not hand over yet.
        default_value = "info,pingora_core=warn,pingora_core::connectors=off,\
                         pingora_core::server::transfer_fd=off,pingora_proxy=off",
        global = true
    )]
    pub log: String,
}

/// What `store-proxy` does besides serving.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Read the settings again
    Reload {
        /// If the running proxy is another build than this program, or the settings need it, upgrade instead
        #[arg(long)]
        or_upgrade: bool,
        /// The proxy to ask.
        #[command(flatten)]
        target: Target,
    },
    /// Take an upstream out, and wait until it has no request left
    Drain {
        /// The upstream, as in the settings: host:port
        upstream: String,
        /// How long to wait; the upstream stays drained even if it has requests left then
        #[arg(long, default_value = "60s", value_parser = parse_duration)]
        timeout: Duration,
        /// The proxy to ask.
        #[command(flatten)]
        target: Target,
    },
    /// Send requests to a drained upstream again
    Undrain {
        /// The upstream, as in the settings: host:port
        upstream: String,
        /// The proxy to ask.
        #[command(flatten)]
        target: Target,
    },
    /// Forget the answers that are kept in memory
    Purge {
        /// The proxy to ask.
        #[command(flatten)]
        target: Target,
    },
    /// Show the process, its build, and a table of the upstreams
    Status {
        /// Print it as JSON
        #[arg(long)]
        json: bool,
        /// The proxy to ask.
        #[command(flatten)]
        target: Target,
    },
    /// Ask the proxy on this machine whether it serves: exit code 0, or 1 and why not
    Healthcheck,
    /// Write man pages, and completions for bash, zsh and fish, to a folder
    Manual(ManualArgs),
    /// Start a new process, which takes over without refusing a connection, and let the running one finish
    Upgrade {
        /// The program to start [default: this one]
        #[arg(long)]
        binary: Option<PathBuf>,
        /// The proxy to ask; by default the one that the settings name.
        #[command(flatten)]
        target: Target,
    },
}

/// Which proxy a command is for.
#[derive(Clone, Debug, Args)]
pub struct Target {
    /// The admin listener of the running process [default: http://127.0.0.1:8081; for `upgrade` that of the settings]
    #[arg(long, value_name = "URL")]
    pub admin: Option<String>,

    /// File with the proxy's admin token, which changes need [default: the one that the settings name]
    #[arg(long, value_name = "FILE")]
    pub admin_token_file: Option<PathBuf>,
}

impl Target {
    /// The token to send: from `--admin-token-file`, or else from the file that the settings name, if that can be read.
    ///
    /// # Errors
    /// The file in `--admin-token-file` can't be read.
    pub fn token(&self, config: &Path) -> Result<Option<Secret>, String> {
        let named = self.admin_token_file.as_deref().map(|file| {
            let unread = |error| format!("--admin-token-file {}: {error}", file.display());
            token::read(file).map_err(unread)
        });
        match named {
            Some(token) => token.map(Some),
            // Without a token, the proxy's answer says that it is missing.
            None => Ok(token_file(config).and_then(|file| token::read(&file).ok())),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_file_may_be_named_before_or_after_a_command() {
        for args in [
            ["store-proxy", "--config", "a.toml", "upgrade"],
            ["store-proxy", "upgrade", "--config", "a.toml"],
        ] {
            let cli = Cli::try_parse_from(args).expect("parses");
            assert_eq!(cli.serve.config, PathBuf::from("a.toml"));
        }
    }

    #[test]
    fn wrong_flags_are_refused() {
        for args in [
            ["store-proxy", "--check", "--upgrade"],
            ["store-proxy", "--config", ""],
            ["store-proxy", "drain", "--timeout=0s"],
            ["store-proxy", "--log-format", "xml"],
            ["store-proxy", "--no-such-flag", "1"],
        ] {
            assert!(Cli::try_parse_from(args).is_err(), "{args:?} parsed");
        }
    }

    #[test]
    fn every_flag_has_an_environment_twin() {
        let mut command = Cli::command();
        command.build();
        let of_commands = command
            .get_subcommands()
            .flat_map(clap::Command::get_arguments);
        for argument in command.get_arguments().chain(of_commands) {
            let (Some(long), Some(env)) = (argument.get_long(), argument.get_env()) else {
                let id = argument.get_id().as_str();
                let expected = ["help", "version", "upstream", "folder", "subcommand"];
                assert!(expected.contains(&id), "`{id}` has no environment twin");
                continue;
            };
            let expected = format!("STORE_PROXY_{}", long.replace('-', "_").to_uppercase());
            assert_eq!(env.to_str(), Some(expected.as_str()));
        }
    }
}
