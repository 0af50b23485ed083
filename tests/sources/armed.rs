//! Nothing but the journal makes the token that lets an action act; the maker of a rehearsal's own source has one of its own.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn sources(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|it| it == "rs") {
            into.push(path);
        }
    }
}

#[test]
fn only_the_journal_arms() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    let (mut makers, mut of_own_servers) = (Vec::new(), BTreeSet::new());
    for file in files {
        let name = file.strip_prefix(&root).unwrap().to_owned();
        // Tests may arm themselves: they have nothing to lose.
        if name.ends_with("tests.rs") || name == Path::new("armed.rs") {
            continue;
        }
        let text = fs::read_to_string(&file).unwrap();
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        if code.contains("by_record") {
            makers.push(name.clone());
        }
        if code.contains("for_own_server") {
            of_own_servers.insert(name.parent().unwrap().to_owned());
        }
    }
    assert_eq!(makers, [PathBuf::from("journal/file.rs")]);
    assert_eq!(
        of_own_servers,
        BTreeSet::from([PathBuf::from("platform/local/sample")])
    );
}
