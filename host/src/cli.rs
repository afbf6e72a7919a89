//! The command line: how to serve, or what else to do.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use store_server::manual::ManualArgs;

use crate::client::{self, HealthcheckArgs};
use crate::config::{Config, MysqlTls, Secret, VariableFile, environment_twin};

/// Runs the WebAssembly components of a Spin app, with pooled MySQL and Redis, metrics and limits.
///
/// SIGTERM ends it once requests in flight are done, SIGHUP reads the app again.
///
/// Exit codes: 0 after a clean stop, 2 for a wrong setting (a refused password, a component that can't be served and a
/// port that it may not have are such, too), 3 for a database whose schema is of another version, 4 for a taken port, 1
/// for anything else, which may pass.
#[derive(Debug, Parser)]
#[command(name = "store-host", version = store_server::build::VERSION, args_conflicts_with_subcommands = true)]
pub struct Cli {
    /// What to do instead of serving.
    #[command(subcommand)]
    pub command: Option<Command>,

    /// How to serve, when no command is given.
    #[command(flatten)]
    pub config: Config,
}

/// What `store-host` does besides serving.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Create the database if it is missing and apply the migrations it has not seen yet.
    Migrate(Migrate),

    /// Ask the host on this machine whether it is ready: exit code 0, or 1 and why not.
    Healthcheck(HealthcheckArgs),

    /// Write man pages, and completions for bash, zsh and fish, to a folder.
    Manual(ManualArgs),

    /// What an operator asks running hosts for.
    #[command(flatten)]
    Client(client::Command),
}

/// Which databases are migrated.
#[derive(Debug, Args)]
#[command(mut_args = environment_twin)]
pub struct Migrate {
    /// mysql://user:password@host:port/database [default: the databases of the app's components]
    #[arg(long, hide_env_values = true)]
    pub mysql_url: Option<Secret>,

    /// The app that says where its databases are
    #[arg(long, default_value = "spin.toml")]
    pub app: PathBuf,

    /// File that holds the value of a variable of the app, as NAME=FILE
    #[arg(long, value_name = "NAME=FILE", value_delimiter = ',')]
    pub variable_file: Vec<VariableFile>,

    /// How the server is spoken to.
    #[command(flatten)]
    pub tls: MysqlTls,
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn defaults_are_valid() {
        let cli = Cli::try_parse_from(["store-host"]).expect("defaults parse");
        assert!(cli.command.is_none());
        assert_eq!(cli.config.limits.body_limit_bytes, 1_048_576);
        assert_eq!(cli.config.mysql.wait, Duration::from_secs(2));
    }

    #[test]
    fn zero_durations_and_malformed_addresses_are_refused() {
        for args in [
            ["store-host", "--drain-timeout", "0s"],
            ["store-host", "--drain-timeout", "soon"],
            ["store-host", "--request-timeout", "300000000000years"],
            ["store-host", "--admin-listen", "5100"],
            ["store-host", "--mysql-pool-size", "0"],
            ["store-host", "--trusted-proxies", "nobody"],
            ["store-host", "--max-requests-per-client", "0"],
            ["store-host", "--no-such-flag", "1"],
        ] {
            assert!(Cli::try_parse_from(args).is_err(), "{args:?} parsed");
        }
    }

    /// The environment of the hosts of Debian's package, of the Kubernetes manifests, and of what migrates there.
    const SHIPPED: [&str; 3] = [
        include_str!("../../deploy/debian/host.env"),
        include_str!("../../deploy/kubernetes/base/host.env"),
        include_str!("../../deploy/kubernetes/migrations/servers.env"),
    ];

    /// A host does not mind variables of its environment that it does not know, so a misspelt one would have no effect.
    #[test]
    fn the_settings_that_are_shipped_are_understood() {
        let app: toml::Table = toml::from_str(include_str!("../../spin.toml")).expect("TOML");
        let is_declared = |name: &str| app["variables"].get(name).is_some();
        // The comments that show settings have no space after their `#`.
        let lines = SHIPPED.into_iter().flat_map(str::lines);
        let lines = lines.map(|line| line.strip_prefix('#').unwrap_or(line));
        let lines = lines.filter(|line| line.starts_with(|c: char| c.is_ascii_uppercase()));
        for line in lines {
            let (name, value) = line.split_once('=').expect(line);
            if let Some(variable) = name.strip_prefix("SPIN_VARIABLE_") {
                assert!(is_declared(&variable.to_lowercase()), "{line}");
                continue;
            }
            let setting = name.strip_prefix("STORE_HOST_").expect(line);
            let flag = setting.to_lowercase().replace('_', "-");
            let cli = Cli::try_parse_from(["store-host", &format!("--{flag}={value}")]);
            let files = cli.expect(line).config.variable_file;
            assert!(files.iter().all(|file| is_declared(&file.name)), "{line}");
        }
    }

    #[test]
    fn every_flag_has_an_environment_twin() {
        let command = <Cli as clap::CommandFactory>::command();
        let migrate = command.find_subcommand("migrate").expect("a command");
        for argument in command.get_arguments().chain(migrate.get_arguments()) {
            let (Some(long), Some(env)) = (argument.get_long(), argument.get_env()) else {
                assert!(
                    ["help", "version"].contains(&argument.get_id().as_str()),
                    "`{}` has no environment twin",
                    argument.get_id()
                );
                continue;
            };
            let expected = format!("STORE_HOST_{}", long.replace('-', "_").to_uppercase());
            assert_eq!(env.to_str(), Some(expected.as_str()));
        }
    }
}
