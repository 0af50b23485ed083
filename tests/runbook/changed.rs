//! A runbook that changed under a run.

use crate::journal::{folder, header};
use baoctl::journal::{Journal, Record};
use baoctl::runbook::{EMBEDDED, Runbook};

#[test]
fn what_has_acted_must_stay_in_its_place() {
    let (_folder, path) = folder();
    let mut journal = Journal::create(&path, header()).unwrap();
    journal
        .intend(
            "record-keys",
            1,
            "prove",
            Vec::new(),
            std::collections::BTreeMap::new(),
        )
        .unwrap();
    journal
        .append(Record::Failed {
            step: "snapshot".into(),
            action: 2,
            kind: "never-acted".into(),
            why: String::new(),
        })
        .unwrap();
    let against = |text: &str| {
        let runbook = Runbook::parse(text, "r.yaml").unwrap();
        runbook.contradictions(journal.state())
    };
    let text = EMBEDDED[0].1;
    assert!(against(text).is_empty());
    let later = text.replace("      - await-storage: {storage: raft}\n", "");
    assert!(against(&later).is_empty());
    let shifted = text.replace("- read-keys", "- preflight\n      - read-keys");
    insta::assert_snapshot!(against(&shifted).join("\n"), @"action 1 of step `record-keys` was `prove` and is `read-keys` now");
    let renamed = text.replace("id: record-keys", "id: keys");
    insta::assert_snapshot!(against(&renamed).join("\n"), @"action 1 of step `record-keys` was `prove` and is gone");
}
