//! The report as Markdown: the same words and tables, without the charts.

use std::fmt::Write;

use super::document::{Block, Document, ReportTable};
use crate::measure;

/// Writes a document as Markdown.
pub(super) fn markdown(document: &Document) -> String {
    let mut text = format!("# {}\n\n{}\n", document.title, escaped(&document.subtitle));
    for section in &document.sections {
        _ = write!(text, "\n## {}\n", escaped(&section.title));
        for block in &section.blocks {
            text.push('\n');
            text.push_str(&self::block(block));
        }
    }
    text
}

fn block(block: &Block) -> String {
    match block {
        Block::Heading(title) => format!("### {}\n", escaped(title)),
        Block::Text(text) => format!("{}\n", escaped(text)),
        Block::Note(text) => format!("*{}*\n", escaped(text)),
        Block::List(items) => items
            .iter()
            .map(|item| format!("- **{}** {}\n", escaped(&item.lead), escaped(&item.text)))
            .collect(),
        Block::Tiles(tiles) => tiles
            .iter()
            .map(|tile| {
                let (label, value) = (escaped(&tile.label), escaped(&tile.value));
                format!("- {label}: **{value}** ({})\n", escaped(&tile.note))
            })
            .collect(),
        Block::Table(table) => self::table(table),
        Block::Chart(chart) => format!("*Chart on the page: {}*\n", escaped(&chart.caption)),
    }
}

fn table(table: &ReportTable) -> String {
    let mut text = String::new();
    if !table.caption.is_empty() {
        text = format!("**{}**\n\n", escaped(&table.caption));
    }
    let heads = table.head.iter().map(|head| escaped(head));
    let mut cells = measure::TextTable::new(heads).of_figures();
    for row in &table.rows {
        cells.row(row.iter().map(|cell| {
            let notes = cell.notes.iter();
            let notes = notes.map(|note| format!("<br>{}", escaped(&note.text)));
            format!("{}{}", escaped(&cell.text), notes.collect::<String>())
        }));
    }
    text + &cells.markdown()
}

/// Escapes texts from outside, so that they can't become a tag, a link or a new cell.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    let mut before = ' ';
    while let Some(character) = rest.next() {
        let in_a_word =
            before.is_alphanumeric() && rest.peek().is_some_and(|next| next.is_alphanumeric());
        before = character;
        match character {
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '&' => safe.push_str("&amp;"),
            '_' if in_a_word => safe.push('_'),
            '|' | '*' | '`' | '[' | ']' | '\\' | '_' => {
                safe.push('\\');
                safe.push(character);
            }
            '\n' | '\r' => safe.push(' '),
            plain => safe.push(plain),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_survives_what_its_cells_hold() {
        let mut table = ReportTable::new("", &["route", "p95"]);
        table.row(["a|b\n<c> _d_e_".into(), "5 ms".into()]);
        let expected = "| route | p95 |\n|---|---:|\n| a\\|b &lt;c&gt; \\_d_e\\_ | 5 ms |\n";
        assert_eq!(super::table(&table), expected);
    }
}
