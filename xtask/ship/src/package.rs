//! `cargo xtask package`: makes the packages, their SBOMs, checksums and a signature.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};

use crate::contents::Contents;
use crate::release::{Profile, Release};
use crate::{deb, image, programs, sbom, seal, tarball, trial};

/// Make the packages that people install: a static tarball, a Debian package, images; each with an SBOM and checksums
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Folder for the packages
    #[arg(long, value_name = "DIR", default_value = "target/ship/out")]
    out: PathBuf,

    /// Sign the checksums with this minisign key; its password, if it has one, is asked for
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,

    /// How the programs are built: `dist` for what is shipped (a quarter of an hour), `dev` for trying
    #[arg(long, value_enum, default_value_t = Profile::Dist)]
    profile: Profile,

    /// Make only these
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Package::ALL)]
    only: Vec<Package>,

    /// Then install, upgrade and remove the packages and provoke faults, in roots of Debian 12 and 13 (as root; takes
    /// minutes)
    #[arg(long)]
    test: bool,
}

/// The kinds of packages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Package {
    /// For any Linux of this architecture.
    Tarball,
    /// For Debian 12 and newer.
    Deb,
    /// For container engines: one for the host, one for the proxy.
    Image,
}

impl Package {
    const ALL: [Self; 3] = [Self::Tarball, Self::Deb, Self::Image];
}

/// Runs the command.
///
/// # Errors
/// If something can't be built or written, or fails in a trial.
pub(crate) async fn run(options: Options) -> Result<ExitCode> {
    let release = Release::of_this_commit(options.profile).await?;
    let programs = programs::build(&release).await?;
    let contents = Contents::gather(&release, &programs)?;
    let out = std::path::absolute(&options.out).context("the folder of the packages")?;
    fs::create_dir_all(&out).with_context(|| format!("creating {}", out.display()))?;
    let mut made = Vec::new();
    for package in &options.only {
        made.extend(match package {
            Package::Tarball => vec![tarball::write(&contents, &release, &out)?],
            Package::Deb => vec![deb::build(&contents, &release, &out)?],
            Package::Image => image::write(&contents, &release, &out)?,
        });
    }
    made.extend(sbom::write(&release, &out).await?);
    made.extend(seal::write(&made, &release, options.key.as_deref(), &out)?);
    for path in &made {
        println!("{:>9}  {}", size(path)?, path.display());
    }
    if options.test {
        trial::run(&release, &contents, &made, &options.only).await?;
    }
    Ok(ExitCode::SUCCESS)
}

fn size(path: &Path) -> Result<String> {
    let bytes = fs::metadata(path)
        .with_context(|| format!("looking at {}", path.display()))?
        .len();
    Ok(format!("{} KiB", bytes.div_ceil(1024)))
}
