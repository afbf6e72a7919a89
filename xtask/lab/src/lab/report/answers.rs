//! Answers the course's nine questions from the run. Each answer is next to its figures.

mod balancing;
mod failing;
mod orders;
mod steps;

use super::document::{Block, Chart, ReportTable, Section};
use crate::lab::model::StageResult;
use crate::lab::stage::Stage;

/// A question, its answer, and the figures behind the answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) question: &'static str,
    pub(crate) text: String,
    pub(crate) figures: Vec<ReportTable>,
    pub(crate) pictures: Vec<Chart>,
}

impl Answer {
    /// An answer without pictures.
    fn new(question: &'static str, text: impl Into<String>, figures: Vec<ReportTable>) -> Self {
        Self {
            question,
            text: text.into(),
            figures,
            pictures: Vec::new(),
        }
    }
}

/// All nine answers.
pub(crate) fn all(stages: &[StageResult], users: u32, processors: usize) -> [Answer; 9] {
    [
        failing::users_until_failures(stages, users),
        failing::routes_that_fail(stages),
        failing::messages(stages),
        orders::prices_in_one_query(stages),
        orders::a_million_products(stages),
        steps::cached_reports(stages),
        orders::what_bounds_them(stages, processors),
        steps::several_instances(stages),
        balancing::policy(stages),
    ]
}

/// The section with the answers.
pub(super) fn section(stages: &[StageResult], users: u32, processors: usize) -> Section {
    let mut section = Section::new("answers", "The course's questions");
    for (index, answer) in all(stages, users, processors).into_iter().enumerate() {
        section.heading(format!("{}. {}", index + 1, answer.question));
        section.text(answer.text);
        let pictures = answer.pictures.into_iter().map(Block::Chart);
        section.blocks.extend(pictures);
        section
            .blocks
            .extend(answer.figures.into_iter().map(Block::Table));
    }
    section
}

/// The result of a stage, if it was measured.
fn of(stages: &[StageResult], stage: Stage) -> Option<&StageResult> {
    stages.iter().find(|result| result.stage == stage)
}

/// The results of two stages, or a text that says why they are missing.
fn both(
    stages: &[StageResult],
    before: Stage,
    after: Stage,
) -> Result<(&StageResult, &StageResult), String> {
    match (of(stages, before), of(stages, after)) {
        (Some(before), Some(after)) => Ok((before, after)),
        _ => Err(format!(
            "This run can't say: it takes the stages {} and {}, and not both were measured.",
            before.name(),
            after.name()
        )),
    }
}

/// Joins texts to a list: `a, b and c`.
fn listed(texts: &[String]) -> String {
    match texts {
        [] => String::new(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}
