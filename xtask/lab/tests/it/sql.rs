//! Every SQL text of the repository, audits and tests included, is read by MySQL too, which reserves words that MariaDB
//! doesn't.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::repository;

/// What MySQL has reserved since 5.7, up to 9.7, and MariaDB lets pass as a name:
/// <https://dev.mysql.com/doc/refman/9.7/en/keywords.html>.
const RESERVED: [&str; 33] = [
    "cube",
    "cume_dist",
    "dense_rank",
    "empty",
    "except",
    "external",
    "first_value",
    "function",
    "generated",
    "get",
    "grouping",
    "groups",
    "intersect",
    "json_table",
    "lag",
    "last_value",
    "lateral",
    "lead",
    "library",
    "manual",
    "nth_value",
    "ntile",
    "optimizer_costs",
    "parallel",
    "percent_rank",
    "qualify",
    "rank",
    "row_number",
    "sets",
    "stored",
    "system",
    "tablesample",
    "virtual",
];

/// What statements begin with that name a table's columns.
const STATEMENTS: [&str; 7] = [
    "SELECT ", "INSERT ", "UPDATE ", "DELETE ", "CREATE ", "ALTER ", "WITH ",
];

#[test]
fn no_name_in_sql_is_a_word_that_mysql_reserves() {
    let mut files = Vec::new();
    for folder in ["components", "host", "loadtest", "proxy", "xtask"] {
        find_files(&repository().join(folder), &mut files);
    }
    let mut statements = 0;
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let is_migration = file.extension().is_some_and(|name| name == "sql");
        let texts = match is_migration {
            true => vec![text],
            false => literals(&text),
        };
        for text in texts.iter().filter(|text| is_migration || is_sql(text)) {
            statements += 1;
            let found = reserved_name(text);
            assert_eq!(found, None, "{}: {text}", file.display());
        }
    }
    assert!(statements > 50, "{statements} statements were found");
}

#[test]
fn a_reserved_name_is_found() {
    assert_eq!(
        reserved_name("SELECT a AS stored FROM t"),
        Some("stored".into())
    );
    // Keywords are written in capitals here, and names in small letters.
    assert_eq!(
        reserved_name("SELECT ROW_NUMBER() OVER () AS place -- no rank\nFROM t"),
        None
    );
    let literals =
        literals("// \"no\"\nlet a = \"x \\\" y\"; let b = '\"'; let c = r#\"z \"w\"\"#;");
    assert_eq!(literals, ["x \\\" y", "z \"w\""]);
}

fn is_sql(text: &str) -> bool {
    let begins = text.trim_start_matches(['\\', '\n', ' ', '(']);
    STATEMENTS.iter().any(|word| begins.starts_with(word))
}

fn reserved_name(sql: &str) -> Option<String> {
    let code = sql.lines().map(|line| line.split("--").next().unwrap());
    let words: Vec<&str> = code
        .flat_map(|line| line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_'))
        .collect();
    let mut found = words.into_iter().filter(|word| RESERVED.contains(word));
    found.next().map(str::to_owned)
}

/// The string literals of a Rust file, as they are written there.
fn literals(rust: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = rust;
    while let Some(at) = rest.find(['"', '\'', '/']) {
        let from = &rest[at..];
        let raw = rest[..at].trim_end_matches('#');
        let hashes = "#".repeat(at - raw.len());
        rest = if from.starts_with("//") {
            from.split_once('\n').map_or("", |(_, after)| after)
        } else if let Some(inside) = from.strip_prefix('"') {
            let end = match raw.ends_with('r') {
                true => inside.find(&format!("\"{hashes}")),
                false => end_of_text(inside),
            };
            let end = end.unwrap_or(inside.len());
            found.push(inside[..end].to_owned());
            inside.get(end + 1..).unwrap_or_default()
        } else {
            // A quote in a character; other characters and lifetimes don't matter.
            let quote = ["'\"'", "'\\\"'"].into_iter().find(|c| from.starts_with(c));
            &from[quote.map_or(1, str::len)..]
        };
    }
    found
}

/// Where a literal with escapes ends.
fn end_of_text(inside: &str) -> Option<usize> {
    let mut escaped = false;
    inside.bytes().position(|byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    })
}

fn find_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let ours = path
            .extension()
            .is_some_and(|name| name == "rs" || name == "sql");
        // What lists the words is no statement.
        if path.is_dir() && !path.ends_with("target") {
            find_files(&path, found);
        } else if ours && !path.ends_with("tests/it/sql.rs") {
            found.push(path);
        }
    }
}
