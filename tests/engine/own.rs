//! Steps of one's own: programs that the engine runs, and pauses for a person.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::scripted::{Consent, Doom, Ended, Fate, Lab, everywhere, in_virtual_time};
use baoctl::engine::{Back, End, Error};
use baoctl::event::Tier;
use baoctl::journal::{Journal, Record};
use baoctl::runbook::EMBEDDED;

/// What the program of the tests does by its first argument; each effect is a line in a file.
const PROGRAM: &str = r#"#!/bin/sh
case "$1" in
act) echo "$BAOCTL_STEP of $BAOCTL_RELEASE in $BAOCTL_NAMESPACE" >>acted; echo "the password is hunter2" ;;
acted) test -f acted ;;
undo) echo undone >>undone ;;
fail) echo tried >>acted; echo "no way" >&2; exit 3 ;;
hang) echo $$ >acted; sleep 60 & wait ;;
ignore) trap '' TERM; echo $$ >acted; sleep 60 & wait; wait ;;
input) cat; env >acted ;;
background) sleep 60 & echo "$!" >acted ;;
flood) head -c 3000000 /dev/zero | tr '\0' 'x'; echo done >>acted ;;
esac
"#;

/// A folder with a runbook that has a step of one's own, and its program.
struct Own {
    folder: tempfile::TempDir,
}

impl Own {
    /// With these actions in a step `own` right before the outage.
    fn new(actions: &str) -> Self {
        let step = format!(
            "  - id: own\n    title: A step of one's own\n    rollback: as its program says\n    actions:\n{actions}"
        );
        Self::of(
            &EMBEDDED[1]
                .1
                .replace("  - id: apply\n", &format!("{step}\n  - id: apply\n")),
        )
    }

