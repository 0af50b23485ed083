//! Which action must come before which, as a table.

use std::borrow::Cow;

use crate::action::{ActionSpec, Key};
use crate::platform::StorageKind;

/// What a rule is about: actions of a kind, some with a certain parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Subject {
    /// Every action of this kind.
    Kind(&'static str),
    /// `unseal` with this key.
    Unseal(Key),
    /// The first `flip` alone: later ones only add members.
    FirstFlip,
    /// `await-storage` for this storage.
    Await(StorageKind),
    /// Every action of one of these kinds.
    OneOf(&'static [&'static str]),
}

use Subject::{Await, FirstFlip, Kind, OneOf, Unseal};

/// What makes the first member's raft store.
const STORE: Subject = OneOf(&["init", "operator-migrate"]);
/// The kinds that bring the source's data: from then on nothing but the old key opens the cluster.
pub const BRING_DATA: &[&str] = &["restore", "operator-migrate"];
/// What brings the source's data.
const DATA: Subject = OneOf(BRING_DATA);
/// What settles which data the new cluster has: the source's, or none of it.
const SETTLES: &[&str] = &["restore", "operator-migrate", "keep-keys"];

/// The kinds that make the copy of the source's data that is brought: of a server that is frozen, or of a snapshot.
const COPY_DATA: &[&str] = &["final-copy", "graft-snapshot"];

/// `subject` comes only after one of each of `after`, for the reason `why`.
#[derive(Debug)]
pub(super) struct Rule {
    pub subject: Subject,
    pub after: &'static [Subject],
    pub why: &'static str,
}

/// `subject` comes only before the first `before`.
#[derive(Debug)]
pub(super) struct Limit {
    pub subject: Subject,
    pub before: Subject,
    pub why: &'static str,
}

/// `subject` is followed by a `by`, somewhere behind it.
#[derive(Debug)]
pub(super) struct Followed {
    pub subject: Subject,
    pub by: Subject,
    pub why: &'static str,
}

