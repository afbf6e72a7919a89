//! The only text table: in Markdown, or in columns for a terminal.

/// A head, and rows with the same number of cells.
pub(crate) struct TextTable {
    head: Vec<String>,
    rows: Vec<Vec<String>>,
    /// The Markdown rule under every head but the first.
    rule: &'static str,
}

/// A column in a terminal.
#[derive(Clone, Copy)]
pub(crate) enum Column {
    /// Left-aligned, with this many characters
    Left(usize),
    /// Right-aligned, with this many characters
    Right(usize),
}

impl TextTable {
    pub(crate) fn new<T: Into<String>>(head: impl IntoIterator<Item = T>) -> Self {
        Self {
            head: head.into_iter().map(Into::into).collect(),
            rows: Vec::new(),
            rule: "---",
        }
    }

    /// Right-aligns all columns but the first in Markdown.
    pub(crate) fn of_figures(mut self) -> Self {
        self.rule = "---:";
        self
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// The table in Markdown: a line for the head, for the rule and for each row. Nothing is escaped.
    pub(crate) fn markdown(&self) -> String {
        let rules = (0..self.head.len()).map(|index| if index == 0 { "---" } else { self.rule });
        let rules: String = rules.map(|rule| format!("{rule}|")).collect();
        let mut text = format!("{}|{rules}\n", markdown_line(&self.head));
        for row in &self.rows {
            text += &markdown_line(row);
        }
        text
    }

    /// The table in columns: a line for the head and for each row. A text longer than its column pushes the others to
    /// the right.
    pub(crate) fn in_columns(&self, columns: &[Column]) -> String {
        let lines = std::iter::once(&self.head).chain(&self.rows);
        let line = |cells: &Vec<String>| {
            let cells = cells
                .iter()
                .zip(columns)
                .map(|(cell, column)| match column {
                    Column::Left(width) => format!("{cell:<width$}"),
                    Column::Right(width) => format!("{cell:>width$}"),
                });
            cells.collect::<Vec<_>>().join(" ") + "\n"
        };
        lines.map(line).collect()
    }
}

fn markdown_line(cells: &[String]) -> String {
    let cells = cells.iter().map(|cell| match cell.as_str() {
        "" => " |".to_owned(),
        cell => format!(" {cell} |"),
    });
    format!("|{}\n", cells.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> TextTable {
        let mut table = TextTable::new(["", "p50"]);
        table.row(["reads".to_owned(), "1.5".to_owned()]);
        table.row(["orders".to_owned(), String::new()]);
        table
    }

    #[test]
    fn markdown_has_a_rule_under_its_head() {
        let expected = "| | p50 |\n|---|---|\n| reads | 1.5 |\n| orders | |\n";
        assert_eq!(table().markdown(), expected);
        let of_figures = table().of_figures().markdown();
        assert!(of_figures.contains("\n|---|---:|\n"), "{of_figures}");
    }

    #[test]
    fn columns_are_filled_up_with_blanks() {
        let text = table().in_columns(&[Column::Left(7), Column::Right(4)]);
        assert_eq!(text, "         p50\nreads    1.5\norders      \n");
    }
}
