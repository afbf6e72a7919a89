//! What a program prints for the person who started it: results on stdout, and one line on stderr if it fails.
//!
//! Errors are ignored: the reader may have closed the pipe, which is no reason to stop halfway.

use std::fmt::Display;
use std::io::Write;
use std::process::ExitCode;

use clap::{Arg, Parser};

/// Prints a line of a result.
pub fn say(line: &str) {
    _ = writeln!(std::io::stdout(), "{line}");
}

/// Prints the result of a program that succeeds.
#[must_use]
pub fn succeed(text: &str) -> ExitCode {
    say(text);
    ExitCode::SUCCESS
}

/// Prints the reason why `program` fails as one line on stderr, and returns the exit code.
#[must_use]
pub fn fail(program: &str, reason: &dyn Display, code: u8) -> ExitCode {
    let line = one_line(&reason.to_string());
    _ = writeln!(std::io::stderr(), "{program}: {line}");
    ExitCode::from(code)
}

/// Reads the command line of `program`.
///
/// # Errors
/// The exit code, if `--help` or `--version` was printed, or a mistake was reported in one line.
pub fn arguments<C: Parser>(program: &str) -> Result<C, ExitCode> {
    C::try_parse().map_err(|answer| {
        let text = answer.to_string();
        if !answer.use_stderr() {
            return succeed(text.trim_end());
        }
        let line = text.lines().next().unwrap_or_default();
        let line = line.strip_prefix("error: ").unwrap_or(line);
        fail(program, &format!("{line}; see `{program} --help`"), 2)
    })
}

/// The flag, which the environment variable of its name sets too: with the `prefix` `STORE_HOST_`, `--log-format` is also
/// `STORE_HOST_LOG_FORMAT`.
#[must_use]
pub fn environment_twin(prefix: &str, flag: Arg) -> Arg {
    let Some(long) = flag.get_long() else {
        return flag;
    };
    let name = long.replace('-', "_").to_uppercase();
    flag.env(format!("{prefix}{name}"))
}

/// The text with each run of spaces and line breaks replaced by one space.
#[must_use]
pub fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The rows as lines, with columns as wide as their widest cell and two spaces between them.
#[must_use]
pub fn table<const N: usize>(rows: &[[String; N]]) -> Vec<String> {
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(widths);
        let padded = cells.map(|(cell, width)| format!("{cell:width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [["A", "B", "C"], ["é", "long", ""], ["three", "b", "c"]];
        let rows = rows.map(|row| row.map(str::to_owned));
        assert_eq!(
            table(&rows),
            ["A      B     C", "é      long", "three  b     c"]
        );
    }

    #[test]
    fn a_reason_is_one_line() {
        assert_eq!(one_line(" a\n  b\tc \r\n"), "a b c");
    }
}
