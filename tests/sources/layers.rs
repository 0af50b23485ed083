//! The direction of imports, read from the sources.
//!
//! ```text
//! cli  ->  ui, engine  ->  runbook, journal, event, action, check  ->  platform  ->  bao, storage
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// What each layer may import, all of it.
const MAY: [(&str, &[&str]); 11] = [
    (
        "cli",
        &[
            "ui", "engine", "runbook", "journal", "event", "action", "check", "platform", "bao",
            "storage",
        ],
    ),
    // Not what carries things out: order, gates and records are the same for any of it.
    (
        "engine",
        &["runbook", "journal", "event", "action", "check"],
    ),
    // Events alone feed it, live and in a replay.
    ("ui", &["event"]),
    ("runbook", &[]),
    ("journal", &[]),
    ("event", &[]),
    ("action", &["platform", "bao", "storage"]),
    ("check", &["platform", "bao", "storage"]),
    ("platform", &["bao", "storage"]),
    ("bao", &[]),
    ("storage", &[]),
];

/// What every layer may import, and what imports none.
const EVERYBODYS: [&str; 2] = ["armed", "meter"];

/// An import beyond [`MAY`], for this reason and for these items alone.
struct Exception {
    from: &'static str,
    to: &'static str,
    items: &'static [&'static str],
    #[expect(dead_code, reason = "for the reader of the table")]
    why: &'static str,
}

const EXCEPTIONS: [Exception; 14] = [
    Exception {
        from: "runbook",
        to: "action",
        items: &["ActionSpec", "Key", "Members"],
        why: "a step's actions are parsed into their own types, which brings line and column to their errors",
    },
    Exception {
        from: "runbook",
        to: "event",
        items: &["Effect"],
        why: "a step's impact is the word that its events use",
    },
    Exception {
        from: "runbook",
        to: "platform",
        items: &["StorageKind"],
        why: "plain data: which storage an action waits for",
    },
    Exception {
        from: "runbook",
        to: "journal",
        items: &["CLEANUP", "RunbookText", "State"],
        why: "a changed runbook is found by the text that the journal keeps",
    },
    Exception {
        from: "journal",
        to: "event",
        items: &["ActionStatus", "Failure", "Mode", "ParityCounts"],
        why: "the words that records and events share",
    },
    Exception {
        from: "journal",
        to: "platform",
        items: &["Target"],
        why: "plain data: what the run is about; a journal is bound to it",
    },
    Exception {
        from: "platform",
        to: "journal",
        items: &["Mirror", "MirrorError"],
        why: "the journal's copy is where the servers are; the journal knows no place",
    },
    Exception {
        from: "platform",
        to: "journal",
        items: &["whoami"],
        why: "a claim in the cluster names its holder as the journal's lock does",
    },
    Exception {
        from: "event",
        to: "platform",
        items: &["Target"],
        why: "plain data: what the run is about; the banner shows it",
    },
    Exception {
        from: "action",
        to: "event",
        items: &[
            "CheckStatus",
            "Effect",
            "Event",
            "Finding",
            "Level",
            "Observer",
            "ParityCounts",
            "Tier",
        ],
        why: "actions tell what they find, and how hard their questions are",
    },
    Exception {
        from: "action",
        to: "journal",
        items: &["Mark"],
        why: "only an action knows the moment at which the outage begins or ends",
    },
    Exception {
        from: "action",
        to: "check",
        items: &["self"],
        why: "`preflight` runs the checks; with the next one the two are one layer in two folders",
    },
    Exception {
        from: "check",
        to: "action",
        items: &[
            "Children",
            "Context",
            "Error",
            "FromSnapshot",
            "Keys",
            "Result",
            "Snapshot",
            "Source",
            "blocking",
            "namespaces",
            "tables",
            "token",
            "tombstone",
            "free_bytes",
        ],
        why: "checks look through the same context, and at what the actions left",
    },
    Exception {
        from: "check",
        to: "event",
        items: &["CheckStatus", "Event", "Finding"],
        why: "each finding is told as it is made",
    },
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// Every source by its path under `src`, without line comments.
fn sources() -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|it| it == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                let code: Vec<&str> = text
                    .lines()
                    .map(|line| line.split("//").next().unwrap())
                    .collect();
                let name = path.strip_prefix(root()).unwrap().to_owned();
                found.insert(name, code.join("\n"));
            }
        }
    }
    assert!(found.len() > 100, "the sources moved");
    found
}

fn layer(file: &Path) -> String {
    let first = file.components().next().unwrap();
    let name = first.as_os_str().to_str().unwrap();
    name.trim_end_matches(".rs").to_owned()
}

fn ident(text: &str) -> &str {
    let end = text
        .find(|character: char| !character.is_alphanumeric() && character != '_')
        .unwrap_or(text.len());
    &text[..end]
}

