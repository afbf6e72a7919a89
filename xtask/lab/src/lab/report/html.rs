//! The report as one self-contained page: it includes style, script, charting library and data.

mod legend;
mod library;

use anyhow::Result;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use serde_json::json;

use super::document::{Block, Cell, Chart, Document, ReportTable, Section, Tone};

/// A style sheet that the console has too.
macro_rules! shared {
    ($name:literal) => {
        include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../server/src/console/page/",
            $name
        ))
    };
}

/// Colours and fonts, what the page has in common with the console, and what it has for itself.
const STYLES: [&str; 3] = [
    shared!("tokens.css"),
    shared!("base.css"),
    include_str!("html/page.css"),
];
const SCRIPT: &str = include_str!("html/page.js");

/// Writes a document as a page.
pub(super) fn html(document: &Document) -> Result<String> {
    let library = library::packed()?;
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            (head(document))
            body {
                header {
                    h1 { (document.title) }
                    p.subtitle { (document.subtitle) }
                }
                nav aria-label="Contents" {
                    @for section in &document.sections {
                        a href=(format!("#{}", section.id)) { (section.title) }
                    }
                }
                main {
                    noscript { p.note { "The charts need JavaScript; the tables and texts don't." } }
                    @for section in &document.sections { (self::section(section)) }
                }
                // The type makes it data, not script, so the browser does not parse it.
                script type="text/plain" id="library" { (PreEscaped(library)) }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    Ok(page.into_string())
}

fn head(document: &Document) -> Markup {
    html! {
        head {
            meta charset="utf-8";
            meta name="viewport" content="width=device-width, initial-scale=1";
            meta name="color-scheme" content="light dark";
            title { (document.title) }
            style { @for sheet in STYLES { (PreEscaped(sheet)) } }
        }
    }
}

fn section(section: &Section) -> Markup {
    html! {
        section id=(section.id) {
            h2 { (section.title) }
            @for block in &section.blocks { (self::block(block)) }
        }
    }
}

fn block(block: &Block) -> Markup {
    match block {
        Block::Heading(title) => html! { h3 { (title) } },
        Block::Text(text) => html! { p { (text) } },
        Block::Note(text) => html! { p.note { (text) } },
        Block::List(items) => html! {
            ol.steps {
                @for item in items { li { strong { (item.lead) } " " (item.text) } }
            }
        },
        Block::Tiles(tiles) => html! {
            dl.tiles {
                @for tile in tiles {
                    div.tile {
                        dt { (tile.label) }
                        dd.value { (tile.value) }
                        dd.note { (tile.note) }
                    }
                }
            }
        },
        Block::Table(table) => self::table(table),
        Block::Chart(chart) => self::chart(chart),
    }
}

fn table(table: &ReportTable) -> Markup {
    html! {
        // Focusable, so that it can be scrolled by keyboard.
        div.scroll tabindex="0" {
            table {
                @if !table.caption.is_empty() { caption { (table.caption) } }
                thead { tr { @for head in &table.head { th scope="col" { (head) } } } }
                tbody {
                    @for row in &table.rows {
                        tr {
                            @for (index, cell) in row.iter().enumerate() {
                                @if index == 0 { th scope="row" { (self::cell(cell)) } }
                                @else { td class=[is_prose(cell).then_some("prose")] { (self::cell(cell)) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn cell(cell: &Cell) -> Markup {
    html! {
        (cell.text)
        @for note in &cell.notes {
            span class=(format!("change {}", class(note.tone))) { (arrow(note.tone)) (note.text) }
        }
    }
}

/// Whether the cell is a text, which may wrap; figures must not wrap.
fn is_prose(cell: &Cell) -> bool {
    cell.text.len() > 24
}

fn chart(chart: &Chart) -> Markup {
    let figure = json!({"data": chart.data, "layout": chart.layout});
    // A closing tag in the data would end the element.
    let figure = figure.to_string().replace("</", "<\\/");
    html! {
        figure.chart id=(chart.id) {
            figcaption { (chart.caption) }
            @if !chart.legend.is_empty() { (legend::legend(&chart.legend)) }
            div.plot role="img" aria-label=(chart.caption) data-height=(chart.height) style=(format!("height:{}px", chart.height)) {}
            script type="application/json" { (PreEscaped(figure)) }
        }
    }
}

fn class(tone: Tone) -> &'static str {
    match tone {
        Tone::Better => "better",
        Tone::Worse => "worse",
        Tone::Even => "even",
    }
}

fn arrow(tone: Tone) -> &'static str {
    match tone {
        Tone::Better => "✓ ",
        Tone::Worse => "✗ ",
        Tone::Even => "≈ ",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::report::charts::over_time;
    use crate::lab::stage::Stage;
    use crate::lab::testing::result;

    #[test]
    fn it_has_the_sheets_of_the_console_and_repeats_none() {
        let head = head(&Document::default()).into_string();
        let places = STYLES.map(|sheet| head.find(sheet));
        // A later rule goes before an earlier one.
        assert!(places[0].is_some() && places.is_sorted(), "{places:?}");
        let [_, base, own] = STYLES;
        for rule in base.lines().filter(|line| line.contains('{')) {
            let is_repeated = own.lines().any(|line| line.trim() == rule.trim());
            assert!(!is_repeated || rule.contains("@media"), "{rule}");
        }
    }

    #[test]
    fn charts_have_the_colours_and_the_font_of_the_sheets() {
        let drawn = over_time(&result(Stage::Cached), 2);
        let text = format!("{}{}", drawn.layout, drawn.data);
        assert!(text.contains("\"@type\""), "{text}");
        for name in text.split("\"@").skip(1) {
            let end = name.find(['"', '/']).expect("the end of a name");
            let name = &name[..end];
            let is_known = STYLES[0].contains(&format!("--{name}: "));
            assert!(is_known || name == "clear", "{name}");
        }
    }

    #[test]
    fn what_comes_from_outside_is_only_text() {
        let mut table = ReportTable::new("", &["message"]);
        table.row(["<script>alert(1)</script>".into()]);
        let text = super::table(&table).into_string();
        assert!(text.contains("&lt;script&gt;alert(1)"), "{text}");
        let chart = Chart {
            id: "c".into(),
            caption: "\"><b>".into(),
            height: 100,
            legend: Vec::new(),
            data: json!([{"name": "</script><script>alert(1)"}]),
            layout: json!({}),
        };
        let text = super::chart(&chart).into_string();
        assert_eq!(text.matches("</script>").count(), 1, "{text}");
        assert!(!text.contains("<b>"), "{text}");
    }
}
