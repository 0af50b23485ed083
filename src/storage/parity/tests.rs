use super::*;
use crate::storage::digests::{Digest, DigestList};

const ROW: &str = "5b1f9d0c-5f0e-4c8e-9c55-8c4c3f4f6a10";

fn list(keys: &[String]) -> DigestList {
    let mut list = DigestList::default();
    for key in keys {
        let (key, value) = key.split_once('=').unwrap_or((key, ""));
        list.push(key, Digest::of(value.as_bytes())).unwrap();
    }
    list.sort().unwrap();
    list
}

fn compare(was: &[&str], is: &[&str], options: &ParityOptions) -> Parity {
    let token = format!("h{}", "a".repeat(64));
    let full = |keys: &[&str]| -> Vec<String> {
        keys.iter()
            .map(|key| key.replace("ROW", ROW).replace("TOKEN", &token))
            .collect()
    };
    let (was, is) = (list(&full(was)), list(&full(is)));
    parity(&mut was.digests(), &mut is.digests(), options).unwrap()
}

fn plain(was: &[&str], is: &[&str]) -> Parity {
    compare(was, is, &ParityOptions::default())
}

#[test]
fn a_migration_passes() {
    let was = [
        "core/auth",
        "core/local-auth",
        "core/local-mounts",
        "core/mounts",
        "core/keyring",
    ];
    let is = [
        "core/auth/ROW",
        "core/local-mounts/ROW",
        "core/mounts/ROW",
        "core/keyring",
        "core/leader/ROW",
        "core/lock",
        "core/raft/tls",
    ];
    let found = plain(&was, &is);
    assert!(found.passed(), "{found:?}");
    assert_eq!(
        (found.identical, found.rewritten.total, found.new.total),
        (1, 7, 3)
    );
}

#[test]
fn a_restored_snapshot_of_a_cluster_passes() {
    let was = [
        "core/auth/ROW",
        "core/leader/old",
        "core/lock=old",
        "core/mounts/ROW",
        "core/raft/tls=old",
    ];
    let is = [
        "core/audit",
        "core/auth/ROW",
        "core/leader/new",
        "core/local-audit",
        "core/lock=new",
        "core/mounts/ROW",
        "core/raft/tls=new",
    ];
    let found = plain(&was, &is);
    assert!(found.passed(), "{found:?}");
    assert_eq!((found.identical, found.new.total), (2, 6));
    let row = plain(&["core/mounts/ROW"], &[]);
    assert_eq!(row.missing.total, 1, "a mount is no leader");
}

#[test]
fn a_table_without_its_entries_is_missing() {
    assert_eq!(plain(&["core/mounts"], &[]).missing.first, ["core/mounts"]);
    assert_eq!(
        plain(&[], &["core/mounts/x"]).unexplained.first,
        ["core/mounts/x"]
    );
}

#[test]
fn data_is_never_silently_volatile() {
    let found = plain(
        &["logical/ROW/a=1", "logical/ROW/b"],
        &["logical/ROW/a=2", "logical/ROW/c"],
    );
    assert_eq!(
        (
            found.unexplained.total,
            found.missing.total,
            found.volatile.total
        ),
        (2, 1, 0)
    );
    for prefix in [
        "sys/policy/",
        "auth/ROW/",
        "core/",
        "sys/token/salt",
        "namespaces/",
    ] {
        assert_eq!(
            plain(&[&format!("{prefix}x")], &[]).missing.total,
            1,
            "{prefix}"
        );
    }
}

#[test]
fn what_the_caller_names_is_volatile() {
    let mut options = ParityOptions {
        served: true,
        ..ParityOptions::default()
    };
    let was = ["logical/ROW/a=1", "logical/ROW/b", "core/seal-config=1"];
    let is = ["logical/ROW/a=2", "logical/ROW/c", "core/seal-config=2"];
    let found = compare(&was, &is, &options);
    assert_eq!(
        (
            found.unexplained.first.as_slice(),
            found.deleted.total,
            found.missing.total,
            (found.written.total, found.volatile.total)
        ),
        (["core/seal-config".to_owned()].as_slice(), 1, 0, (2, 0))
    );
    // Saved again by a server that could read it.
    let saved = compare(&["core/keyring=1"], &["core/keyring=2"], &options);
    assert_eq!((saved.passed(), saved.rewritten.total), (true, 1));
    let (was, is) = (&was[..2], &is[..2]);
    options.volatile_prefixes = vec![format!("logical/{ROW}/"), String::new()];
    let found = compare(was, is, &options);
    assert!(found.passed(), "{found:?}");
    assert_eq!((found.written.total, found.volatile.total), (0, 3));
    assert_eq!(found.volatile_by_prefix[&format!("logical/{ROW}/")], 3);
}

