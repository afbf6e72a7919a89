//! A chart's legend, as HTML next to the picture, so that it wraps on small screens.

use maud::{Markup, html};

use crate::lab::report::document::Mark;

pub(super) fn legend(groups: &[(&'static str, Vec<Mark>)]) -> Markup {
    html! {
        div.legend {
            @for (title, marks) in groups {
                ul {
                    @if !title.is_empty() { li.group { (title) } }
                    @for mark in marks { li { (swatch(mark)) (mark.label) } }
                }
            }
        }
    }
}

fn swatch(mark: &Mark) -> Markup {
    let colour = format!("color:var(--c{})", mark.colour);
    html! {
        svg viewBox="0 0 28 12" width="28" height="12" aria-hidden="true" style=(colour) {
            @if let Some(line) = mark.line {
                line x1="0" y1="6" x2="28" y2="6" stroke="currentColor" stroke-width="2.5" stroke-dasharray=(dashes(line)) {}
            }
            @if let Some(symbol) = mark.symbol {
                @let is_open = symbol.ends_with("-open") || symbol.starts_with("bar-");
                @let fill = if is_open { "none" } else { "currentColor" };
                path d=(path(symbol)) fill=(fill) stroke="currentColor" stroke-width="1.5" {}
            }
        }
    }
}

/// The SVG dash array for a dash of plotly.
fn dashes(name: &str) -> &str {
    match name {
        "dash" => "7 4",
        "dot" => "2 3",
        "dashdot" => "7 3 2 3",
        "longdash" => "12 4",
        "longdashdot" => "12 3 2 3",
        "4px,2px" => "4 2",
        "8px,2px,2px,2px" => "8 2 2 2",
        "12px,2px,2px,2px" => "12 2 2 2",
        _ => "none",
    }
}

/// The SVG path for a symbol of plotly, or for a bar with one of its patterns.
fn path(name: &str) -> &'static str {
    match name {
        "diamond-open" => "M14 1 19 6 14 11 9 6Z",
        "square" => "M11 3H17V9H11Z",
        "bar" => "M6 1H22V11H6Z",
        "bar-hatched" => "M6 1H22V11H6ZM6 8 13 1M9 11 19 1M15 11 22 4",
        "bar-crossed" => "M6 1H22V11H6ZM6 11 16 1M12 11 22 1M6 1 16 11M12 1 22 11",
        "bar-striped" => "M6 1H22V11H6ZM6 4.3H22M6 7.6H22",
        _ => "M14 1a5 5 0 1 1 0 10a5 5 0 1 1 0-10Z",
    }
}
