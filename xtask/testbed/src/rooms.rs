//! Checks that a program's rooms (the folders in its `src`) import only what they may.
//!
//! A room is a folder, or a file beside `lib.rs`. Every path in the source that begins with `crate::` counts, and every
//! one that climbs as high by `super::`, except in comments. `lib.rs` and `main.rs` belong to no room and may use all
//! rooms.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// A room and the rooms that it may import.
pub type Rule<'a> = (&'a str, &'a [&'a str]);

/// The violations in the folder `src`, one sentence each: an import that the rules don't allow, a room without a rule,
/// a rule without a room, and a permission that no file needs.
pub fn check(src: &Path, rules: &[Rule]) -> Vec<String> {
    let rules: BTreeMap<&str, &[&str]> = rules.iter().copied().collect();
    let mut rooms = BTreeSet::new();
    let mut needed = BTreeSet::new();
    let mut faults = Vec::new();
    for file in sources(src) {
        let Some(room) = room(src, &file) else {
            continue;
        };
        rooms.insert(room.clone());
        let Some(allowed) = rules.get(room.as_str()) else {
            continue;
        };
        for import in imports(&read(&file), depth(src, &file)) {
            let first = import.split("::").next().unwrap_or_default();
            if first == room {
                continue;
            }
            if allowed.contains(&first) {
                needed.insert((room.clone(), first.to_owned()));
            } else {
                let file = file.display();
                faults.push(format!("{file}: `{room}` may not import `crate::{import}`"));
            }
        }
    }
    for room in rooms
        .iter()
        .filter(|room| !rules.contains_key(room.as_str()))
    {
        faults.push(format!("no rule for the room `{room}`"));
    }
    for (room, allowed) in rules {
        if !rooms.contains(room) {
            faults.push(format!("there is no room `{room}`"));
            continue;
        }
        for import in allowed {
            if !needed.contains(&(room.to_owned(), (*import).to_owned())) {
                faults.push(format!("`{room}` may import `{import}` and does not"));
            }
        }
    }
    faults
}

/// The cycles in the rules: each set holds rooms that import one another. The goal is to have none.
pub fn circles<'a>(rules: &[Rule<'a>]) -> BTreeSet<BTreeSet<&'a str>> {
    let reached: BTreeMap<&str, BTreeSet<&str>> = rules
        .iter()
        .map(|(room, _)| (*room, reach(room, rules)))
        .collect();
    let reaches = |from: &str, to: &str| reached.get(from).is_some_and(|rooms| rooms.contains(to));
    let rooms = || rules.iter().map(|(room, _)| *room);
    rooms()
        .filter(|room| reaches(room, room))
        .map(|room| {
            rooms()
                .filter(|other| reaches(room, other) && reaches(other, room))
                .collect()
        })
        .collect()
}

fn reach<'a>(from: &str, rules: &[Rule<'a>]) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut next = vec![from];
    while let Some(room) = next.pop() {
        let imports = rules.iter().filter(|(name, _)| *name == room);
        for import in imports.flat_map(|(_, imports)| *imports) {
            if reached.insert(*import) {
                next.push(import);
            }
        }
    }
    reached
}

/// All Rust files of a folder, sorted.
pub(crate) fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

pub(crate) fn read(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_else(|error| panic!("{file:?}: {error}"))
}

/// The room that a file belongs to.
fn room(src: &Path, file: &Path) -> Option<String> {
    let first = file.strip_prefix(src).ok()?.iter().next()?.to_str()?;
    let name = first.strip_suffix(".rs").unwrap_or(first);
    (first != "lib.rs" && first != "main.rs").then(|| name.to_owned())
}

/// How many modules above a file's contents the root is.
fn depth(src: &Path, file: &Path) -> usize {
    let inside = file
        .strip_prefix(src)
        .expect("the file was found in this folder");
    // `mod.rs` is the module of its folder.
    inside.iter().count() - usize::from(file.ends_with("mod.rs"))
}

/// The code without comments, and with `crate::` in the place of every `super::super::…` that reaches the root. At the
/// top of the file, `depth` times `super::` does.
fn code(text: &str, depth: usize) -> String {
    // The indentations of the modules that are open inside the file. rustfmt puts each one's last brace at its own.
    let mut modules: Vec<usize> = Vec::new();
    let mut code = String::new();
    for line in text.lines() {
        let words = line.trim_start();
        if words.starts_with("//") {
            continue;
        }
        let indent = line.len() - words.len();
        if words == "}" && modules.last() == Some(&indent) {
            modules.pop();
        }
        let climb = "super::".repeat(depth + modules.len());
        code.push_str(&line.replace(&climb, "crate::"));
        code.push('\n');
        if words.ends_with('{') && words.split_whitespace().rev().nth(2) == Some("mod") {
            modules.push(indent);
        }
    }
    code
}

