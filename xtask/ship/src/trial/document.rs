//! Commands as the documents have them, so that what is tried is what people are told.

use anyhow::{Context, Result};

/// The commands of the first console block below a heading: of the lines that begin with a user's prompt, what follows
/// it.
///
/// # Errors
/// If there is no such heading, or no such block below it.
pub(super) fn commands<'a>(document: &'a str, heading: &str) -> Result<Vec<&'a str>> {
    let below = document.split_once(&format!("\n{heading}\n"));
    let (_, below) = below.with_context(|| format!("there is no heading `{heading}`"))?;
    let block = below.split_once("\n```console\n");
    let block = block.and_then(|(_, block)| block.split_once("\n```"));
    let (block, _) = block.with_context(|| format!("no console below `{heading}`"))?;
    let lines = block.lines();
    Ok(lines.filter_map(|line| line.strip_prefix("$ ")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_user_types_is_found_below_its_heading() -> Result<()> {
        let text = "\n## A\n\n```console\n$ no\n```\n\n## B\n\nwords\n\n```console\n$ one &&  two   # why\nits output\n$ three\n```\n$ no\n";
        assert_eq!(commands(text, "## B")?, ["one &&  two   # why", "three"]);
        assert!(commands(text, "## C").is_err());
        Ok(())
    }
}
