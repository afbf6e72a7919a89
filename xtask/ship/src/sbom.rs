//! Software bills of materials: a CycloneDX document for each program and for the components, from what cargo says of
//! their builds, with what no package of cargo's is: Rust's std, glibc, and the tools that have compiled it all.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use cyclonedx_bom::models::bom::{Bom, SpecVersion};
use cyclonedx_bom::models::component::{Classification, Component, Components};
use cyclonedx_bom::models::dependency::{Dependencies, Dependency};
use cyclonedx_bom::models::license::{LicenseChoice, Licenses};
use cyclonedx_bom::models::metadata::Metadata;
use cyclonedx_bom::models::property::{Properties, Property};
use cyclonedx_bom::prelude::{DateTime, Purl, Validate};
use serde_json::Value;
use tokio::process::Command;
use xtask::build::{HOST_PACKAGE, PROXY_PACKAGE};
use xtask::cargo::cargo;
use xtask::programs::output_of;

use crate::programs::{COMPONENTS, WASM, host_features};
use crate::release::Release;

/// Writes the documents to the folder `out`.
///
/// # Errors
/// If cargo can't be run, or a file can't be written.
pub(crate) async fn write(release: &Release, out: &Path) -> Result<Vec<PathBuf>> {
    let target = release.rustc.host.as_str();
    let features = host_features(release.profile);
    let of_host: Vec<String> = features
        .iter()
        .map(|feature| format!("{HOST_PACKAGE}/{feature}"))
        .collect();
    let native = DependencyGraph::for_target(target, &of_host).await?;
    let wasm = DependencyGraph::for_target(WASM, &[]).await?;
    let host = native.limited_to(&built(&[HOST_PACKAGE], features, target).await?);
    let proxy = native.limited_to(&built(&[PROXY_PACKAGE], &[], target).await?);
    let components = wasm.limited_to(&built(&COMPONENTS, &[], WASM).await?);
    let machine = Toolchain::of_this_machine(release).await?;
    let portable = machine.for_wasm();
    let programs = [
        (HOST_PACKAGE, &host, &machine),
        (PROXY_PACKAGE, &proxy, &machine),
    ];
    let documents = programs
        .into_iter()
        .chain(COMPONENTS.map(|name| (name, &components, &portable)));
    documents
        .map(|(name, resolved, toolchain)| {
            let path = out.join(format!("{name}.cdx.json"));
            let mut text = Vec::new();
            let bom = resolved.bom(name, release, toolchain)?;
            let verdict = bom.validate_version(SpecVersion::V1_5);
            ensure!(verdict.passed(), "the SBOM of {name}: {verdict:?}");
            bom.output_as_json_v1_5(&mut text)?;
            fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
            Ok(path)
        })
        .collect()
}

/// The packages, as `name@version`, that a build of `packages` compiles for `target`. Cargo's metadata have those of
/// the whole workspace at once, with features that only other packages turn on.
async fn built(packages: &[&str], features: &[&str], target: &str) -> Result<BTreeSet<String>> {
    let mut command = cargo(["tree", "--locked", "--edges", "normal", "--prefix", "none"]);
    command.args(["--format", "{p}", "--target", target]);
    for package in packages {
        command.args(["--package", package]);
    }
    for feature in features {
        command.args(["--features", feature]);
    }
    let said = output(command).await?;
    Ok(references(&String::from_utf8_lossy(&said)))
}

/// The packages in lines such as `serde v1.0.200 (proc-macro) (*)`.
fn references(tree: &str) -> BTreeSet<String> {
    let package = |line: &str| {
        let mut words = line.split_whitespace();
        let (name, version) = (words.next()?, words.next()?.strip_prefix('v')?);
        Some(format!("{name}@{version}"))
    };
    tree.lines().filter_map(package).collect()
}

/// What a cargo command prints.
async fn output(mut command: Command) -> Result<Vec<u8>> {
    let output = command.output().await.context("running cargo")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "cargo: {}", said.trim());
    Ok(output.stdout)
}

