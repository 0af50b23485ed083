//! Every refusal of a runbook says where and why.

use baoctl::runbook::{EMBEDDED, Loaded, Runbook};

const WHOLE: &str = EMBEDDED[0].1;
const FAST: &str = EMBEDDED[1].1;
const OFFLINE: &str = EMBEDDED[2].1;
const RESEED: &str = EMBEDDED[4].1;

/// Each text with some changes from the built-in one, and all the findings.
fn found(base: &str, changes: &[(&str, &str)]) -> String {
    let mut text = base.to_owned();
    for (from, to) in changes {
        assert!(text.contains(from), "{from:?} is not in the runbook");
        text = text.replacen(from, to, 1);
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("r.yaml");
    std::fs::write(&path, text).unwrap();
    let found = match Loaded::file(&path) {
        Ok(loaded) => {
            let warnings: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
            warnings.join("\n")
        }
        Err(error) => error.to_string(),
    };
    found.replace(path.to_str().unwrap(), "r.yaml")
}

fn refused(base: &str, changes: &[(&str, &str)]) -> String {
    let found = found(base, changes);
    let refused = found.lines().any(|line| !line.contains(" warning: "));
    assert!(refused, "{changes:?} is taken: {found}");
    found
}

#[test]
fn the_shape() {
    let cases: &[(&str, &str)] = &[
        ("version: 1", "version: 2\nlater: true"),
        ("version: 1\n", ""),
        ("version: 1", "version: one"),
        ("replicas: 3", "replicas: many"),
        ("replicas: 3\n", ""),
        ("title: Make", "titel: Make"),
        ("- prove: {}", "- proof: {}"),
        ("- prove: {}", "- proof"),
        ("- prove: {}", "- prove: {deep: true}"),
        ("- prove: {}", "- flip"),
        ("- prove: {}", "- prove:"),
        ("- prove: {}", "- 7"),
        ("- prove: {}", "- [prove]"),
        ("- prove: {}", "- prove: {}\n        join: {}"),
        ("graft: true", "graft: perhaps"),
        ("graft: true", "grafted: true"),
        ("part: network", "part: networks"),
        ("key: old", "key: oldest"),
        ("name: migrate-raft", "name: [migrate-raft"),
        ("name: migrate-raft\n", "name: migrate-raft\nname: again\n"),
        ("name: migrate-raft", "name: Migrate_Raft"),
        ("title: Make Git say what runs", "title: ''"),
        ("      - part: {part: git}\n      - resume-actors: {}\n", ""),
        (
            "    actions:\n      - part: {part: git}\n      - resume-actors: {}\n",
            "    actions: []\n",
        ),
        ("id: land", "id: verify"),
        ("id: land", "id: Land"),
        ("id: land", "id: cleanup"),
    ];
    let found: Vec<String> = cases
        .iter()
        .map(|(from, to)| format!("{from:?} -> {to:?}\n{}\n", refused(WHOLE, &[(from, to)])))
        .collect();
    insta::assert_snapshot!(found.join("\n"));
}

#[test]
fn each_part_that_is_ill_typed_is_told() {
    let found = refused(
        WHOLE,
        &[
            ("replicas: 3", "replicas: many"),
            ("- prove: {}", "- proof: {}"),
            ("graft: true", "grafted: true"),
            ("    rollback: ", "    rolback: "),
            (
                "title: Make Git say what runs",
                "titel: Make Git say what runs\n    notes: none",
            ),
            ("key: old", "key: oldest"),
        ],
    );
    insta::assert_snapshot!(found);
}

#[test]
fn the_meaning() {
    let cases: &[&[(&str, &str)]] = &[
        &[("      - back-up: {}\n", "")],
        &[("      - prove: {}\n", "")],
        &[("      - read-keys: {}\n", "")],
        &[("      - seal-source: {}\n", "")],
        &[
            ("      - seal-source: {}\n", ""),
            ("- flip:", "- seal-source: {}\n      - flip:"),
        ],
        &[("      - final-copy: {graft: true}\n", "")],
        &[("graft: true", "graft: false")],
        &[("      - flip: {replicas: 3}\n", "")],
        &[("- flip: {replicas: 3}", "- flip: {replicas: 2}")],
        &[("      - init: {}\n", "")],
        &[("- init: {}", "- init: {}\n      - init: {}")],
        &[("rewind-to: init", "rewind-to: apply")],
        &[("rewind-to: init", "rewind-to: innit")],
        &[("rewind-to: init", "rewind-to: join")],
        &[("rewind-to: init", "rewind-to: verify")],
        &[("      - return-key: {}\n", "")],
        &[("      - park-key: {}\n", "")],
        &[("- join: {}", "- return-key: {}")],
        &[("{members: all, key: old}", "{members: all, key: throwaway}")],
        &[(
            "{members: followers, key: throwaway}",
            "{members: followers, key: old}",
        )],
        &[("voters: 3", "voters: 4")],
        &[("replicas: 3", "replicas: 0")],
        &[("      - restore: {rewind-to: init}\n", "")],
        &[("      - preflight: {}\n", "")],
        &[("      - rehearse-flip: {replicas: 3}\n", "")],
        &[("      - write-tombstone: {}\n", "")],
        &[("      - replace-source: {}\n", "")],
        &[("      - destroy-throwaway: {}\n", "")],
        &[("      - compare: {}\n", "")],
        &[("      - suspend-actors: {}\n", "")],
        &[("      - resume-actors: {}\n", "")],
        &[
            ("      - init: {}\n", ""),
            ("- seal-source: {}", "- init: {}\n      - seal-source: {}"),
        ],
        &[
            ("      - destroy-throwaway: {}\n", ""),
            (
                "- unseal: {members: all",
                "- destroy-throwaway: {}\n      - unseal: {members: all",
            ),
        ],
        &[
            ("      - return-key: {}\n", ""),
            ("- restore:", "- return-key: {}\n      - restore:"),
        ],
        &[
            ("      - flip: {replicas: 3}\n", ""),
            (
                "- seal-source: {}",
                "- flip: {replicas: 3}\n      - seal-source: {}",
            ),
        ],
        &[("- flip: {replicas: 3}", "- flip: {replicas: 5}")],
        &[(
            "- flip: {replicas: 3}",
            "- flip: {replicas: 3}\n      - flip: {replicas: 1}",
        )],
        &[
            ("- flip: {replicas: 3}", "- flip: {replicas: 1}"),
            ("replicas: 3", "replicas: 1"),
        ],
        &[("voters: 3", "voters: 5")],
        &[(
            "- flip: {replicas: 3}",
            "- flip: {replicas: 3}\n      - rehearse-flip: {replicas: 3}",
        )],
        &[("storage: raft", "storage: file")],
        &[(
            "      - await-storage",
            "      - write-tombstone: {}\n      - await-storage",
        )],
        &[(
            "- seal-source: {}",
            "- await-storage: {storage: raft}\n      - seal-source: {}",
        )],
        &[(
            "- seal-source: {}",
            "- join: {}\n      - resume-actors: {}\n      - seal-source: {}",
        )],
    ];
    let found: Vec<String> = cases
        .iter()
        .map(|changes| format!("{changes:?}\n{}\n", refused(WHOLE, changes)))
        .collect();
    insta::assert_snapshot!(found.join("\n"));
}

/// Programs and pauses: the first list is refused, the second is taken with a warning.
#[test]
fn the_own() {
    let command =
        |fields: &str| format!("- command: {{title: t, {fields}}}\n      - preflight: {{}}");
    let refusals = [
        command("run: ['true']"),
        command("effect: read"),
        command("run: ['true'], effect: chnage"),
        command("run: ['true'], effect: no-blind-repeat"),
        command("run: 'true', effect: read"),
        command("run: [], effect: read"),
        command("run: [' '], effect: read"),
        command("run: ['true'], effect: read, check: ['true']"),
        command("run: ['true'], effect: read, undo: ['true']"),
        command("run: ['true'], effect: read, timeout: 0"),
        command("run: ['true'], effect: read, timeout: 86401"),
        command("run: ['true'], effect: read, timeout: soon"),
        command("run: ['true'], effect: read, timout: 3"),
        "- command: {title: '', run: ['true'], effect: read}\n      - preflight: {}".to_owned(),
        "- pause: {}\n      - preflight: {}".to_owned(),
        "- pause\n      - preflight: {}".to_owned(),
        "- pause: {say: ' '}\n      - preflight: {}".to_owned(),
        "- pause: {say: ok?, skipable: true}\n      - preflight: {}".to_owned(),
        "- pause: {say: ok?}\n      - preflight: {}\n      - pause: {say: ok?}".to_owned(),
    ];
    let own = "{title: t, run: ['true'], effect: change, undo: ['true'], timeout: 7}";
    let behind = |action: &str| {
        let more = format!("{action}\n      - command: {own}\n      - pause: {{say: ok?}}");
        (action.to_owned(), more)
    };
    let warned = [
        (
            "- preflight: {}".to_owned(),
            command("run: [./no-such-program], effect: read"),
        ),
        (
            "- preflight: {}".to_owned(),
            command("run: [no-such-program], effect: read"),
        ),
        ("      - compare-tables: {}\n".to_owned(), String::new()),
        behind("- prove: {}"),
        behind("- seal-source: {}"),
        behind("- init: {}"),
        behind("- compare: {}"),
    ];
    let mut lines: Vec<String> = refusals
        .iter()
        .map(|to| format!("{to:?}\n{}\n", refused(WHOLE, &[("- preflight: {}", to)])))
        .collect();
    for (from, to) in &warned {
        let found = found(WHOLE, &[(from, to)]);
        assert!(
            found.lines().all(|line| line.contains(" warning: ")),
            "{found}"
        );
        lines.push(format!("{to:?}\n{found}\n"));
    }
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn the_move_of_namespaces() {
    let moves = "      - move-namespaces: {rewind-to: init}\n";
    let late = "      - return-key: {}\n";
    let cases: &[&[(&str, &str)]] = &[
        &[(moves, ""), (late, &format!("{late}{moves}"))],
        &[
            (moves, ""),
            ("      - restore:", &format!("{moves}      - restore:")),
        ],
        &[(
            "- move-namespaces: {rewind-to: init}",
            "- move-namespaces: {rewind-to: apply}",
        )],
        &[(
            "- move-namespaces: {rewind-to: init}",
            "- move-namespaces: {}",
        )],
        &[
            ("- flip: {replicas: 1}", "- flip: {replicas: 3}"),
            ("graft: false", "graft: true"),
        ],
    ];
    let found: Vec<String> = cases
        .iter()
        .map(|changes| format!("{changes:?}\n{}\n", refused(FAST, changes)))
        .collect();
    insta::assert_snapshot!(found.join("\n"));
}

#[test]
fn the_meaning_of_the_offline_route() {
    let (migrate, replace) = (
        "      - operator-migrate: {}\n",
        "      - replace-source: {}\n",
    );
    let both = format!("{migrate}{replace}");
    let swapped = format!("{replace}{migrate}");
    let cases: &[&[(&str, &str)]] = &[
        &[(migrate, "")],
        &[(migrate, &format!("{migrate}{migrate}"))],
        &[(&both, &swapped)],
        &[(replace, "")],
        &[("      - flip: {replicas: 1}\n", "")],
        &[("      - final-copy: {graft: false}\n", "")],
        &[(
            "- operator-migrate: {}",
            "- init: {}\n      - operator-migrate: {}",
        )],
        &[("      - destroy-throwaway: {}\n", "")],
        &[("      - compare: {}\n", "")],
    ];
    let found: Vec<String> = cases
        .iter()
        .map(|changes| format!("{changes:?}\n{}\n", refused(OFFLINE, changes)))
        .collect();
    insta::assert_snapshot!(found.join("\n"));
}

#[test]
fn the_meaning_of_a_fresh_cluster() {
    let (forsake, keep) = ("      - forsake-data: {}\n", "      - keep-keys: {}\n");
    let open = "      - unseal: {members: first, key: new}\n";
    let jobs = "{jobs: [vault-config, vault-seed]}";
    let cases: &[&[(&str, &str)]] = &[
        &[(forsake, "")],
        &[(forsake, ""), (keep, &format!("{keep}{forsake}"))],
        &[(keep, "")],
        &[(&format!("{keep}{open}"), &format!("{open}{keep}"))],
        &[("key: new", "key: throwaway")],
        &[("key: new", "key: old")],
        &[("      - list-lost: {}\n", "      - compare: {}\n")],
        &[(
            keep,
            &format!("{keep}      - restore: {{rewind-to: init}}\n"),
        )],
        &[(jobs, "{jobs: []}")],
        &[(jobs, "{jobs: [a], timeout: 0}")],
    ];
    let found: Vec<String> = cases
        .iter()
        .map(|changes| format!("{changes:?}\n{}\n", refused(RESEED, changes)))
        .collect();
    insta::assert_snapshot!(found.join("\n"));
}

#[test]
fn an_action_that_needs_nothing_may_be_a_plain_word() {
    let whole = Runbook::parse(WHOLE, "r.yaml").unwrap();
    let plain = Runbook::parse(&WHOLE.replace(": {}", ""), "r.yaml").unwrap();
    assert_eq!(plain, whole);
}

#[test]
fn one_replica_needs_no_graft() {
    let bare = FAST.replace("graft: true", "graft: false");
    assert!(Runbook::parse(&bare, "r.yaml").is_ok());
}

#[test]
fn no_line_can_be_lost_or_doubled_without_a_panic() {
    let lines: Vec<&str> = WHOLE.lines().collect();
    for index in 0..lines.len() {
        let mut without = lines.clone();
        without.remove(index);
        let _ = Runbook::parse(&without.join("\n"), "r.yaml");
        let mut doubled = lines.clone();
        doubled.insert(index, lines[index]);
        let _ = Runbook::parse(&doubled.join("\n"), "r.yaml");
        let _ = Runbook::parse(&lines[..index].join("\n"), "r.yaml");
    }
}