/// What comes after what.
pub(super) const AFTER: &[Rule] = &[
    Rule {
        subject: Kind("seal-source"),
        after: &[Kind("back-up"), Kind("read-keys"), Kind("prove")],
        why: "the outage must not begin before a backup exists and the keys are proven",
    },
    Rule {
        subject: Kind("seal-source"),
        after: &[Kind("rehearse-flip")],
        why: "the change must be tried before the outage, and a rollback goes back to what it found",
    },
    Rule {
        subject: Kind("seal-source"),
        after: &[Kind("suspend-actors")],
        why: "a job may initialise the empty server, and a reconciler bring the old one back",
    },
    Rule {
        subject: Kind("seal-source"),
        after: &[Kind("park-key")],
        why: "an auto-unseal hook would open the source again",
    },
    Rule {
        subject: Kind("read-keys"),
        after: &[Kind("preflight")],
        why: "what the source is must be known before its keys are looked at",
    },
    Rule {
        subject: Kind("forsake-data"),
        after: &[Kind("preflight")],
        why: "what the source is must be known before it is asked for its data",
    },
    Rule {
        subject: Kind("place-followers"),
        after: &[Kind("preflight")],
        why: "there must be room for the followers, and nothing of theirs yet",
    },
    Rule {
        subject: Kind("prove"),
        after: &[Kind("read-keys")],
        why: "there are no keys to prove before they are read",
    },
    Rule {
        subject: Kind("write-tombstone"),
        after: &[Kind("seal-source")],
        why: "a running source must not find it",
    },
    Rule {
        subject: Kind("final-copy"),
        after: &[Kind("seal-source")],
        why: "a copy of a tree that still changes is not final",
    },
    Rule {
        subject: Kind("final-copy"),
        after: &[Kind("write-tombstone")],
        why: "a server that starts on the tree again would write behind the copy",
    },
    Rule {
        subject: Kind("graft-snapshot"),
        after: &[Kind("read-keys"), Kind("prove")],
        why: "the keys must be proven on the snapshot before anything starts",
    },
    Rule {
        subject: Kind("graft-snapshot"),
        after: &[Kind("rehearse-flip")],
        why: "the change must be tried before it is made, and a rollback goes back to what it found",
    },
    Rule {
        subject: Kind("graft-snapshot"),
        after: &[Kind("suspend-actors")],
        why: "a job may initialise the empty server",
    },
    Rule {
        subject: Kind("graft-snapshot"),
        after: &[Kind("park-key")],
        why: "an auto-unseal hook would offer the old key to members of the throwaway cluster",
    },
    Rule {
        subject: FirstFlip,
        after: &[OneOf(COPY_DATA)],
        why: "the data must be copied before anything else starts on the volume",
    },
    Rule {
        subject: Kind("replace-source"),
        after: &[Kind("flip")],
        why: "it would be started on file storage again",
    },
    Rule {
        subject: Kind("replace-source"),
        after: &[Kind("seal-source")],
        why: "a snapshot has no source to replace, and one that serves is none yet",
    },
    Rule {
        subject: Await(StorageKind::Raft),
        after: &[Kind("flip")],
        why: "before that the first member never reports it",
    },
    Rule {
        subject: Kind("init"),
        after: &[Kind("flip")],
        why: "only an empty raft node may be initialised",
    },
    Rule {
        subject: Kind("join"),
        after: &[Kind("flip"), STORE],
        why: "there is no leader to find before that",
    },
    Rule {
        subject: Kind("await-voters"),
        after: &[STORE],
        why: "there is no voter before that",
    },
    Rule {
        subject: Kind("restore"),
        after: &[Kind("prove"), OneOf(COPY_DATA), Kind("init")],
        why: "there must be a proven snapshot, and a throwaway cluster to restore it into",
    },
    Rule {
        subject: Kind("keep-keys"),
        after: &[Kind("forsake-data"), Kind("seal-source"), Kind("init")],
        why: "somebody must have agreed to leave the data behind, and the new keys come from init",
    },
    Rule {
        subject: Kind("operator-migrate"),
        after: &[Kind("prove"), Kind("final-copy"), Kind("flip")],
        why: "the keys must be proven, the tree frozen, and the store be the one that the release names",
    },
    Rule {
        subject: Unseal(Key::Throwaway),
        after: &[Kind("init")],
        why: "the throwaway key comes from init",
    },
    Rule {
        subject: Unseal(Key::Old),
        after: &[DATA],
        why: "the old key opens nothing before the old data is there",
    },
    Rule {
        subject: Unseal(Key::New),
        after: &[Kind("keep-keys")],
        why: "nothing is opened with keys that are not stored",
    },
    Rule {
        subject: Kind("run-jobs"),
        after: &[Kind("suspend-actors"), Unseal(Key::New)],
        why: "the new cluster must serve, and nothing else write to it",
    },
    Rule {
        subject: Kind("list-lost"),
        after: &[Unseal(Key::New)],
        why: "there is nothing to compare with before the new cluster serves",
    },
    Rule {
        subject: Kind("move-namespaces"),
        after: &[Kind("restore")],
        why: "there is nothing to move before the data is restored",
    },
    Rule {
        subject: Kind("return-key"),
        after: &[Kind("park-key"), DATA, Unseal(Key::Old)],
        why: "the old key is parked until it has opened the old data: a hook that found it before would serve clients behind the run's back",
    },
    Rule {
        subject: Kind("destroy-throwaway"),
        after: &[DATA, Unseal(Key::Old)],
        why: "the throwaway keys and the parked copy are needed until the old key has opened the old data",
    },
    Rule {
        subject: Kind("resume-actors"),
        after: &[Kind("suspend-actors"), OneOf(SETTLES)],
        why: "a job may initialise the empty server, and a reconciler bring the old one back",
    },
    Rule {
        subject: Kind("compare"),
        after: &[DATA, Unseal(Key::Old)],
        why: "there is nothing to compare before the old data is there and open",
    },
    Rule {
        subject: Kind("compare-tables"),
        after: &[DATA, Unseal(Key::Old)],
        why: "there is nothing to compare before the old data is there and open",
    },
    Rule {
        subject: Kind("compare-tables"),
        after: &[Kind("seal-source")],
        why: "only a server tells its tables; those of a snapshot are entries that `compare` compares",
    },
];

