//! Checks that no files of a program import one another in a circle.
//!
//! A file imports each file of which it names something, by a path that begins with `crate`, `super`, `self` or a
//! module. A name that a module passes on is imported from the file that has it, so a `mod.rs` that only declares its
//! children and re-exports what they have imports none of them. Comments and tests don't count. Methods need no import,
//! so they are not followed.

mod source;

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;

use self::source::Source;
use crate::rooms::{read, sources};

/// The names of the modules that lead from the root to the one of a file.
type Module = Vec<String>;

/// The files that each file imports, with a path by which it does.
type Imports = BTreeMap<Module, BTreeMap<Module, String>>;

/// How often a name may be passed on. Only code that does not compile passes one on for ever.
const MOST_HOPS: usize = 16;

/// The circles in the folder `src`, a line each: the shortest circle of each file, unless an earlier line has the file.
pub fn circles(src: &Path) -> Vec<String> {
    let program = Program::read(src);
    let modules = program.0.keys();
    let imports: Imports = modules
        .map(|module| (module.clone(), program.imported(module)))
        .collect();
    let mut told: BTreeSet<&Module> = BTreeSet::new();
    let mut circles = Vec::new();
    for module in imports.keys() {
        if told.contains(module) {
            continue;
        }
        let Some(way) = way_back(module, &imports) else {
            continue;
        };
        let mut circle = program.file(module).to_owned();
        for step in way.windows(2) {
            let (file, path) = (program.file(step[1]), &imports[step[0]][step[1]]);
            circle.push_str(&format!(" -> {file} (`{path}`)"));
        }
        circles.push(circle);
        told.extend(way);
    }
    circles
}

/// The shortest way along imports from a file back to itself.
fn way_back<'a>(start: &'a Module, imports: &'a Imports) -> Option<Vec<&'a Module>> {
    let mut before: BTreeMap<&Module, &Module> = BTreeMap::new();
    let mut next = VecDeque::from([start]);
    while let Some(module) = next.pop_front() {
        for target in imports[module].keys() {
            if let Entry::Vacant(entry) = before.entry(target) {
                entry.insert(module);
                next.push_back(target);
            }
        }
    }
    let mut at = *before.get(start)?;
    let mut way = vec![start];
    while at != start {
        way.push(at);
        at = before[at];
    }
    way.push(start);
    way.reverse();
    Some(way)
}

/// The files of a program, by their modules.
struct Program(BTreeMap<Module, Source>);

impl Program {
    fn read(src: &Path) -> Self {
        let mut all: BTreeMap<Module, Source> = BTreeMap::new();
        for path in sources(src) {
            let file = path.strip_prefix(src).expect("it was found in this folder");
            let file = file.to_str().expect("files have plain names");
            let name = file.strip_suffix(".rs").unwrap_or(file);
            if name == "main" {
                continue;
            }
            let mut module: Module = name.split('/').map(str::to_owned).collect();
            if name == "lib" || name.ends_with("/mod") {
                module.pop();
            }
            all.insert(module, Source::new(file, &read(&path)));
        }
        // A file that only tests declare belongs to them.
        let is_declared = |module: &Module| {
            (0..module.len()).all(|depth| {
                let above = all.get(&module[..depth]);
                above.is_some_and(|above| above.declares(&module[depth]))
            })
        };
        let modules = all.keys().cloned();
        let declared: BTreeSet<Module> = modules.filter(is_declared).collect();
        all.retain(|module, _| declared.contains(module));
        Self(all)
    }

    fn file(&self, module: &Module) -> &str {
        &self.0[module].file
    }

    /// The files that a file imports, each with a path by which it does.
    fn imported(&self, module: &Module) -> BTreeMap<Module, String> {
        let source = &self.0[module];
        let mut modules = BTreeMap::new();
        let mut imported = BTreeMap::new();
        for entry in &source.uses {
            let Some((target, is_whole)) = self.find(module, &entry.path, MOST_HOPS) else {
                continue;
            };
            let is_childs = target.starts_with(module);
            let is_not_used = entry.is_passed_on && is_childs && !source.names(&entry.name);
            if is_whole {
                // What counts is what the file names of that module.
                modules.insert(entry.name.as_str(), entry.path.as_slice());
            } else if !is_not_used {
                imported.insert(target, entry.path.join("::"));
            }
        }
        for path in source.paths() {
            let full = match modules.get(path[0].as_str()) {
                Some(module) => [*module, &path[1..]].concat(),
                None => path.clone(),
            };
            if let Some((target, _)) = self.find(module, &full, MOST_HOPS) {
                imported.entry(target).or_insert_with(|| path.join("::"));
            }
        }
        imported.remove(module);
        imported
    }