#[test]
fn a_token_goes_with_its_lease() {
    let token = [
        "sys/expire/id/auth/token/create/TOKEN",
        "sys/expire/token/x/y",
        "sys/token/accessor/z",
        "sys/token/id/TOKEN",
        "sys/token/parent/x/TOKEN",
        "logical/ROW/hole/x",
    ];
    let cubbyholes = vec![format!("logical/{ROW}/")];
    let options = ParityOptions {
        cubbyholes,
        ..ParityOptions::default()
    };
    let found = compare(&token, &[], &options);
    assert_eq!(
        (found.expired.total, found.passed()),
        (6, true),
        "{found:?}"
    );
    for alone in token {
        assert!(!compare(&[alone], &[], &options).passed(), "{alone}");
    }
    let going = ["sys/token/id/TOKEN=marked"];
    let found = compare(&token, &going, &options);
    assert_eq!(
        (found.expired.total, found.volatile.total, found.passed()),
        (5, 1, true),
        "{found:?}"
    );
    assert!(plain(&["sys/expire/id/pki/issue/r/serial"], &[]).passed());
    assert_eq!(
        plain(&["sys/token/id/TOKEN=1"], &["sys/token/id/TOKEN=2"])
            .volatile
            .total,
        1
    );
}

const CHILD: &str = "namespaces/0e2d1c3b-1111-4222-8333-444455556666/";

fn of_child(was: &[&str], is: &[&str], options: &ParityOptions) -> Parity {
    let full =
        |keys: &[&str]| -> Vec<String> { keys.iter().map(|key| format!("{CHILD}{key}")).collect() };
    let (was, is) = (full(was), full(is));
    let was: Vec<&str> = was.iter().map(String::as_str).collect();
    let is: Vec<&str> = is.iter().map(String::as_str).collect();
    compare(&was, &is, options)
}

#[test]
fn the_tables_of_a_child_are_compared_as_the_roots_are() {
    let plain = ParityOptions::default();
    let was = [
        "core/auth",
        "core/local-auth",
        "core/local-mounts",
        "core/mounts",
    ];
    let is = ["core/auth/ROW", "core/local-mounts/ROW", "core/mounts/ROW"];
    let found = of_child(&was, &is, &plain);
    assert_eq!(
        (found.passed(), found.rewritten.total),
        (true, 7),
        "{found:?}"
    );
    // Rows that stayed below the root are not the child's, and the root's do not stand for them.
    let lost = compare(
        &[&format!("{CHILD}core/mounts")],
        &["core/mounts/ROW"],
        &plain,
    );
    assert_eq!(lost.missing.first, [format!("{CHILD}core/mounts")]);
    for odd in [
        "core/mounts/x",
        "core/mounts/ROW/x",
        "core/seal-config",
        "core/leader/x",
    ] {
        assert_eq!(of_child(&[], &[odd], &plain).unexplained.total, 1, "{odd}");
    }
    // What is no namespace's prefix hides nothing.
    let odd = compare(
        &["namespaces/x/core/mounts"],
        &["namespaces/x/core/mounts/ROW"],
        &plain,
    );
    assert_eq!((odd.missing.total, odd.unexplained.total), (1, 1));
}

#[test]
fn the_data_of_a_child_is_judged_as_the_roots_is() {
    let mut options = ParityOptions {
        cubbyholes: vec![format!("{CHILD}logical/{ROW}/")],
        ..ParityOptions::default()
    };
    let token = [
        "sys/expire/id/auth/token/create/TOKEN.4V1kpJ",
        "sys/token/accessor/z",
        "sys/token/id/TOKEN",
        "logical/ROW/hole/x",
    ];
    let found = of_child(&token, &[], &options);
    assert_eq!(
        (found.expired.total, found.passed()),
        (4, true),
        "{found:?}"
    );
    for alone in token {
        assert!(!of_child(&[alone], &[], &options).passed(), "{alone}");
    }
    for key in ["logical/x", "auth/x", "sys/policy/x"] {
        assert!(!of_child(&[], &[key], &options).passed(), "{key}");
        assert!(!of_child(&[key], &[], &options).passed(), "{key}");
        options.served = true;
        assert_eq!(of_child(&[], &[key], &options).written.total, 1, "{key}");
        assert_eq!(of_child(&[key], &[], &options).deleted.total, 1, "{key}");
        options.served = false;
    }
}
