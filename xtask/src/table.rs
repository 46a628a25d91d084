//! A table as text: aligned columns for a terminal, or markdown.

/// Rows of cells under a heading; the first column is text, the others are set flush right.
pub(crate) struct Table {
    heading: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(heading: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Table { heading: heading.into_iter().map(Into::into).collect(), rows: Vec::new() }
    }

    /// Adds a row; cells that are missing at its end stay blank.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = impl Into<String>>) {
        let mut cells: Vec<String> = cells.into_iter().map(Into::into).collect();
        assert!(cells.len() <= self.heading.len(), "a row has more cells than the table has columns");
        cells.resize(self.heading.len(), String::new());
        self.rows.push(cells);
    }

    /// For a terminal: two spaces between columns, a rule below the heading.
    pub(crate) fn text(&self) -> String {
        let widths = self.widths();
        let line = |cells: &[String]| {
            let cells = cells.iter().zip(&widths).enumerate().map(|(column, (cell, width))| pad(cell, *width, column));
            format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
        };
        let rule = "-".repeat(widths.iter().sum::<usize>() + 2 * (widths.len() - 1));
        let rows: String = self.rows.iter().map(|row| line(row)).collect();
        format!("{}{rule}\n{rows}", line(&self.heading))
    }

    /// For a document.
    pub(crate) fn markdown(&self) -> String {
        let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
        let rule: Vec<&str> = (0..self.heading.len()).map(|column| if column == 0 { "---" } else { "--:" }).collect();
        let rows: String = self.rows.iter().map(|row| line(row)).collect();
        format!("{}|{}|\n{rows}", line(&self.heading), rule.join("|"))
    }

    fn widths(&self) -> Vec<usize> {
        let width = |column: usize| {
            let cells = self.rows.iter().chain([&self.heading]).map(|row| row[column].chars().count());
            cells.max().unwrap_or(0)
        };
        (0..self.heading.len()).map(width).collect()
    }
}

fn pad(cell: &str, width: usize, column: usize) -> String {
    if column == 0 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Table {
        let mut table = Table::new(["library", "1", "16"]);
        table.row(["local", "8/0/1", "8/0/1"]);
        table.row(["µ", "1/0/0"]);
        table
    }

    #[test]
    fn text_is_aligned_and_short_rows_are_blank_at_their_end() {
        let want = "library      1     16\n\
                    ---------------------\n\
                    local    8/0/1  8/0/1\n\
                    µ        1/0/0\n";
        assert_eq!(example().text(), want);
    }

    #[test]
    fn markdown_has_a_rule_that_sets_numbers_flush_right() {
        let want = "| library | 1 | 16 |\n|---|--:|--:|\n| local | 8/0/1 | 8/0/1 |\n| µ | 1/0/0 |  |\n";
        assert_eq!(example().markdown(), want);
    }

    #[test]
    #[should_panic(expected = "more cells")]
    fn a_row_too_long_is_refused() {
        Table::new(["one"]).row(["1", "2"]);
    }
}