/// What comes before what, where `AFTER` says nothing since the later one may be missing.
pub(super) const BEFORE: &[Limit] = &[
    Limit {
        subject: Unseal(Key::Throwaway),
        before: Kind("restore"),
        why: "the throwaway key opens nothing any more once the old data is there",
    },
    Limit {
        subject: Kind("forsake-data"),
        before: Kind("seal-source"),
        why: "nobody can ask a sealed server what it holds",
    },
    Limit {
        subject: Kind("place-followers"),
        before: Kind("seal-source"),
        why: "it takes as long as it takes, and clients would wait for it",
    },
    Limit {
        subject: Kind("run-jobs"),
        before: Kind("resume-actors"),
        why: "a Job that is resumed would run beside its copy",
    },
    Limit {
        subject: Unseal(Key::Old),
        before: Kind("resume-actors"),
        why: "a job that finds a sealed server may initialise it, or restore what it takes for the newest data",
    },
    Limit {
        subject: Unseal(Key::New),
        before: Kind("resume-actors"),
        why: "a job that finds a sealed server may initialise it",
    },
    Limit {
        subject: Kind("return-key"),
        before: Kind("resume-actors"),
        why: "a job that finds no unseal key may write one of its own",
    },
    Limit {
        subject: Kind("move-namespaces"),
        before: Unseal(Key::Old),
        why: "clients are served from then on, by a server that would break at its next unseal",
    },
    Limit {
        subject: Kind("operator-migrate"),
        before: Kind("replace-source"),
        why: "the server must find the data when it starts on raft",
    },
    Limit {
        subject: Kind("replace-source"),
        before: Await(StorageKind::Raft),
        why: "before it the first member never reports it",
    },
    Limit {
        subject: Kind("replace-source"),
        before: Kind("init"),
        why: "only an empty raft node may be initialised",
    },
    Limit {
        subject: Kind("rehearse-flip"),
        before: Kind("flip"),
        why: "a rollback goes back to what it finds",
    },
    Limit {
        subject: Await(StorageKind::File),
        before: Kind("replace-source"),
        why: "no member reports it any more",
    },
    Limit {
        subject: Await(StorageKind::Pebbledb),
        before: Kind("replace-source"),
        why: "no member reports it any more",
    },
];

/// What must not be left open.
pub(super) const FOLLOWED: &[Followed] = &[
    Followed {
        subject: Kind("park-key"),
        by: OneOf(&["return-key", "keep-keys"]),
        why: "the key would never come back",
    },
    Followed {
        subject: Kind("park-key"),
        by: OneOf(&["destroy-throwaway", "keep-keys"]),
        why: "the parked copy of the key would be left behind",
    },
    Followed {
        subject: Kind("suspend-actors"),
        by: Kind("resume-actors"),
        why: "jobs of the release would stay suspended",
    },
    Followed {
        subject: Kind("init"),
        by: OneOf(&["destroy-throwaway", "keep-keys"]),
        why: "the throwaway keys would be left behind",
    },
    Followed {
        subject: Kind("init"),
        by: OneOf(&["restore", "keep-keys"]),
        why: "a throwaway cluster is there to be restored into",
    },
    Followed {
        subject: Unseal(Key::Throwaway),
        by: Kind("restore"),
        why: "a throwaway cluster is there to be restored into",
    },
    Followed {
        subject: Kind("forsake-data"),
        by: Kind("keep-keys"),
        why: "it asks to leave the data behind, which nothing here does",
    },
    Followed {
        subject: Kind("keep-keys"),
        by: Unseal(Key::New),
        why: "the new cluster would stay sealed",
    },
    Followed {
        subject: Kind("keep-keys"),
        by: Kind("list-lost"),
        why: "nobody would know what the new cluster lacks",
    },
    Followed {
        subject: Kind("seal-source"),
        by: Kind("replace-source"),
        why: "the source would stay sealed",
    },
    Followed {
        subject: DATA,
        by: Unseal(Key::Old),
        why: "the data would stay sealed",
    },
    Followed {
        subject: DATA,
        by: Kind("compare"),
        why: "nobody would know whether everything is there",
    },
];