/// The paths of a use tree, for example `a::b` and `a::self` of `a::{self, b}`.
fn tree(text: &str, before: &str, paths: &mut Vec<String>) {
    let text = text.trim_start();
    let join = |part: &str| match before {
        "" => part.to_owned(),
        before => format!("{before}::{part}"),
    };
    if let Some(group) = text.strip_prefix('{') {
        let mut depth = 0_usize;
        let mut start = 0;
        for (at, character) in group.char_indices() {
            match character {
                '{' => depth += 1,
                '}' if depth > 0 => depth -= 1,
                ',' | '}' if depth == 0 => {
                    if !group[start..at].trim().is_empty() {
                        tree(&group[start..at], before, paths);
                    }
                    start = at + 1;
                    if character == '}' {
                        return;
                    }
                }
                _ => {}
            }
        }
        return;
    }
    if text.starts_with('*') {
        paths.push(join("*"));
        return;
    }
    let name = ident(text);
    match text[name.len()..].strip_prefix("::") {
        Some(rest) if !name.is_empty() => tree(rest, &join(name), paths),
        _ => paths.push(join(name)),
    }
}

/// The paths behind each `crate::`.
fn imports(code: &str) -> Vec<String> {
    let mut paths = Vec::new();
    for (at, found) in code.match_indices("crate::") {
        let standalone = !code[..at].ends_with(|before: char| before.is_alphanumeric());
        if standalone {
            tree(&code[at + found.len()..], "", &mut paths);
        }
    }
    paths
}

/// A path's layer and the item that it takes from there; `self` for the layer as a whole.
fn parts(path: &str) -> (&str, &str) {
    let mut parts = path.split("::");
    (parts.next().unwrap(), parts.next().unwrap_or("self"))
}

#[test]
fn imports_look_downwards() {
    let may: BTreeMap<_, _> = MAY.into_iter().collect();
    let mut wrong = Vec::new();
    let mut used = BTreeSet::new();
    for (file, code) in sources() {
        let from = layer(&file);
        if from == "lib" || from == "main" {
            continue;
        }
        for path in imports(&code) {
            let (to, item) = parts(&path);
            if to == from || EVERYBODYS.contains(&to) {
                continue;
            }
            if may.get(from.as_str()).is_some_and(|all| all.contains(&to)) {
                continue;
            }
            let allowed = EXCEPTIONS
                .iter()
                .any(|it| it.from == from && it.to == to && it.items.contains(&item));
            if allowed {
                used.insert((from.clone(), to.to_owned(), item.to_owned()));
            } else {
                wrong.push(format!("{}: crate::{path}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    for it in &EXCEPTIONS {
        for item in it.items {
            let key = (it.from.to_owned(), it.to.to_owned(), (*item).to_owned());
            assert!(used.contains(&key), "nobody needs the exception {key:?}");
        }
    }
}

#[test]
fn every_layer_is_in_the_table() {
    let found: BTreeSet<String> = sources().keys().map(|file| layer(file)).collect();
    let known = MAY.iter().map(|(layer, _)| *layer).chain(EVERYBODYS);
    let known: BTreeSet<String> = known.chain(["lib", "main"]).map(str::to_owned).collect();
    assert_eq!(found, known);
}

/// No module steps out of its layer through its parents.
#[test]
fn nothing_climbs_out_of_its_layer() {
    for (file, code) in sources() {
        let depth = file.components().count() - usize::from(file.ends_with("mod.rs"));
        let chain = "super::".repeat(depth);
        assert!(!code.contains(&chain), "{}: {chain}", file.display());
    }
}

/// Actions and the engine work on any platform.
#[test]
fn only_the_command_line_knows_a_kind_of_platform() {
    for (file, code) in sources() {
        let layer = layer(&file);
        let local = imports(&code)
            .iter()
            .any(|path| path.starts_with("platform::local"));
        assert!(
            !local || layer == "platform" || layer == "cli",
            "{}",
            file.display()
        );
    }
}

#[test]
fn only_the_ui_prints() {
    let macros = ["println!", "print!", "eprintln!", "eprint!", "dbg!"];
    let handles = ["stdout()", "stderr()"];
    // Not for people at a terminal: what a package is made of.
    let makers = ["cli/man.rs", "cli/completions.rs"].map(Path::new);
    for (file, code) in sources() {
        if layer(&file) == "ui" {
            continue;
        }
        for word in macros {
            assert!(!code.contains(word), "{}: {word}", file.display());
        }
        if makers.contains(&file.as_path()) {
            continue;
        }
        for word in handles {
            let prints = code
                .match_indices(word)
                .any(|(at, _)| !code[..at].ends_with('_'));
            assert!(!prints, "{}: {word}", file.display());
        }
    }
}

#[test]
fn a_use_tree_gives_each_of_its_paths() {
    let code =
        "use crate::a::{self, b::{C, D}, e};\nuse crate::{f::G, h};\ncrate::i::J::k(1); $crate::l";
    assert_eq!(
        imports(code),
        [
            "a::self", "a::b::C", "a::b::D", "a::e", "f::G", "h", "i::J::k", "l"
        ]
    );
    assert_eq!(parts("a::self"), ("a", "self"));
    assert_eq!(parts("h"), ("h", "self"));
}