/// What a program contains that no package of cargo's is, and what has compiled it: the bytes depend on both.
struct Toolchain {
    libraries: Vec<Component>,
    /// Tools by their names, with their versions.
    tools: Vec<(&'static str, String)>,
}

impl Toolchain {
    async fn of_this_machine(release: &Release) -> Result<Self> {
        let rustc = &release.rustc.release;
        let first_line = async |program: &str| {
            let said = output_of(program, &["--version"]).await;
            said.lines().next().unwrap_or_default().to_owned()
        };
        // Debian's libc6-dev, whose libc.a is linked, has the version of the libc that runs here.
        let glibc = output_of("getconf", &["GNU_LIBC_VERSION"]).await;
        let glibc = glibc.strip_prefix("glibc ");
        let glibc =
            glibc.context("`getconf GNU_LIBC_VERSION` does not say the version of glibc")?;
        Ok(Self {
            libraries: vec![
                library("rust-std", rustc, "Apache-2.0 OR MIT"),
                library("glibc", glibc, "LGPL-2.1-or-later"),
            ],
            tools: vec![
                ("rustc", rustc.clone()),
                ("cc", first_line("cc").await),
                ("ld", first_line("ld").await),
            ],
        })
    }

    /// That of the components, into which no C code of this machine goes.
    fn for_wasm(&self) -> Self {
        let is_rusts = |library: &&Component| &*library.name == "rust-std";
        Self {
            libraries: self.libraries.iter().filter(is_rusts).cloned().collect(),
            tools: self.tools.iter().take(1).cloned().collect(),
        }
    }
}

fn library(name: &str, version: &str, licence: &str) -> Component {
    let reference = format!("{name}@{version}");
    let mut library = Component::new(Classification::Library, name, version, Some(reference));
    library.licenses = Some(Licenses(vec![LicenseChoice::expression(licence)]));
    library
}

/// The packages of one target's build, as cargo resolved them.
struct DependencyGraph {
    packages: BTreeMap<String, Value>,
    /// The ids of each package's dependencies, without those for tests and build scripts.
    needs: BTreeMap<String, BTreeSet<String>>,
}

impl DependencyGraph {
    /// The packages of the whole workspace, with these features of its members.
    async fn for_target(target: &str, features: &[String]) -> Result<Self> {
        let mut command = cargo(["metadata", "--format-version", "1", "--locked"]);
        command.args(["--filter-platform", target]);
        for feature in features {
            command.args(["--features", feature]);
        }
        let said = output(command).await?;
        let metadata: Value = serde_json::from_slice(&said).context("cargo's metadata")?;
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        let packages = list(&metadata["packages"]).into_iter();
        let nodes = list(&metadata["resolve"]["nodes"]).into_iter();
        Ok(Self {
            packages: packages
                .map(|package| (text(&package["id"]), package))
                .collect(),
            needs: nodes
                .map(|node| {
                    let needed = list(&node["deps"]).into_iter().filter(|dependency| {
                        list(&dependency["dep_kinds"])
                            .iter()
                            .any(|kind| kind["kind"].is_null())
                    });
                    let ids = needed.map(|dependency| text(&dependency["pkg"]));
                    (text(&node["id"]), ids.collect())
                })
                .collect(),
        })
    }

    /// The part of the graph with these packages, named as by [`reference()`].
    fn limited_to(&self, built: &BTreeSet<String>) -> Self {
        let is_built = |id: &String| built.contains(&reference(self.packages.get(id)));
        let packages = self.packages.iter().filter(|(id, _)| is_built(id));
        let needs = self.needs.iter().filter(|(id, _)| is_built(id));
        Self {
            packages: packages
                .map(|(id, package)| (id.clone(), package.clone()))
                .collect(),
            needs: needs
                .map(|(id, needs)| {
                    let needs = needs.iter().filter(|id| is_built(id));
                    (id.clone(), needs.cloned().collect())
                })
                .collect(),
        }
    }

