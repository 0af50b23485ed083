//! Which action must come before which, as a table.

use crate::action::{ActionSpec, Key};

/// What a rule is about: actions of a kind, some with a certain parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Subject {
    /// Every action of this kind.
    Kind(&'static str),
    /// `unseal` with this key.
    Unseal(Key),
    /// The first `flip` alone: later ones only add members.
    FirstFlip,
    /// What brings the source's data: one of [`BRING_DATA`].
    Data,
}

use Subject::{Data, FirstFlip, Kind, Unseal};

/// The kinds that bring the source's data.
const BRING_DATA: &[&str] = &["restore", "operator-migrate"];

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
        subject: Kind("read-keys"),
        after: &[Kind("preflight")],
        why: "what the source is must be known before its keys are looked at",
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
        subject: FirstFlip,
        after: &[Kind("final-copy")],
        why: "the data must be copied before anything else starts on the volume",
    },
    Rule {
        subject: Kind("init"),
        after: &[Kind("seal-source"), Kind("flip"), Kind("replace-source")],
        why: "only an empty raft node may be initialised",
    },
    Rule {
        subject: Kind("restore"),
        after: &[Kind("prove"), Kind("final-copy"), Kind("init")],
        why: "there must be a proven snapshot, and a throwaway cluster to restore it into",
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
        after: &[Data],
        why: "the old key opens nothing before the old data is there",
    },
    Rule {
        subject: Kind("move-namespaces"),
        after: &[Kind("restore")],
        why: "there is nothing to move before the data is restored",
    },
    Rule {
        subject: Kind("return-key"),
        after: &[Kind("park-key"), Data],
        why: "the old key is parked until the old data is there",
    },
    Rule {
        subject: Kind("destroy-throwaway"),
        after: &[Data],
        why: "the throwaway keys and the parked copy are needed until the old data is there",
    },
    Rule {
        subject: Kind("compare"),
        after: &[Data],
        why: "there is nothing to compare before the old data is there",
    },
    Rule {
        subject: Kind("compare-tables"),
        after: &[Data],
        why: "there is nothing to compare before the old data is there",
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
        subject: Kind("park-key"),
        before: Kind("seal-source"),
        why: "the auto-unseal hook would open the source again",
    },
];

/// What must not be left open.
pub(super) const FOLLOWED: &[Followed] = &[
    Followed {
        subject: Kind("park-key"),
        by: Kind("return-key"),
        why: "the key would never come back",
    },
    Followed {
        subject: Kind("park-key"),
        by: Kind("destroy-throwaway"),
        why: "the parked copy of the key would be left behind",
    },
    Followed {
        subject: Kind("suspend-actors"),
        by: Kind("resume-actors"),
        why: "jobs of the release would stay suspended",
    },
    Followed {
        subject: Kind("init"),
        by: Kind("destroy-throwaway"),
        why: "the throwaway keys would be left behind",
    },
    Followed {
        subject: Kind("init"),
        by: Kind("restore"),
        why: "a throwaway cluster is there to be restored into",
    },
    Followed {
        subject: Kind("operator-migrate"),
        by: Kind("replace-source"),
        why: "the source is stopped for it and would stay so",
    },
    Followed {
        subject: Data,
        by: Unseal(Key::Old),
        why: "the data would stay sealed",
    },
    Followed {
        subject: Data,
        by: Kind("compare"),
        why: "nobody would know whether everything is there",
    },
];

/// What there must be once, no more and no less: one of the kinds of each.
pub(super) const ONCE: &[&[&str]] = &[&["seal-source"], BRING_DATA];

/// What there may be once; what needs it says so.
pub(super) const AT_MOST_ONCE: &[&str] = &["init"];

impl Subject {
    /// Whether an action is meant; `earlier_flips` counts the flips before it.
    pub(super) fn is(self, action: &ActionSpec, earlier_flips: usize) -> bool {
        match self {
            Kind(kind) => action.kind() == kind,
            Unseal(key) => matches!(action, ActionSpec::Unseal { key: its, .. } if *its == key),
            FirstFlip => action.kind() == "flip" && earlier_flips == 0,
            Data => BRING_DATA.contains(&action.kind()),
        }
    }

    /// As a message names it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Kind(kind) => kind,
            Unseal(Key::Old) => "unseal` with `key: old",
            Unseal(Key::Throwaway) => "unseal` with `key: throwaway",
            FirstFlip => "flip",
            Data => "restore` or `operator-migrate",
        }
    }
}
