//! What is written about runbooks holds of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use baoctl::event::Effect;
use baoctl::runbook::{EMBEDDED, Loaded, schema};

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("docs")
        .join(name)
}

fn text(name: &str) -> String {
    std::fs::read_to_string(path(name)).unwrap()
}

fn example() -> Loaded {
    Loaded::file(&path("examples/with-change-record.yaml")).unwrap()
}

#[test]
fn every_kind_of_action_is_in_the_table_with_its_parameters() {
    let format = text("runbook-format.md");
    let schema = schema();
    let forms = schema.pointer("/$defs/ActionSpec/oneOf").unwrap();
    let mut kinds = 0;
    for form in forms.as_array().unwrap() {
        let Some(properties) = form["properties"].as_object() else {
            continue;
        };
        let (kind, parameters) = properties.iter().next().unwrap();
        let row = format
            .lines()
            .find(|line| line.starts_with(&format!("| `{kind}` |")));
        let row = row.unwrap_or_else(|| panic!("`{kind}` is not in docs/runbook-format.md"));
        let named: Vec<&str> = row.split('|').collect();
        let fields = parameters["properties"].as_object();
        for field in fields.into_iter().flat_map(|it| it.keys()) {
            assert!(named[2].contains(&format!("`{field}`")), "{kind}: {field}");
        }
        kinds += 1;
    }
    assert!(kinds > 20);
}

#[test]
fn the_table_tells_the_effect_of_each_action() {
    let books = EMBEDDED.map(|(name, _)| Loaded::named(name).unwrap());
    let effects: BTreeMap<&str, Effect> = books
        .iter()
        .flat_map(|book| book.runbook.actions())
        .map(|(_, _, action)| (action.kind(), action.effect()))
        .collect();
    let format = text("runbook-format.md");
    let (_, actions) = format.split_once("\n## Actions\n").unwrap();
    for (kind, effect) in effects {
        let row = actions
            .lines()
            .find(|line| line.starts_with(&format!("| `{kind}` |")));
        let told = row.unwrap().split('|').nth(3).unwrap().trim();
        let word = match effect {
            Effect::Read => "read",
            Effect::Change => "change",
            Effect::Outage => "outage",
            Effect::NoBlindRepeat => "no blind repeat",
        };
        assert!(told.starts_with(word), "{kind}: {told} is not {word}");
    }
}

#[test]
fn the_steps_that_the_page_shows_are_those_of_the_example() {
    let page = text("runbooks.md");
    let whole = text("examples/with-change-record.yaml");
    let shown: Vec<&str> = page
        .split("```yaml\n")
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap())
        .collect();
    assert_eq!(shown.len(), 3);
    for yaml in shown {
        assert!(whole.contains(yaml), "not in the example:\n{yaml}");
    }
}

/// It is the fast runbook, and stays it.
#[test]
fn the_example_is_the_fast_runbook_with_two_steps_more() {
    let example = example();
    assert_eq!(example.warnings, []);
    let mut steps = example.runbook.steps;
    steps.retain(|step| !["announce", "agree"].contains(&step.id.as_str()));
    assert_eq!(
        steps,
        Loaded::named("migrate-raft-fast").unwrap().runbook.steps
    );
}