    fn of(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("own.yaml"), text).unwrap();
        let program = folder.path().join("program");
        std::fs::write(&program, PROGRAM).unwrap();
        let runs = std::fs::Permissions::from_mode(0o700);
        std::fs::set_permissions(program, runs).unwrap();
        Self { folder }
    }

    fn command(more: &str) -> Self {
        Self::new(&format!("      - command: {{title: act, {more}}}\n"))
    }

    fn lab(&self) -> Lab {
        Lab::new(self.path("own.yaml").to_str().unwrap(), (1, 1))
    }

    /// The same that goes no further than its own step.
    fn short(&self) -> Lab {
        self.lab().ranged(None, Some("own"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn lines(&self, name: &str) -> Vec<String> {
        let text = std::fs::read_to_string(self.path(name)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}

fn go(lab: &Lab) -> Ended {
    in_virtual_time(lab.process(&Arc::new(Fate::kind())))
}

/// The same to a good end.
fn finish(lab: &Lab) {
    in_virtual_time(async {
        let ended = lab.process(&Arc::new(Fate::kind())).await;
        assert!(ended.finished(), "{}", ended.words());
        lab.check();
    });
}

fn kept(lab: &Lab) -> String {
    let file = lab.journal_path().with_file_name("commands/own-0.log");
    let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&file), 0o600);
    assert_eq!(mode(file.parent().unwrap()), 0o700);
    std::fs::read_to_string(file).unwrap()
}

fn journal(lab: &Lab) -> String {
    std::fs::read_to_string(lab.journal_path()).unwrap()
}

const CHECKED: &str =
    "run: [./program, act], effect: change, check: [./program, acted], undo: [./program, undo]";
const BARE: &str = "run: [./program, act], effect: change";

#[test]
fn a_program_runs_once_and_its_output_stays_out_of_the_journal() {
    let own = Own::command(BARE);
    let lab = own.lab();
    finish(&lab);
    assert_eq!(own.lines("acted"), ["own of openbao in vault"]);
    let kept = kept(&lab);
    assert!(
        kept.contains(": ./program act\nthe password is hunter2\n"),
        "{kept}"
    );
    assert!(!journal(&lab).contains("hunter2"));
    assert!(journal(&lab).contains("exit code 0, 24 bytes printed, kept in "));
    let heard = lab.heard();
    assert!(
        heard.contains(&"finished: command: Done".to_owned()),
        "{heard:?}"
    );
}

#[test]
fn a_crash_anywhere_runs_a_program_with_a_check_once() {
    let fate = Arc::new(Fate::kind());
    let own = Own::command(CHECKED);
    in_virtual_time(async {
        assert!(own.lab().process(&fate).await.finished());
    });
    let points = fate.points();
    let at = |what: &str| points.iter().position(|it| it.ends_with(what)).unwrap();
    let around = at("step started: own") - 2..at("started: seal-source");
    assert!(around.len() > 8);
    everywhere(around, &points, |point| {
        let own = Own::command(CHECKED);
        let lab = own.lab();
        in_virtual_time(async {
            let doomed = Arc::new(Fate::at(point, Doom::Die));
            if !matches!(lab.process(&doomed).await, Ended::Killed) {
                return Err("it did not die".to_owned());
            }
            let ended = lab.process(&Arc::new(Fate::kind())).await;
            if !ended.finished() {
                return Err(ended.words());
            }
            lab.check();
            Ok(())
        })?;
        assert_eq!(own.lines("acted").len(), 1);
        Ok(())
    });
}

/// Without a check nobody knows what became of it: it is asked for, and a no changes nothing.
#[test]
fn a_program_without_a_check_that_was_cut_off_is_not_run_again_unasked() {
    for agreed in [false, true] {
        let own = Own::command(BARE);
        let mut lab = own.short();
        lab.consent = Consent::NotToRedo;
        let fate = Arc::new(Fate::kind());
        in_virtual_time(own.short().process(&fate));
        std::fs::remove_file(own.path("acted")).unwrap();
        let points = fate.points();
        let point = points
            .iter()
            .position(|it| it.contains("finished: command"));
        in_virtual_time(async {
            let doomed = Arc::new(Fate::at(point.unwrap(), Doom::Die));
            assert!(matches!(lab.process(&doomed).await, Ended::Killed));
        });
        if agreed {
            lab.consent = Consent::Always;
        }
        let ended = go(&lab);
        let question = lab.asked().pop().unwrap();
        assert_eq!(
            question.ask,
            "own, command: begin it anew, over what an earlier try left?"
        );
        assert_eq!(question.tier, Tier::TypeName("vault".to_owned()));
        assert!(question.consequences[0].contains("commands/own-0.log has"));
        if agreed {
            assert_eq!(ended.words(), "Reached(\"own\")");
            assert_eq!(own.lines("acted").len(), 2);
        } else {
            assert!(matches!(ended, Ended::Itself(Err(Error::Declined { .. }))));
            assert_eq!(own.lines("acted").len(), 1);
        }
    }
}

#[test]
fn one_that_only_reads_is_run_again_without_a_question() {
    let own = Own::command("run: [./program, fail], effect: read");
    let lab = own.short();
    for times in 1..=2 {
        let said = go(&lab).words();
        assert!(
            said.contains("own: command: `./program fail` ended with exit status: 3"),
            "{said}"
        );
        assert!(said.contains("7 bytes that it printed are in"), "{said}");
        assert!(!said.contains("no way"), "{said}");
        assert_eq!(own.lines("acted").len(), times);
    }
    assert!(kept(&lab).contains("no way"));
    assert!(!journal(&lab).contains("no way"));
    assert!(lab.asked().iter().all(|it| it.step != "own"));
}

#[test]
fn a_check_that_says_no_after_it_is_an_error() {
    let own = Own::command("run: ['true'], effect: change, check: [./program, acted]");
    let said = go(&own.short()).words();
    assert!(
        said.contains("ended well, but its effect is not there"),
        "{said}"
    );
}

#[test]
fn a_rollback_runs_its_undo() {
    let own = Own::command(CHECKED);
    let mut lab = own.lab().ranged(None, Some("apply"));
    go(&lab);
    lab.back = Some(Back::default());
    let ended = go(&lab);
    assert!(
        matches!(ended, Ended::Itself(Ok(End::RolledBack))),
        "{}",
        ended.words()
    );
    lab.check_back();
    assert_eq!(own.lines("undone"), ["undone"]);
    assert_eq!(own.lines("acted").len(), 1);
}

#[test]
fn a_program_that_is_not_there_is_missed_before_anything_is_done() {
    for actions in [
        "      - command: {title: act, run: [./no-such-program], effect: change}\n",
        "      - command: {title: act, run: [./program, act], effect: change, undo: [no-such-program]}\n",
    ] {
        let own = Own::new(actions);
        let lab = own.lab();
        for said in [
            go(&lab).words(),
            in_virtual_time(lab.dry_run(&Arc::new(Fate::kind())))
                .unwrap_err()
                .to_string(),
        ] {
            assert!(said.starts_with("own: command: "), "{said}");
            assert!(
                said.contains("no-such-program") && said.contains("put it there"),
                "{said}"
            );
        }
        assert!(lab.state().actions().is_empty());
        assert!(lab.heard().is_empty());
    }
}

#[test]
fn a_dry_run_runs_no_program_and_looks_on_behind_one_that_reads() {
    let reads = "      - command: {title: look, run: [./program, act], effect: read}\n";
    let text = EMBEDDED[1].1.replacen(
        "      - preflight: {}\n",
        &format!("{reads}      - preflight: {{}}\n"),
        1,
    );
    let own = Own::of(&text);
    let lab = own.lab();
    in_virtual_time(lab.dry_run(&Arc::new(Fate::kind()))).unwrap();
    let heard = lab.heard();
    assert!(
        heard.contains(&"finished: command: WouldRun".to_owned()),
        "{heard:?}"
    );
    assert!(
        heard.contains(&"finished: preflight: AlreadyDone".to_owned()),
        "{heard:?}"
    );
    assert!(own.lines("acted").is_empty());

    let own = Own::command(CHECKED);
    let lab = own.lab();
    in_virtual_time(lab.dry_run(&Arc::new(Fate::kind()))).unwrap();
    assert!(!lab.journal_path().with_file_name("commands").exists());
}

/// A dry run refuses what a run refuses.
#[test]
fn a_range_that_cannot_be_run_is_refused() {
    let own = Own::command(BARE);
    for (until, words) in [
        (Some("snapshot"), "nothing would be run"),
        (None, "a run cannot begin behind it"),
    ] {
        let lab = own.lab().ranged(Some("own"), until);
        let refused = in_virtual_time(lab.dry_run(&Arc::new(Fate::kind())));
        let why = refused.unwrap_err().to_string();
        assert!(why.contains(words), "{why}");
        assert!(lab.heard().is_empty());
    }
}

fn runs(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
    // One that nobody has waited for is dead as well.
    stat.is_ok_and(|stat| {
        !stat
            .rsplit_once(')')
            .unwrap()
            .1
            .trim_start()
            .starts_with('Z')
    })
}

#[test]
fn one_that_takes_too_long_is_killed_with_all_that_it_started() {
    for (program, seconds) in [("hang", 4), ("ignore", 15)] {
        let own = Own::command(&format!(
            "run: [./program, {program}], effect: change, timeout: 1"
        ));
        let begun = Instant::now();
        let said = go(&own.short()).words();
        assert!(
            said.contains("did not end within 1s and was killed"),
            "{said}"
        );
        assert!(begun.elapsed() < Duration::from_secs(seconds));
        assert!(!runs(&own.lines("acted")[0]));
    }
}

#[test]
fn a_second_signal_kills_it_and_the_first_does_not() {
    let own = Own::command("run: [./program, hang], effect: change, timeout: 30");
    let lab = own.short();
    let fate = Arc::new(Fate::kind());
    let (interrupt, acted) = (fate.interrupt.clone(), own.path("acted"));
    let signals = std::thread::spawn(move || {
        while !std::fs::read_to_string(&acted).is_ok_and(|it| it.ends_with('\n')) {
            std::thread::sleep(Duration::from_millis(10));
        }
        let pid = std::fs::read_to_string(&acted).unwrap();
        interrupt.raise(2);
        std::thread::sleep(Duration::from_millis(200));
        assert!(runs(&pid), "one signal killed it");
        interrupt.raise(2);
        pid
    });
    let ended = in_virtual_time(lab.process(&fate));
    let midway = matches!(
        ended,
        Ended::Itself(Err(Error::Interrupted { midway: true, .. }))
    );
    assert!(midway, "{}", ended.words());
    assert!(!runs(&signals.join().unwrap()));
}

#[test]
fn it_has_no_terminal_and_its_own_variables() {
    let own = Own::command("run: [./program, input], effect: change");
    assert_eq!(go(&own.short()).words(), "Reached(\"own\")");
    let variables = own.lines("acted");
    let names: Vec<&str> = variables
        .iter()
        .filter_map(|it| it.split_once('='))
        .map(|(name, _)| name)
        .filter(|name| name.starts_with("BAOCTL_") && *name != "BAOCTL_BAO")
        .collect();
    for name in ["CONTEXT", "NAMESPACE", "PLATFORM", "RELEASE", "RUN", "STEP"] {
        assert!(names.contains(&format!("BAOCTL_{name}").as_str()), "{name}");
    }
    assert!(variables.iter().all(|it| !it.contains("oldxxxxxxxxx0001")));
}

/// What it leaves behind in the background is not waited for, and not killed either.
#[test]
fn what_it_leaves_running_holds_nobody_up() {
    let own = Own::command("run: [./program, background], effect: change");
    let begun = Instant::now();
    assert_eq!(go(&own.short()).words(), "Reached(\"own\")");
    assert!(begun.elapsed() < Duration::from_secs(20));
    let pid = own.lines("acted").pop().unwrap();
    assert!(runs(&pid));
    let killed = std::process::Command::new("kill").arg(pid).status();
    assert!(killed.unwrap().success());
}

#[test]
fn a_flood_of_output_is_counted_and_kept_in_part() {
    let own = Own::command("run: [./program, flood], effect: change");
    let lab = own.short();
    assert_eq!(go(&lab).words(), "Reached(\"own\")");
    let length = kept(&lab).len();
    assert!(
        (1 << 20) - 5_000 < length && length < (1 << 20) + 1_000,
        "{length}"
    );
    assert!(journal(&lab).contains("3000000 bytes printed, kept in part in"));
}

fn confirmed(lab: &Lab, say: &str) -> usize {
    let records = lab.records().into_iter();
    records
        .filter(|it| matches!(it, Record::Confirmed { asked, .. } if asked == say))
        .count()
}

#[test]
fn a_crash_anywhere_around_a_pause_asks_once_more_only_when_it_was_not_answered() {
    const ASK: &str = "Has the board agreed?";
    let pause = format!("      - pause: {{say: '{ASK}'}}\n");
    let own = Own::new(&pause);
    let fate = Arc::new(Fate::kind());
    in_virtual_time(async {
        assert!(own.lab().process(&fate).await.finished());
    });
    let points = fate.points();
    let at = |what: &str| points.iter().position(|it| it.ends_with(what)).unwrap();
    let around = at("step started: own") - 1..at("started: suspend-actors");
    everywhere(around, &points, |point| {
        let lab = own.lab();
        in_virtual_time(async {
            lab.process(&Arc::new(Fate::at(point, Doom::Die))).await;
            lab.process(&Arc::new(Fate::kind())).await;
            lab.check();
        });
        assert_eq!(confirmed(&lab, ASK), 1);
        let questions = lab.asked();
        let pauses: Vec<_> = questions.iter().filter(|it| it.ask == ASK).collect();
        assert_eq!(pauses.len(), 1);
        assert_eq!(pauses[0].tier, Tier::InPerson);
        Ok(())
    });
}

/// Killed right behind the record of the answer.
#[test]
fn an_answer_counts_from_its_record_on() {
    let own = Own::new("      - pause: {say: 'Agreed?'}\n");
    let lab = own.short();
    go(&lab);
    let mut records = lab.records();
    let answered =
        |it: &Record| matches!(it, Record::Confirmed { asked, .. } if asked == "Agreed?");
    records.truncate(records.iter().position(answered).unwrap() + 1);
    let mut records = records.into_iter();
    let Some(Record::Started(header)) = records.next() else {
        panic!("a journal begins with a start");
    };
    std::fs::remove_file(lab.journal_path()).unwrap();
    let mut journal = Journal::create(&lab.journal_path(), header).unwrap();
    records.for_each(|it| journal.append(it).map(drop).unwrap());
    drop(journal);
    assert_eq!(go(&lab).words(), "Reached(\"own\")");
    assert_eq!(
        lab.asked().iter().filter(|it| it.ask == "Agreed?").count(),
        1
    );
}

#[test]
fn a_no_to_a_pause_ends_the_run_and_it_is_asked_again() {
    let own = Own::new("      - pause: {say: 'Agreed?', skippable: true}\n");
    let mut lab = own.lab();
    lab.consent = Consent::NotTo("own");
    for _ in 0..2 {
        let ended = go(&lab);
        assert!(
            matches!(ended, Ended::Itself(Err(Error::Declined { .. }))),
            "{}",
            ended.words()
        );
        assert_eq!(confirmed(&lab, "Agreed?"), 0);
    }
    assert_eq!(lab.asked().last().unwrap().tier, Tier::YesNo);
    assert!(lab.state().outage_started().is_none());
    lab.consent = Consent::Always;
    finish(&lab);
}

/// A restore that is cleared takes the answer back with everything else.
#[test]
fn what_stands_in_a_step_that_is_rewound_is_done_again() {
    let text = EMBEDDED[1].1.replacen(
        "      - init: {}\n",
        "      - init: {}\n      - command: {title: act, run: [./program, act], effect: change}\n      - pause: {say: 'Agreed?'}\n",
        1,
    );
    let own = Own::of(&text);
    let lab = own.lab();
    lab.world().mishap = Some(crate::scripted::Mishap::LeaderDies);
    finish(&lab);
    assert!(lab.heard().contains(&"rewound to init".to_owned()));
    assert_eq!(own.lines("acted").len(), 2);
    assert_eq!(confirmed(&lab, "Agreed?"), 2);
    assert!(lab.asked().iter().any(|it| it.ask == "Agreed?"
        && it.consequences[0].starts_with("the outage goes on until this is answered")));
}
