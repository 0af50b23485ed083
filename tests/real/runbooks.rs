//! Each runbook, with one share and with three of five, side by side.

use std::path::Path;

use crate::place::{Place, assert_whole};

#[test]
fn each_runbook_with_one_share_and_with_three_of_five() {
    let runs = ["migrate-raft", "migrate-raft-fast", "operator-migrate"]
        .into_iter()
        .flat_map(|book| [(book, "1", "1"), (book, "5", "3")])
        .map(|(book, shares, threshold)| {
            std::thread::spawn(move || {
                let place = Place::new();
                let said = place.run(&[
                    "rehearse",
                    "--json",
                    "--entries",
                    "500",
                    "--runbook",
                    book,
                    "--shares",
                    shares,
                    "--threshold",
                    threshold,
                ]);
                said.expect_code(0);
                let summary = said.summary();
                assert_whole(&summary);
                assert!(summary["entries"].as_u64() >= Some(500));
                let outage = summary["outage_seconds"].as_f64().unwrap();
                (book, shares, threshold, outage)
            })
        })
        .collect::<Vec<_>>();
    println!("{:<20} {:>8} {:>10}", "runbook", "shares", "outage");
    for run in runs {
        let (book, shares, threshold, outage) = run.join().unwrap();
        println!("{book:<20} {threshold:>3} of {shares} {outage:>8.1} s");
        assert!(outage > 0.0);
    }
}

#[test]
fn values_over_the_entry_size_can_be_written_again() {
    for book in ["migrate-raft", "operator-migrate"] {
        large_values(book);
    }
}

fn large_values(book: &str) {
    let place = Place::new();
    let args = [
        "rehearse",
        "--json",
        "--entries",
        "100",
        "--large",
        "--keep",
        "--runbook",
        book,
    ];
    let said = place.run(&args);
    said.expect_code(0);
    assert_whole(&said.summary());
    let config = place.work().join("nodes/openbao-0/config.hcl");
    let config = std::fs::read_to_string(config).unwrap();
    assert!(config.contains("max_entry_size"), "{config}");
    let keys = place.keys(baoctl::platform::SecretName::Unseal).unwrap();
    let body = serde_json::json!({"data": {"blob": "x".repeat(1_400_000)}});
    let token = secrecy::ExposeSecret::expose_secret(&keys.token);
    let status = place.send(
        "PUT",
        &place.leader(),
        "secret/data/large-again",
        token,
        &body,
    );
    assert_eq!(status, 200, "a value over 1 MiB is taken");
}

#[test]
fn a_copy_of_the_operators_own_tree_is_rehearsed_on() {
    let own = Place::with_source(&["--entries", "150"]);
    let keys = own.keys(baoctl::platform::SecretName::Unseal).unwrap();
    let file = own.path("keys.json");
    let shares: Vec<&str> = keys
        .shares
        .iter()
        .map(secrecy::ExposeSecret::expose_secret)
        .collect();
    let token = secrecy::ExposeSecret::expose_secret(&keys.token);
    let output = serde_json::json!({"unseal_keys_b64": shares, "root_token": token});
    std::fs::write(&file, output.to_string()).unwrap();
    let tree = own.work().join("nodes/openbao-0/data");
    let before = crate::place::files(&tree);

    let place = Place::new();
    what_does_not_fit(&place, &tree, &file);
    let said = place.run(&[
        "rehearse",
        "--json",
        "--runbook",
        "migrate-raft-fast",
        "--from-tree",
        tree.to_str().unwrap(),
        "--keys-file",
        file.to_str().unwrap(),
    ]);
    said.expect_code(0);
    let summary = said.summary();
    assert_eq!(summary["parity"]["missing"], 0);
    assert_eq!(summary["parity"]["unexplained"], 0);
    assert!(summary["entries"].as_u64() >= Some(150));
    assert_eq!(
        before,
        crate::place::files(&tree),
        "the operator's tree is only read"
    );
}

/// It is an input that is wrong, nothing of it is left, and what to type next is another input.
fn what_does_not_fit(place: &Place, tree: &Path, keys: &Path) {
    let [empty, junk, other] = ["empty", "junk", "other.json"].map(|name| place.path(name));
    std::fs::create_dir(&empty).unwrap();
    std::fs::write(&junk, "{").unwrap();
    let shares = serde_json::json!({"unseal_keys_b64": ["7".repeat(64)], "root_token": "x"});
    std::fs::write(&other, shares.to_string()).unwrap();
    for (tree, keys, words) in [
        (tree, junk.as_path(), "bao operator init"),
        (tree, &other, "other.json do not open this tree"),
        (&junk, keys, "the same command with data"),
        (&empty, keys, "empty holds no entry"),
    ] {
        let [tree, keys] = [tree, keys].map(|path| path.to_str().unwrap());
        let said = place.run(&["rehearse", "--from-tree", tree, "--keys-file", keys]);
        said.expect_code(2)
            .expect_words(&[words, "the same command with data"]);
        assert!(!place.work().exists(), "{words}");
    }
    let junk = ["--from-snapshot", junk.to_str().unwrap()];
    let given = [&junk[..], &["--keys-file", keys.to_str().unwrap()]].concat();
    place
        .run(&[&["rehearse"][..], &given].concat())
        .expect_code(5)
        .expect_words(&[&format!(
            "next: baoctl rehearse {} --keys-file FILE --discard --work-dir",
            junk.join(" ")
        )]);
    std::fs::remove_dir_all(place.work()).unwrap();
}