    fn bom(&self, name: &str, release: &Release, toolchain: &Toolchain) -> Result<Bom> {
        let (root, package) = self
            .packages
            .iter()
            .find(|(_, package)| package["name"] == name && package["source"].is_null())
            .with_context(|| format!("cargo knows no package {name}"))?;
        let all = self.all_of(root);
        let described = all.iter().filter(|&id| id != root);
        let components = described.filter_map(|id| {
            Some(described_as(
                Classification::Library,
                self.packages.get(id)?,
            ))
        });
        let components = components.chain(toolchain.libraries.iter().cloned());
        let dependencies = all.iter().map(|id| Dependency {
            dependency_ref: reference(self.packages.get(id)),
            dependencies: {
                let needs = self.needs.get(id).into_iter().flatten();
                let needs = needs.map(|id| reference(self.packages.get(id)));
                let linked = toolchain.libraries.iter().filter(|_| id == root);
                let linked = linked.filter_map(|library| library.bom_ref.clone());
                needs.chain(linked).collect()
            },
        });
        Ok(Bom {
            version: 1,
            // Omitted, because it would differ in each build.
            serial_number: None,
            metadata: Some(Metadata {
                timestamp: Some(DateTime::try_from(release.time()).context("the commit's time")?),
                component: Some(described_as(Classification::Application, package)),
                properties: Some(Properties(
                    toolchain
                        .tools
                        .iter()
                        .map(|(tool, version)| {
                            Property::new(format!("store-manager:built-with:{tool}"), version)
                        })
                        .collect(),
                )),
                ..Metadata::default()
            }),
            components: Some(Components(components.collect())),
            dependencies: Some(Dependencies(dependencies.collect())),
            spec_version: SpecVersion::V1_5,
            ..Bom::default()
        })
    }

    /// The package `root` and all its direct and indirect dependencies.
    fn all_of(&self, root: &str) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        let mut left = vec![root.to_owned()];
        while let Some(id) = left.pop() {
            if found.insert(id.clone()) {
                left.extend(self.needs.get(&id).into_iter().flatten().cloned());
            }
        }
        found
    }
}

fn described_as(kind: Classification, package: &Value) -> Component {
    let (name, version) = (text(&package["name"]), text(&package["version"]));
    let mut component = Component::new(kind, &name, &version, Some(reference(Some(package))));
    component.purl = Purl::new("cargo", &name, &version).ok();
    component.licenses = package["license"].as_str().map(|licence| {
        // Old crates separate two licences with a slash.
        let expression = licence.replace('/', " OR ");
        Licenses(vec![LicenseChoice::expression(&expression)])
    });
    component
}

/// A package's name within the document. Cargo's ids of our own packages contain paths of this machine.
fn reference(package: Option<&Value>) -> String {
    package.map_or_else(String::new, |package| {
        format!("{}@{}", text(&package["name"]), text(&package["version"]))
    })
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use xtask::paths;
    use xtask::pgo::Rustc;

    use super::*;
    use crate::release::Profile;

    #[test]
    fn each_line_of_a_tree_is_a_package() {
        let tree = "store-host v0.1.0 (/x/host)\nserde v1.0.2\nserde_derive v1.0.2 (proc-macro) (*)\n\norders v0.1.0 (/x)\n";
        let expected = [
            "orders@0.1.0",
            "serde@1.0.2",
            "serde_derive@1.0.2",
            "store-host@0.1.0",
        ];
        assert_eq!(
            references(tree),
            BTreeSet::from(expected.map(str::to_owned))
        );
    }

    #[tokio::test]
    async fn the_shipped_host_lists_its_allocator_and_what_else_is_linked() -> Result<()> {
        let release = Release {
            version: "1.0.0".to_owned(),
            profile: Profile::Dist,
            epoch: 0,
            rustc: Rustc::ask().await?,
        };
        let folder = paths::target().join(format!("tmp/ship-sbom-{}", std::process::id()));
        fs::create_dir_all(&folder)?;
        let made = write(&release, &folder).await?;
        let listed = |program: &str| -> Result<BTreeSet<String>> {
            let path = folder.join(format!("{program}.cdx.json"));
            let document: Value = serde_json::from_slice(&fs::read(path)?)?;
            let components = document["components"].as_array().into_iter().flatten();
            Ok(components.map(|one| text(&one["name"])).collect())
        };
        let (host, proxy, orders) = (
            listed("store-host")?,
            listed("store-proxy")?,
            listed("orders")?,
        );
        for name in [
            "tikv-jemallocator",
            "tikv-jemalloc-sys",
            "wasmtime",
            "rust-std",
            "glibc",
        ] {
            assert!(host.contains(name), "the host has no {name}: {host:?}");
        }
        for name in ["mimalloc", "pingora-core", "rust-std", "glibc"] {
            assert!(proxy.contains(name), "the proxy has no {name}: {proxy:?}");
        }
        assert!(!proxy.contains("wasmtime") && !proxy.contains("tikv-jemallocator"));
        assert!(
            orders.contains("spin-sdk") && orders.contains("rust-std"),
            "{orders:?}"
        );
        assert!(!orders.contains("glibc"), "{orders:?}");
        assert_eq!(made.len(), 5);
        fs::remove_dir_all(&folder)?;
        Ok(())
    }
}
