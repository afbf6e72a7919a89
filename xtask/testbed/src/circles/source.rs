//! What a file of Rust imports, as rustfmt writes it.

/// One file.
pub(super) struct Source {
    /// The file's path in `src`.
    pub(super) file: String,
    pub(super) uses: Vec<Use>,
    /// The code without these.
    body: String,
}

/// One name that a `use` brings into a file.
pub(super) struct Use {
    pub(super) path: Vec<String>,
    pub(super) name: String,
    /// Whether other files may import the name from here.
    pub(super) is_passed_on: bool,
}

impl Source {
    pub(super) fn new(file: &str, text: &str) -> Self {
        let code = code(text);
        let (mut uses, mut body) = (Vec::new(), String::new());
        let mut lines = code.lines();
        while let Some(line) = lines.next() {
            let Some((is_passed_on, begin)) = begin_of_use(line.trim_start()) else {
                body.push_str(line);
                body.push('\n');
                continue;
            };
            let mut tree = begin.to_owned();
            while !tree.contains(';') {
                tree.push_str(lines.next().unwrap_or(";").trim_start());
            }
            let tree = tree.split(';').next().unwrap_or_default();
            uses.extend(expand(tree).into_iter().map(|(path, alias)| {
                let last = path.iter().rfind(|part| *part != "self");
                Use {
                    name: alias.or(last.cloned()).unwrap_or_default(),
                    path,
                    is_passed_on,
                }
            }));
        }
        let file = file.to_owned();
        Self { file, uses, body }
    }

    /// Whether the file declares this child.
    pub(super) fn declares(&self, child: &str) -> bool {
        let name = format!("{child};");
        let end = [name.as_str(), "mod"];
        let mut lines = self.body.lines();
        lines.any(|line| line.split_whitespace().rev().take(2).eq(end))
    }

    /// Whether the code uses this name.
    pub(super) fn names(&self, name: &str) -> bool {
        let mut words = self.body.split(|char: char| !is_part(char));
        words.any(|word| word == name)
    }

    /// The paths in the code that have more than one part.
    pub(super) fn paths(&self) -> impl Iterator<Item = Vec<String>> {
        let paths = self.body.split(|char: char| !is_part(char) && char != ':');
        let paths = paths.map(|path| path.trim_end_matches(':'));
        let paths = paths.filter(|path| path.contains("::"));
        paths.map(|path| path.split("::").map(str::to_owned).collect())
    }
}

/// The code of a file without comments, without what is there for tests, and without the paths of visibilities.
fn code(text: &str) -> String {
    let mut lines = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    let mut code = String::new();
    while let Some(line) = lines.next() {
        if line == "#[cfg(test)]" {
            skip_item(&mut lines);
            continue;
        }
        let scope = line.split_once("(in ");
        match scope.and_then(|(before, scope)| Some((before, scope.split_once(')')?.1))) {
            Some((before, after)) => code.extend([before, "(super)", after]),
            None => code.push_str(line),
        }
        code.push('\n');
    }
    code
}

/// Skips an item that begins in the first column. rustfmt puts its last brace there, and indents all that is in it.
fn skip_item<'a>(lines: &mut impl Iterator<Item = &'a str>) {
    let mut is_open = false;
    for line in lines {
        let is_outside = !line.starts_with([' ', '#']);
        is_open |= is_outside && line.ends_with('{');
        let is_whole = is_outside && !is_open && line.ends_with([';', '}']);
        if is_whole || matches!(line, "}" | "};") {
            return;
        }
    }
}

/// If a line begins a `use`: whether that passes names on, and what follows.
fn begin_of_use(line: &str) -> Option<(bool, &str)> {
    if let Some(rest) = line.strip_prefix("use ") {
        return Some((false, rest));
    }
    let rest = line.strip_prefix("pub")?;
    let rest = match rest.strip_prefix('(') {
        Some(scope) => scope.split_once(')')?.1,
        None => rest,
    };
    Some((true, rest.strip_prefix(" use ")?))
}

/// The paths of a `use`, each with its new name if it gets one.
fn expand(tree: &str) -> Vec<(Vec<String>, Option<String>)> {
    let Some((before, group)) = tree.split_once('{') else {
        let (path, alias) = match tree.split_once(" as ") {
            Some((path, alias)) => (path, Some(alias.trim().to_owned())),
            None => (tree, None),
        };
        return vec![(parts(path), alias)];
    };
    let group = group.trim_end();
    let group = group.strip_suffix('}').unwrap_or(group);
    let mut depth = 0_usize;
    let trees = group.split(|char: char| {
        match char {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        char == ',' && depth == 0
    });
    let trees = trees.filter(|tree| !tree.trim().is_empty());
    let before = parts(before);
    trees
        .flat_map(expand)
        .map(|(path, alias)| ([before.as_slice(), &path].concat(), alias))
        .collect()
}

fn parts(path: &str) -> Vec<String> {
    let parts = path.split("::").map(str::trim);
    let parts = parts.filter(|part| !part.is_empty());
    parts.map(str::to_owned).collect()
}

fn is_part(char: char) -> bool {
    char.is_alphanumeric() || char == '_'
}
