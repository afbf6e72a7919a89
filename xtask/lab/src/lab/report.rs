//! Writes the report of a run: a page, Markdown and JSON.

mod answers;
mod charts;
mod document;
mod flash_sale;
mod html;
mod markdown;
mod numbers;
mod order_cost;
mod run;
mod stage;
mod summary;

use std::path::PathBuf;

use anyhow::{Context, Result};
use serde_json::json;

use self::document::{Block, Document, Section};
use super::folder::{Folder, Run};
use super::model::StageResult;
use super::stage::Stage;

/// The content of a report.
pub(super) struct Report<'a> {
    pub(super) run: &'a Run,
    /// The results in the course's order, the reference first.
    pub(super) stages: &'a [StageResult],
    /// The stages that could not be measured, and why.
    pub(super) skipped: &'a [(Stage, String)],
}

impl Report<'_> {
    /// Writes `report.html`, `report.md` and `report.json`. Returns the path of the page.
    pub(super) fn write(&self, folder: &Folder) -> Result<PathBuf> {
        let document = self.document();
        let raw = json!({
            "settings": self.run.settings,
            "about": self.run.about,
            "stages": self.stages,
        });
        let raw = serde_json::to_string(&raw).context("turning the results into JSON")?;
        folder.write_text("report.json", &raw)?;
        folder.write_text("report.md", &markdown::markdown(&document))?;
        folder.write_text("report.html", &html::html(&document)?)
    }

    /// The stages under the course's load, and the stages of the flash sale.
    fn parts(&self) -> (&[StageResult], &[StageResult]) {
        let ladder = |result: &StageResult| !result.stage.is_flash_sale();
        self.stages.split_at(self.stages.partition_point(ladder))
    }

    fn document(&self) -> Document {
        let settings = &self.run.settings;
        let (stages, sale) = self.parts();
        let processors = self.run.about.processors;
        let mut sections = vec![summary::section(self)];
        if !stages.is_empty() {
            sections.push(stage::comparison(stages));
            sections.push(distributions(stages));
        }
        sections.extend(stage::sections(stages, processors));
        sections.extend(flash_sale::section(sale, processors));
        sections.push(answers::section(stages, settings.users, processors));
        sections.push(run::section(self));
        Document {
            title: "What each optimisation was worth".into(),
            subtitle: run::subtitle(self.run),
            sections,
        }
    }
}

fn distributions(stages: &[StageResult]) -> Section {
    let mut section = Section::new("distributions", "Latency distributions");
    section.text("One line for each stage. A line that rises early and steeply belongs to a route that answers fast, and equally fast, every time.");
    let charts = charts::distributions(stages).into_iter().map(Block::Chart);
    section.blocks.extend(charts);
    section
}