/// The paths after `crate::`, up to the next brace; each name in `crate::{…}` separately.
fn imports(text: &str, depth: usize) -> Vec<String> {
    let code = code(text, depth);
    let begin = "crate::";
    let is_part = |char: char| char.is_alphanumeric() || char == '_';
    let mut found = Vec::new();
    for (at, _) in code.match_indices(begin) {
        // `$crate` and `my_crate` are different crates.
        if code[..at].ends_with(|char| is_part(char) || char == '$') {
            continue;
        }
        let rest = &code[at + begin.len()..];
        match rest.strip_prefix('{') {
            Some(group) => found.extend(names(group)),
            None => found.push(path(rest)),
        }
    }
    found
}

/// The paths in a group of imports; `group` starts after the opening brace.
fn names(group: &str) -> Vec<String> {
    let mut depth = 0_usize;
    let mut found = Vec::new();
    let mut begins = true;
    for (at, char) in group.char_indices() {
        match char {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => begins = true,
            _ if begins && !char.is_whitespace() => {
                found.push(path(&group[at..]));
                begins = false;
            }
            _ => {}
        }
    }
    found
}

fn path(text: &str) -> String {
    let ends = |char: char| !(char.is_alphanumeric() || char == '_' || char == ':');
    let end = text.find(ends).unwrap_or(text.len());
    text[..end].trim_end_matches(':').to_owned()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A program with these files and their contents.
    pub(crate) fn program(files: &[(&str, &str)]) -> tempfile::TempDir {
        let src = tempfile::tempdir().unwrap();
        for (file, text) in files {
            let file = src.path().join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
        src
    }

    #[test]
    fn imports_are_found_wherever_they_are_written() {
        let text = "//! See [`crate::no`].\nuse crate::a::{B, c};\nuse crate::{\n    d::{self, E},\n    f,\n};\n\
                    fn g() { crate::h::run(); $crate::no!(); my_crate::no(); }\n    // crate::no\n";
        assert_eq!(imports(text, 1), ["a", "d", "f", "h::run"]);
    }

    #[test]
    fn a_path_that_climbs_to_the_root_is_found() {
        let text = "use super::a::B;\nuse super::super::c::D;\nmod tests {\n    use super::super::e;\n    \
                    use super::super::super::{f, g::H};\n}\npub(super) fn i() -> super::super::j::K {}\n\
                    use my_super::super::no;\n";
        assert_eq!(imports(text, 2), ["c::D", "f", "g::H", "j::K"]);
    }

    #[test]
    fn a_room_is_one_below_the_root_and_its_files_are_two() {
        let src = Path::new("src");
        for (file, modules) in [("shop.rs", 1), ("shop/mod.rs", 1), ("shop/till.rs", 2)] {
            assert_eq!(depth(src, &src.join(file)), modules, "{file}");
        }
    }

    #[test]
    fn an_import_that_is_not_allowed_is_named_with_its_file() {
        let src = program(&[
            ("lib.rs", "use crate::shop::Shop;"),
            ("shop/mod.rs", "use crate::shop::till::Till;"),
            ("shop/till.rs", "use crate::{admin::Admin, config};"),
            ("config.rs", ""),
            ("admin/mod.rs", "use crate::shop::Shop;"),
        ]);
        let rules: [Rule; 3] = [("config", &[]), ("shop", &["config"]), ("admin", &["shop"])];
        let till = src.path().join("shop/till.rs");
        let fault = format!(
            "{}: `shop` may not import `crate::admin::Admin`",
            till.display()
        );
        assert_eq!(check(src.path(), &rules), [fault]);
    }

    #[test]
    fn rules_and_rooms_match() {
        let src = program(&[("shop/mod.rs", ""), ("config.rs", "")]);
        let rules: [Rule; 2] = [("cellar", &[]), ("shop", &["config"])];
        let faults = [
            "no rule for the room `config`",
            "there is no room `cellar`",
            "`shop` may import `config` and does not",
        ];
        assert_eq!(check(src.path(), &rules), faults);
    }

    #[test]
    fn a_circle_is_told_by_its_rooms() {
        let rules: [Rule; 4] = [("a", &["b", "d"]), ("b", &["c"]), ("c", &["a"]), ("d", &[])];
        let circle = BTreeSet::from(["a", "b", "c"]);
        assert_eq!(circles(&rules), BTreeSet::from([circle]));
        assert!(circles(&[("a", &["b"]), ("b", &[])]).is_empty());
    }
}
