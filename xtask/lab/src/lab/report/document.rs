//! The report as blocks, which are then written as HTML and as Markdown.

use serde_json::Value;

/// A whole report.
#[derive(Debug, Default)]
pub(crate) struct Document {
    pub(crate) title: String,
    /// The line under the title.
    pub(crate) subtitle: String,
    pub(crate) sections: Vec<Section>,
}

/// A part of the report that the table of contents lists.
#[derive(Debug, Default)]
pub(crate) struct Section {
    /// The target of links; unique.
    pub(crate) id: String,
    pub(crate) title: String,
    pub(crate) blocks: Vec<Block>,
}

/// A piece of a section. All texts are plain; the HTML and Markdown writers escape them.
#[derive(Debug)]
pub(crate) enum Block {
    Heading(String),
    Text(String),
    /// A text in small type: how something was measured, or what it doesn't show.
    Note(String),
    List(Vec<Item>),
    Tiles(Vec<Tile>),
    Table(ReportTable),
    /// A chart; only HTML shows it, because Markdown has no pictures of its own.
    Chart(Chart),
}

/// A line of a list; `lead` names its subject.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) lead: String,
    pub(crate) text: String,
}

/// A figure that the report shows first.
#[derive(Debug)]
pub(crate) struct Tile {
    pub(crate) label: String,
    pub(crate) value: String,
    pub(crate) note: String,
}

/// A table whose first column names the row.
#[derive(Debug, Default)]
pub(crate) struct ReportTable {
    pub(crate) caption: String,
    pub(crate) head: Vec<String>,
    pub(crate) rows: Vec<Vec<Cell>>,
}

/// A cell of a table: a value, and comparisons under it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Cell {
    pub(crate) text: String,
    pub(crate) notes: Vec<Note>,
}

/// A comparison under a value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Note {
    pub(crate) text: String,
    pub(crate) tone: Tone,
}

/// Whether a change is an improvement. The text says so too, so nobody needs to see the colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    Better,
    Worse,
    Even,
}

/// A chart for plotly.js: its traces and its layout.
#[derive(Debug)]
pub(crate) struct Chart {
    /// The element's id; unique.
    pub(crate) id: String,
    /// A description of the chart, for readers who can't see it.
    pub(crate) caption: String,
    /// The height in CSS pixels.
    pub(crate) height: u32,
    /// The groups of the legend with their entries. The legend is outside of the picture, so that it fits on a phone
    /// too.
    pub(crate) legend: Vec<(&'static str, Vec<Mark>)>,
    pub(crate) data: Value,
    pub(crate) layout: Value,
}

/// An entry of a legend: a line of the chart, or a kind of points.
#[derive(Debug)]
pub(crate) struct Mark {
    /// The number of a colour in the style.
    pub(crate) colour: usize,
    /// The dash under plotly's name.
    pub(crate) line: Option<&'static str>,
    /// The symbol under plotly's name.
    pub(crate) symbol: Option<&'static str>,
    pub(crate) label: String,
}

impl Cell {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            notes: Vec::new(),
        }
    }

    pub(crate) fn with(mut self, note: Option<Note>) -> Self {
        self.notes.extend(note);
        self
    }
}

impl ReportTable {
    pub(crate) fn new(caption: &str, head: &[&str]) -> Self {
        Self {
            caption: caption.into(),
            head: head.iter().map(|text| (*text).into()).collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row of plain texts.
    pub(crate) fn row(&mut self, texts: impl IntoIterator<Item = String>) {
        self.rows.push(texts.into_iter().map(Cell::new).collect());
    }
}

impl Section {
    pub(crate) fn new(id: &str, title: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            title: title.into(),
            blocks: Vec::new(),
        }
    }

    pub(crate) fn text(&mut self, text: impl Into<String>) {
        self.blocks.push(Block::Text(text.into()));
    }

    pub(crate) fn note(&mut self, text: impl Into<String>) {
        self.blocks.push(Block::Note(text.into()));
    }

    pub(crate) fn heading(&mut self, text: impl Into<String>) {
        self.blocks.push(Block::Heading(text.into()));
    }

    pub(crate) fn table(&mut self, table: ReportTable) {
        self.blocks.push(Block::Table(table));
    }
}
