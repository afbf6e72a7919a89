//! Software bills of materials: a CycloneDX document for each program and for the components, from cargo's metadata.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use cyclonedx_bom::models::bom::{Bom, SpecVersion};
use cyclonedx_bom::models::component::{Classification, Component, Components};
use cyclonedx_bom::models::dependency::{Dependencies, Dependency};
use cyclonedx_bom::models::license::{LicenseChoice, Licenses};
use cyclonedx_bom::models::metadata::Metadata;
use cyclonedx_bom::prelude::{DateTime, Purl, Validate};
use serde_json::Value;
use xtask::build::{HOST_PACKAGE, PROXY_PACKAGE};
use xtask::cargo::cargo;

use crate::programs::COMPONENTS;
use crate::release::Release;

/// Writes the documents to the folder `out`.
///
/// # Errors
/// If cargo can't be run, or a file can't be written.
pub(crate) async fn write(release: &Release, out: &Path) -> Result<Vec<PathBuf>> {
    let native = DependencyGraph::for_target(&release.rustc.host).await?;
    let wasm = DependencyGraph::for_target("wasm32-wasip2").await?;
    let programs = [HOST_PACKAGE, PROXY_PACKAGE].map(|name| (name, &native));
    let documents = programs
        .into_iter()
        .chain(COMPONENTS.map(|name| (name, &wasm)));
    documents
        .map(|(name, resolved)| {
            let path = out.join(format!("{name}.cdx.json"));
            let mut text = Vec::new();
            let bom = resolved.bom(name, release)?;
            let verdict = bom.validate_version(SpecVersion::V1_5);
            ensure!(verdict.passed(), "the SBOM of {name}: {verdict:?}");
            bom.output_as_json_v1_5(&mut text)?;
            fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
            Ok(path)
        })
        .collect()
}

/// The packages of one target's build, as cargo resolved them.
struct DependencyGraph {
    packages: BTreeMap<String, Value>,
    /// The ids of each package's dependencies, without those for tests and build scripts.
    needs: BTreeMap<String, BTreeSet<String>>,
}

impl DependencyGraph {
    async fn for_target(target: &str) -> Result<Self> {
        let mut command = cargo(["metadata", "--format-version", "1", "--locked"]);
        command.args(["--filter-platform", target]);
        let output = command.output().await.context("running cargo metadata")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "cargo metadata: {}", said.trim());
        let metadata: Value = serde_json::from_slice(&output.stdout).context("cargo's metadata")?;
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

    fn bom(&self, name: &str, release: &Release) -> Result<Bom> {
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
        let dependencies = all.iter().map(|id| Dependency {
            dependency_ref: reference(self.packages.get(id)),
            dependencies: self
                .needs
                .get(id)
                .into_iter()
                .flatten()
                .map(|id| reference(self.packages.get(id)))
                .collect(),
        });
        Ok(Bom {
            version: 1,
            // Omitted, because it would differ in each build.
            serial_number: None,
            metadata: Some(Metadata {
                timestamp: Some(DateTime::try_from(release.time()).context("the commit's time")?),
                component: Some(described_as(Classification::Application, package)),
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