    /// The file that has what a path in the file of `from` names, and whether the path names that file's module as a
    /// whole. `None` if it leads into another crate.
    fn find(&self, from: &Module, path: &[String], hops: usize) -> Option<(Module, bool)> {
        let climbs = path.iter().take_while(|part| *part == "super").count();
        let (mut at, mut left) = match path.first()?.as_str() {
            "crate" => (Module::new(), &path[1..]),
            "self" => (from.clone(), &path[1..]),
            "super" => {
                let depth = from.len().checked_sub(climbs)?;
                (from[..depth].to_vec(), &path[climbs..])
            }
            _ if self.child(from, path).is_some() => (from.clone(), path),
            _ => return None,
        };
        while let Some(child) = self.child(&at, left) {
            (at, left) = (child, &left[1..]);
        }
        let Some(name) = left.first().filter(|name| *name != "self") else {
            return Some((at, true));
        };
        let source = self.0.get(&at)?;
        let passed_on = source.uses.iter().find(|entry| entry.name == *name);
        match passed_on.filter(|_| hops > 0) {
            Some(entry) => {
                let path = [entry.path.as_slice(), &left[1..]].concat();
                self.find(&at, &path, hops - 1)
            }
            None => Some((at, false)),
        }
    }

    /// The child of a module that a path from there begins with.
    fn child(&self, module: &Module, path: &[String]) -> Option<Module> {
        let child = [module.as_slice(), path.get(..1)?].concat();
        self.0.contains_key(&child).then_some(child)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rooms::tests::program;

    fn found(files: &[(&str, &str)]) -> Vec<String> {
        circles(program(files).path())
    }

    #[test]
    fn a_circle_is_told_with_its_files_and_the_paths_between_them() {
        let lib = ("lib.rs", "mod till;\nmod shop;\nmod goods;\n");
        let till = ("till.rs", "use crate::shop::{self, Shop};\n");
        let shop = ("shop.rs", "fn f() -> super::goods::Price {}\n");
        let goods = "use crate::till;\npub struct Price(till::Drawer);\n";
        let circle = "goods.rs -> till.rs (`till::Drawer`) -> shop.rs (`crate::shop::Shop`) -> \
                      goods.rs (`super::goods::Price`)";
        assert_eq!(found(&[lib, till, shop, ("goods.rs", goods)]), [circle]);
        let goods = "pub struct Price;\n";
        assert_eq!(found(&[lib, till, shop, ("goods.rs", goods)]), [""; 0]);
    }

    #[test]
    fn a_module_may_pass_on_what_its_children_have_and_must_not_use_it() {
        let lib = ("lib.rs", "mod shop;\n");
        let goods = ("shop/goods.rs", "pub struct Goods;\n");
        let till = "use super::{Goods, Map};\npub struct Till;\n";
        let shop = "mod goods;\nmod till;\nuse std::collections::BTreeMap as Map;\n\
                    pub(crate) use self::goods::Goods;\npub(crate) use till::Till;\n";
        let told = |till: &str, shop: &str| {
            found(&[lib, goods, ("shop/till.rs", till), ("shop/mod.rs", shop)])
        };
        assert_eq!(told(till, shop), [""; 0]);
        let shop = format!("{shop}pub(super) const NONE: Option<Goods> = None;\n");
        assert_eq!(told(till, &shop), [""; 0]);
        let shop = format!("{shop}pub(super) fn till(_: Till) {{}}\n");
        assert_eq!(told(till, &shop), [""; 0]);
        let till = "use super::NONE;\npub struct Till;\n";
        let circle = "shop/mod.rs -> shop/till.rs (`till::Till`) -> shop/mod.rs (`super::NONE`)";
        assert_eq!(told(till, &shop), [circle]);
    }

    #[test]
    fn comments_tests_and_visibilities_import_nothing() {
        let lib = ("lib.rs", "mod shop;\nmod till;\n#[cfg(test)]\nmod rig;\n");
        let till = ("till.rs", "use crate::shop::Shop;\npub struct Till;\n");
        let rig = ("rig.rs", "use crate::till::Till;\n");
        let shop = "// use crate::till::Till;\npub(in crate::till) struct Shop;\n\
                    #[cfg(test)]\nuse crate::rig;\n\
                    #[cfg(test)]\nmod tests {\n    use crate::till::Till;\n}\n";
        assert_eq!(found(&[lib, till, rig, ("shop.rs", shop)]), [""; 0]);
        let shop = format!("{shop}fn f() {{ crate::till::Till; }}\n");
        let told = found(&[lib, till, rig, ("shop.rs", shop.as_str())]);
        assert_eq!(told.len(), 1, "{told:?}");
    }
}
