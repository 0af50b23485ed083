//! Nothing but the journal makes the token that lets an action act.
#![allow(clippy::unwrap_used)]

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
    let mut makers = Vec::new();
    for file in files {
        let name = file.strip_prefix(&root).unwrap().to_owned();
        // Tests may arm themselves: they have nothing to lose.
        // So do the makers of sample data: their server is new and has nothing to lose either.
        if name.ends_with("tests.rs")
            || name == Path::new("armed.rs")
            || name.starts_with("platform/local/sample")
        {
            continue;
        }
        let text = fs::read_to_string(&file).unwrap();
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        if code.contains("by_record") {
            makers.push(name);
        }
    }
    assert_eq!(makers, [PathBuf::from("journal/file.rs")]);
}
