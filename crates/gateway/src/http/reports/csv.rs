//! CSV as RFC 4180 has it, safe to open in a spreadsheet: what a caller or a provider named cannot become a formula.
//! Tests are below.

/// Rows of cells.
#[derive(Default)]
pub(in crate::http) struct Csv {
    text: String,
}

impl Csv {
    /// A file that begins with the names of its columns.
    pub(in crate::http) fn with_head(names: &[&str]) -> Self {
        let mut csv = Self::default();
        csv.row(names.iter().copied());
        csv
    }

    /// Adds a row.
    pub(in crate::http) fn row<C: AsRef<str>>(&mut self, cells: impl IntoIterator<Item = C>) {
        for (place, cell) in cells.into_iter().enumerate() {
            if place > 0 {
                self.text.push(',');
            }
            self.cell(cell.as_ref());
        }
        self.text.push_str("\r\n");
    }

    pub(in crate::http) fn finish(self) -> String {
        self.text
    }

    fn cell(&mut self, cell: &str) {
        // Spreadsheets take these for the beginning of a formula, some also behind white space.
        let begins = cell.trim_start_matches([' ', '\u{feff}']).starts_with(['=', '+', '-', '@', '\t', '\r', '\n']);
        let escapes = begins && !is_number(cell);
        if !escapes && !cell.contains(['"', ',', '\r', '\n', ';']) {
            self.text.push_str(cell);
            return;
        }
        self.text.push('"');
        if escapes {
            self.text.push('\'');
        }
        self.text.push_str(&cell.replace('"', "\"\""));
        self.text.push('"');
    }
}

/// A number is no formula, whatever its sign.
fn is_number(cell: &str) -> bool {
    let digits = cell.strip_prefix('-').unwrap_or(cell);
    digits.starts_with(|first: char| first.is_ascii_digit())
        && digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_and_no_cell_is_a_formula() {
        let mut csv = Csv::with_head(&["a", "b"]);
        csv.row(["plain", "with \"quotes\", commas\r\nand lines"]);
        csv.row(["=HYPERLINK(\"x\")", "+1+1"]);
        csv.row(["-2+3", "@SUM(A1)"]);
        csv.row(["-12.5", "0.000000001"]);
        csv.row(["  =1", "\tx"]);
        csv.row(["-", ""]);
        let wanted = "a,b\r\nplain,\"with \"\"quotes\"\", commas\r\nand lines\"\r\n\
                      \"'=HYPERLINK(\"\"x\"\")\",\"'+1+1\"\r\n\"'-2+3\",\"'@SUM(A1)\"\r\n-12.5,0.000000001\r\n\
                      \"'  =1\",\"'\tx\"\r\n\"'-\",\r\n";
        assert_eq!(csv.finish(), wanted);
    }
}
