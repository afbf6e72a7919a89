//! `cargo xtask package`: makes the packages, their SBOMs, checksums and a signature.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};
use xtask::build::{HOST_PACKAGE, PROXY_PACKAGE};
use xtask::paths;

use crate::contents::Contents;
use crate::programs::{COMPONENTS, Programs};
use crate::release::{Profile, Release};
use crate::seal::{Key, SIGNATURE, SUMS};
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

    /// Then compare every file with that of another run, in this folder: two builds of one commit make the same bytes
    #[arg(long, value_name = "DIR")]
    compare: Option<PathBuf>,

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

    /// With --test: upgrade from this Debian package, which an earlier commit made, instead of from one that is made of
    /// today's files
    #[arg(long, value_name = "FILE", requires = "test")]
    earlier: Option<PathBuf>,
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

/// The beginnings and ends of the names of packages.
const PACKAGES: [(&str, &str); 3] = [
    ("store-manager_", ".deb"),
    ("store-manager-", ".tar.gz"),
    ("store-", ".oci.tar"),
];

/// Runs the command.
///
/// # Errors
/// If something can't be built or written, or fails in a trial.
pub(crate) async fn run(options: Options) -> Result<ExitCode> {
    // Before anything is built, so that a wrong key or password is noticed at once.
    let key = options.key.as_deref().map(Key::read).transpose()?;
    let earlier = options.earlier.as_deref().map(read).transpose()?;
    let out = std::path::absolute(&options.out).context("the folder of the packages")?;
    if let Some(other) = &options.compare {
        let other = std::path::absolute(other).context("--compare")?;
        ensure!(
            other.is_dir(),
            "--compare: there is no folder {}",
            other.display()
        );
        ensure!(
            other != out,
            "--compare: this run writes to that folder; give another --out"
        );
    }
    if options.test {
        trial::prepare().await?;
    }
    let release = Release::of_this_commit(options.profile).await?;
    let programs = programs::build(&release).await?;
    let contents = Contents::gather(&release, &programs)?;
    let made = make(&contents, &release, &options.only, key.as_ref(), &out).await?;
    for path in &made {
        println!("{:>9}  {}", size(path)?, path.display());
    }
    if let Some(other) = &options.compare {
        compare(&made, other)?;
        println!("✓ the same bytes as in {}", other.display());
    }
    if options.test {
        packed_again(&programs, &release, &options.only, &made).await?;
        let earlier = earlier.as_deref();
        trial::run(&release, &contents, &made, &options.only, earlier).await?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes the packages to the folder `out`, in place of those of an earlier run.
async fn make(
    contents: &Contents,
    release: &Release,
    only: &[Package],
    key: Option<&Key>,
    out: &Path,
) -> Result<Vec<PathBuf>> {
    clear(out).with_context(|| format!("emptying {}", out.display()))?;
    let mut made = Vec::new();
    for package in only {
        made.extend(match package {
            Package::Tarball => vec![tarball::write(contents, release, out)?],
            Package::Deb => vec![deb::build(contents, release, out)?],
            Package::Image => image::write(contents, release, out)?,
        });
    }
    made.extend(sbom::write(release, out).await?);
    made.extend(seal::write(&made, release, key, out)?);
    Ok(made)
}

/// Makes the folder `out`, or removes from it what an earlier run has made: the new checksums do not count it, and an
/// old signature would be of other checksums. Other files in it stay.
fn clear(out: &Path) -> std::io::Result<()> {
    fs::create_dir_all(out)?;
    for entry in fs::read_dir(out)? {
        let entry = entry?;
        if is_ours(&entry.file_name().to_string_lossy()) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Whether this command makes files of such a name.
fn is_ours(name: &str) -> bool {
    let is_package = PACKAGES
        .iter()
        .any(|&(begin, end)| name.starts_with(begin) && name.ends_with(end));
    let described = name.strip_suffix(".cdx.json");
    let is_program = |name: &str| [HOST_PACKAGE, PROXY_PACKAGE].contains(&name);
    is_package
        || described.is_some_and(|name| is_program(name) || COMPONENTS.contains(&name))
        || [SUMS, SIGNATURE].contains(&name)
}

/// Packs the same programs once more, and compares.
async fn packed_again(
    programs: &Programs,
    release: &Release,
    only: &[Package],
    made: &[PathBuf],
) -> Result<()> {
    let again = paths::target().join("ship/again");
    let contents = Contents::gather(release, programs)?;
    make(&contents, release, only, None, &again).await?;
    compare(made, &again)?;
    println!("✓ packed twice from the same programs: the same bytes");
    Ok(())
}

/// Compares what was made with the files of the same names in the folder `other`. The signature is left out: `other`
/// may have none.
///
/// # Errors
/// Names all files that differ, or that `other` does not have.
fn compare(made: &[PathBuf], other: &Path) -> Result<()> {
    let mut different = Vec::new();
    for path in made {
        let name = path.file_name().unwrap_or_default();
        if name == SIGNATURE {
            continue;
        }
        if read(path)? != read(&other.join(name))? {
            different.push(name.to_string_lossy().into_owned());
        }
    }
    ensure!(
        different.is_empty(),
        "not the same bytes as in {}: {}",
        other.display(),
        different.join(", ")
    );
    Ok(())
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("reading {}", path.display()))
}

fn size(path: &Path) -> Result<String> {
    let bytes = fs::metadata(path)
        .with_context(|| format!("looking at {}", path.display()))?
        .len();
    Ok(format!("{} KiB", bytes.div_ceil(1024)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = paths::target().join(format!("tmp/ship-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("it is writable");
        folder
    }

    #[test]
    fn an_earlier_run_leaves_nothing_of_its_own() {
        let out = folder("clear");
        let old = [
            "store-manager_0.0.9_amd64.deb",
            "store-manager-0.0.9-x86_64-linux.tar.gz",
            "store-host-0.0.9.oci.tar",
            "store-host.cdx.json",
            "SHA256SUMS",
            SIGNATURE,
        ];
        for name in old.into_iter().chain(["parts.cdx.json"]) {
            fs::write(out.join(name), "").expect("it is writable");
        }
        clear(&out).expect("it is ours");
        let left = fs::read_dir(&out).expect("it is there");
        let left: Vec<_> = left
            .map(|entry| entry.expect("an entry").file_name())
            .collect();
        assert_eq!(left, ["parts.cdx.json"]);
        fs::remove_dir_all(&out).expect("it is ours");
    }

    #[test]
    fn what_differs_is_named_and_a_signature_does_not_count() {
        let (one, other) = (folder("one"), folder("other"));
        let names = ["a.deb", "b.deb", SIGNATURE];
        for name in names {
            fs::write(one.join(name), "1").expect("it is writable");
        }
        for (name, text) in [("a.deb", "1"), ("b.deb", "2")] {
            fs::write(other.join(name), text).expect("it is writable");
        }
        let made = names.map(|name| one.join(name));
        let error = compare(&made, &other).expect_err("b differs").to_string();
        assert!(error.ends_with(": b.deb"), "{error}");
        fs::write(other.join("b.deb"), "1").expect("it is writable");
        compare(&made, &other).expect("they are the same");
        for folder in [one, other] {
            fs::remove_dir_all(&folder).expect("it is ours");
        }
    }
}
