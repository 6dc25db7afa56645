//! A house rule: a name of a type has one meaning in the workspace, core and glue.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let of = |path: PathBuf| match path.is_dir() {
        true => sources(&path),
        false => vec![path],
    };
    let files = entries.flat_map(of);
    files
        .filter(|path| path.extension().is_some_and(|kind| kind == "rs"))
        .collect()
}

/// The name of the type that a line defines.
fn defined(line: &str) -> Option<&str> {
    let mut words = line.split_whitespace().skip_while(|word| word.starts_with("pub"));
    let is_type = |word| matches!(word, "struct" | "enum" | "trait" | "union");
    let name = words.next().filter(|word| is_type(word)).and(words.next())?;
    name.split(|c: char| !c.is_alphanumeric()).next()
}

#[test]
fn the_name_of_a_type_is_read_from_its_definition() {
    assert_eq!(defined("pub(crate) struct Kernel<'a> {"), Some("Kernel"));
    assert_eq!(defined("    enum Kind {"), Some("Kind"));
    assert_eq!(defined("pub trait Process: Sync {"), Some("Process"));
    assert_eq!(defined("/// A struct Kernel"), None);
    assert_eq!(defined("impl Kernel {"), None);
}

#[test]
fn no_name_of_a_type_stands_twice() {
    let core = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for path in [core.join("src"), core.join("../src")].iter().flat_map(|f| sources(f)) {
        for name in fs::read_to_string(&path).unwrap().lines().filter_map(defined) {
            places.entry(name.into()).or_default().push(path.display().to_string());
        }
    }
    assert!(places.contains_key("Kernel") && places.contains_key("KernelView"));
    places.retain(|_, files| files.len() > 1);
    assert!(places.is_empty(), "types of the same name: {places:#?}");
}
