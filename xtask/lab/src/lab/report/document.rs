//! The report before it has a form: blocks that become HTML and Markdown alike.

use serde_json::Value;

/// A whole report.
#[derive(Debug, Default)]
pub(crate) struct Document {
    pub(crate) title: String,
    /// Under the title.
    pub(crate) subtitle: String,
    pub(crate) sections: Vec<Section>,
}

/// A part of it that the table of contents names.
#[derive(Debug, Default)]
pub(crate) struct Section {
    /// For links; unique.
    pub(crate) id: String,
    pub(crate) title: String,
    pub(crate) blocks: Vec<Block>,
}

/// A piece of a section. All texts are plain: each form escapes them.
#[derive(Debug)]
pub(crate) enum Block {
    Heading(String),
    Text(String),
    /// Smaller: how something was measured, or what it doesn't show.
    Note(String),
    List(Vec<Item>),
    Cards(Vec<Card>),
    Table(ReportTable),
    /// Only on the page: Markdown has no pictures of its own.
    Chart(Chart),
}

/// A line of a list, with what it is about before it.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) lead: String,
    pub(crate) text: String,
}

/// A figure to be seen first.
#[derive(Debug)]
pub(crate) struct Card {
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

/// One cell: a value, and what it is compared with.
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

/// Whether a change is for the better. The text says it too: nobody needs the colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    Better,
    Worse,
    Even,
}

/// A figure for the charting library: its traces and its layout.
#[derive(Debug)]
pub(crate) struct Chart {
    /// Unique.
    pub(crate) id: String,
    /// What the picture shows, for those who don't see it.
    pub(crate) caption: String,
    /// In CSS pixels.
    pub(crate) height: u32,
    /// Groups and their entries; outside of the picture, where there is room on a phone too.
    pub(crate) legend: Vec<(&'static str, Vec<Mark>)>,
    pub(crate) data: Value,
    pub(crate) layout: Value,
}

/// A line of a chart, or a kind of points, as the legend shows it.
#[derive(Debug)]
pub(crate) struct Mark {
    /// Which of the style's colours.
    pub(crate) colour: usize,
    /// As plotly names dashes.
    pub(crate) line: Option<&'static str>,
    /// As plotly names symbols.
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