/// What there must be once, no more and no less: one of the kinds of each.
pub(super) const ONCE: &[&[&str]] = &[&["seal-source", "graft-snapshot"], SETTLES];

/// What has nothing left to do a second time.
pub(super) const AT_MOST_ONCE: &[&str] = &[
    "forsake-data",
    "init",
    "place-followers",
    "suspend-actors",
    "park-key",
    "write-tombstone",
    "final-copy",
    "replace-source",
    "return-key",
    "destroy-throwaway",
    "resume-actors",
];

impl Subject {
    /// Whether an action is meant; `earlier_flips` counts the flips before it.
    pub(super) fn is(self, action: &ActionSpec, earlier_flips: usize) -> bool {
        match self {
            Kind(kind) => action.kind() == kind,
            Unseal(key) => matches!(action, ActionSpec::Unseal { key: its, .. } if *its == key),
            FirstFlip => action.kind() == "flip" && earlier_flips == 0,
            OneOf(kinds) => kinds.contains(&action.kind()),
            Await(storage) => {
                matches!(action, ActionSpec::AwaitStorage { storage: its } if *its == storage)
            }
        }
    }

    /// As a message names it.
    pub(super) fn name(self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            OneOf(kinds) => return kinds.join("` or `").into(),
            Kind(kind) => kind,
            Unseal(Key::Old) => "unseal` with `key: old",
            Unseal(Key::Throwaway) => "unseal` with `key: throwaway",
            Unseal(Key::New) => "unseal` with `key: new",
            FirstFlip => "flip",
            Await(StorageKind::File) => "await-storage` with `storage: file",
            Await(StorageKind::Pebbledb) => "await-storage` with `storage: pebbledb",
            Await(StorageKind::Raft) => "await-storage` with `storage: raft",
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use super::*;

    fn named(subjects: &[Subject]) -> String {
        let each: Vec<String> = subjects
            .iter()
            .map(|it| format!("`{}`", it.name()))
            .collect();
        each.join(", ")
    }

    /// The rules as Markdown.
    fn tables() -> String {
        let mut out = String::new();
        let mut table = |head: &str, rows: Vec<(String, String, &str)>| {
            let _ = write!(out, "\n| Action | {head} | Because |\n|---|---|---|\n");
            for (subject, other, why) in rows {
                let _ = writeln!(out, "| {subject} | {other} | {why} |");
            }
        };
        let after = AFTER.iter().map(|it| {
            let first = if it.subject == FirstFlip {
                "the first "
            } else {
                ""
            };
            let subject = format!("{first}{}", named(&[it.subject]));
            (subject, named(it.after), it.why)
        });
        table("Must come after", after.collect());
        let before = BEFORE
            .iter()
            .map(|it| (named(&[it.subject]), named(&[it.before]), it.why));
        table("Must come before", before.collect());
        let followed = FOLLOWED
            .iter()
            .map(|it| (named(&[it.subject]), named(&[it.by]), it.why));
        table("Must be followed by", followed.collect());
        let kinds = |kinds: &[&'static str], between: &str| -> String {
            let each: Vec<String> = kinds.iter().map(|it| format!("`{it}`")).collect();
            each.join(between)
        };
        let once: Vec<String> = ONCE.iter().map(|it| kinds(it, " or ")).collect();
        let _ = write!(
            out,
            "\n- Once, no more and no less: {}.\n- At most once: {}.\n",
            once.join(", "),
            kinds(AT_MOST_ONCE, ", ")
        );
        out
    }

    /// `UPDATE=1` writes them anew.
    #[test]
    fn the_documented_rules_are_these() {
        const BEGIN: &str = "<!-- rules, from src/runbook/order.rs -->\n";
        const END: &str = "\n<!-- end of rules -->";
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/runbook-format.md");
        let text = std::fs::read_to_string(path).unwrap();
        let (head, rest) = text.split_once(BEGIN).unwrap();
        let (committed, tail) = rest.split_once(END).unwrap();
        if std::env::var_os("UPDATE").is_some() {
            let fresh = format!("{head}{BEGIN}{}{END}{tail}", tables());
            std::fs::write(path, fresh).unwrap();
            return;
        }
        assert!(committed == tables(), "run with UPDATE=1:\n{}", tables());
    }
}
