//! Plain lines, JSON lines, the report and the flags that answer questions, without a terminal.

use std::io::Write;
use std::sync::{Arc, Mutex};

use baoctl::event::{
    ActionStatus, Answer, By, CheckStatus, Effect, Event, Failure, Finding, Level, Observer,
    Operator, Question, RolledBack, StepStatus, Tier,
};
use baoctl::meter::Unit;
use baoctl::ui::{Clock, Json, Look, Plain, Prompt, Recorder, Sink, Verbosity, markdown};
use jiff::{SignedDuration, Timestamp};

/// A sink whose text can be read, and a clock that is moved by hand.
#[derive(Clone, Default)]
struct Paper(Arc<Mutex<Vec<u8>>>, Arc<Mutex<i64>>);

impl Paper {
    fn sink(&self) -> Sink {
        Sink::new(self.clone())
    }

    fn take(&self) -> String {
        String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap()
    }

    fn clock(&self) -> Clock {
        let millis = Arc::clone(&self.1);
        let base: Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
        Arc::new(move || base + SignedDuration::from_millis(*millis.lock().unwrap()))
    }

    fn pass(&self, millis: i64) {
        *self.1.lock().unwrap() += millis;
    }

    fn plain(&self, look: Look, verbosity: Verbosity) -> Plain {
        Plain::new(self.sink(), self.sink(), self.clock(), look, verbosity)
    }
}

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A pipe that nobody reads any more.
struct Closed;

impl Write for Closed {
    fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
        Err(std::io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Err(std::io::ErrorKind::BrokenPipe.into())
    }
}

fn progress(unit: Unit, done: u64, total: Option<u64>) -> Event {
    Event::Progress {
        step: "apply".to_owned(),
        action: "convert".to_owned(),
        unit,
        done,
        total,
    }
}

fn full() -> Finding {
    Finding {
        id: "disk".to_owned(),
        group: "Room".to_owned(),
        status: CheckStatus::Fail,
        message: "full".to_owned(),
        hint: "grow".to_owned(),
    }
}

/// One of each kind.
fn every_event() -> Vec<Event> {
    let (step, action) = (|| "apply".to_owned(), || "convert".to_owned());
    vec![
        crate::scene::banner(),
        crate::scene::plan(),
        Event::StepStarted {
            step: step(),
            title: "Move to raft".to_owned(),
            effect: Effect::Outage,
            index: 3,
            of: 9,
        },
        Event::ActionStarted {
            step: step(),
            action: action(),
            title: "Convert the copy".to_owned(),
        },
        Event::Calls {
            step: step(),
            action: action(),
            calls: vec!["PUT /v1/sys/seal".to_owned()],
        },
        progress(Unit::Bytes, 5, Some(10)),
        Event::Waiting {
            step: step(),
            action: action(),
            what: "2 of 3 voters".to_owned(),
        },
        Event::Check(full()),
        Event::Note {
            level: Level::Warn,
            message: "a\nb\u{1b}[2J".to_owned(),
        },
        Event::ActionFinished {
            step: step(),
            action: action(),
            status: ActionStatus::AlreadyDone,
            seconds: 0.5,
            summary: "as of 11:58".to_owned(),
        },
        Event::StepFinished {
            step: step(),
            status: StepStatus::Done,
            seconds: 61.0,
        },
        Event::OutageStarted,
        Event::OutageEnded {
            seconds: 43.21,
            at_least: None,
        },
        Event::Retry {
            step: step(),
            action: action(),
            attempt: 2,
            why: "reset".to_owned(),
        },
        Event::Rewound {
            from: "restore".to_owned(),
            to: "join".to_owned(),
            why: "no raft files".to_owned(),
        },
        Event::Failed(Failure {
            step: Some(step()),
            message: "no".to_owned(),
            checks: vec![full()],
            changed: "nothing".to_owned(),
            next: vec!["baoctl resume".to_owned()],
            exit_code: 7,
        }),
        Event::RolledBack(RolledBack {
            now: "the source serves from its old storage as before".to_owned(),
            why: "the outage is longer than the 5s that were agreed to".to_owned(),
            outage_seconds: Some(7.5),
            outage_at_least: None,
            left: vec!["raft files lie aside".to_owned()],
        }),
        crate::scene::summary(),
    ]
}

#[test]
fn json_lines_are_as_documented() {
    let paper = Paper::default();
    let json = Json::new(paper.sink(), paper.clock());
    for event in every_event() {
        json.observe(&event);
    }
    insta::assert_snapshot!(paper.take(), @r#"
    {"version":1,"time":"2026-03-01T12:00:00.000Z","event":"banner","baoctl":"0.1.0","run":"2026-03-01-1f0c","mode":"live","runbook":"migrate-raft","target":{"platform":"kubernetes","context":"prod-eu-central","namespace":"openbao-prod","release":"openbao","uid":"7c3d4f0a-1f2e-4a7b-9d2f-0a4f5b6c7d8e"},"server":"https://openbao.openbao-prod.svc:8200","journal":"/home/ops/.local/state/baoctl/openbao-prod/2026-03-01-1f0c.journal","resumed":false}
    {"version":1,"time":"2026-03-01T12:00:00.000Z","event":"plan","steps":[{"id":"snapshot","title":"Check everything below and make two backups","effect":"read","status":"done","rollback":"nothing to roll back","actions":[]},{"id":"record-keys","title":"Prove the unseal shares on a scratch node that decrypts every entry of a copy","effect":"change","status":"pending","rollback":"the scratch node is removed","actions":[]},{"id":"apply","title":"Seal the source, convert its data and start the release on raft","effect":"outage","status":"pending","rollback":"at any time: `baoctl rollback` starts the untouched file storage again","actions":[]},{"id":"init","title":"Initialise openbao-0 once","effect":"no-blind-repeat","status":"pending","rollback":"until the first write on raft","actions":[]}],"outage_seconds":95.0,"no_blind_repeat_from":"init","notes":["migrate-raft-fast.yaml restores before the followers join: the same actions, an outage that is about 40 s shorter"]}
    {"version":1,"time":"2026-03-01T12:00:00.000Z","event":"step-started","step":"apply","title":"Move to raft","effect":"outage","index":3,"of":9}
    {"version":1,"time":"2026-03-01T12:00:00.000Z","event":"action-started","step":"apply","action":"convert","title":"Convert the copy"}
    {"version":1,"time":"2026-03-01T12:00:00.000Z","event":"calls","step":"apply","action":"convert","calls":["PUT /v1/sys/seal"]}
    {"version":1,"time":"2026-03-01T12:00:00.000Z","event":"progress","step":"apply","action":"convert","unit":"bytes","done":5,"total":10}
    {"version":1,"time":"2026-03-01T12:00:00.000Z","event":"waiting","step":"apply","action":"convert","what":"2 of 3 voters"}
    {"version":1,"time":"2026-03-01T12:00:00.000Z","event":"check","id":"disk","group":"Room","status":"fail","message":"full","hint":"grow"}
    {"version":1,"time":"2026-03-01T12:00:00.000Z","event":"note","level":"warn","message":"a\nb\u001b[2J"}
    {"version":1,"time":"2026-03-01T12:00:00.000Z","event":"action-finished","step":"apply","action":"convert","status":"already-done","seconds":0.5,"summary":"as of 11:58"}
    {"version":1,"time":"2026-03-01T12:00:00.000Z","event":"step-finished","step":"apply","status":"done","seconds":61.0}
    {"version":1,"time":"2026-03-01T12:00:00.000Z","event":"outage-started"}
    {"version":1,"time":"2026-03-01T12:00:00.000Z","event":"outage-ended","seconds":43.21}
    {"version":1,"time":"2026-03-01T12:00:00.000Z","event":"retry","step":"apply","action":"convert","attempt":2,"why":"reset"}
    {"version":1,"time":"2026-03-01T12:00:00.000Z","event":"rewound","from":"restore","to":"join","why":"no raft files"}
    {"version":1,"time":"2026-03-01T12:00:00.000Z","event":"failed","step":"apply","message":"no","checks":[{"id":"disk","group":"Room","status":"fail","message":"full","hint":"grow"}],"changed":"nothing","next":["baoctl resume"],"exit_code":7}
    {"version":1,"time":"2026-03-01T12:00:00.000Z","event":"rolled-back","now":"the source serves from its old storage as before","why":"the outage is longer than the 5s that were agreed to","outage_seconds":7.5,"left":["raft files lie aside"]}
    {"version":1,"time":"2026-03-01T12:00:00.000Z","event":"summary","entries":12345,"parity":{"identical":12300,"rewritten":30,"new":12,"volatile":9,"written":4,"deleted":1,"expired":6,"missing":0,"unexplained":0},"compared":["openbao-0","openbao-1","openbao-2"],"outage_seconds":43.21,"outage_parts":[["seal",0.4],["copy",12.1],["convert",0.8],["start raft",18.0],["restore",11.91]],"expected":{"seconds":40.0,"server":31.5},"steps":[{"id":"snapshot","status":"done","seconds":31.0},{"id":"record-keys","status":"done","seconds":12.3},{"id":"apply","status":"done","seconds":51.2},{"id":"init","status":"skipped","seconds":0.0}],"left":["the old file tree on the volume of openbao-0, your way back until you remove it"],"report":"/home/ops/.local/state/baoctl/openbao-prod/2026-03-01-1f0c.md","journal":"/home/ops/.local/state/baoctl/openbao-prod/2026-03-01-1f0c.journal","facts":{"cluster id":"5e0c6f6e-0000-4000-8000-c0ffee"}}
    "#);
}

#[test]
fn json_progress_is_thinned_out_but_ends_with_the_end() {
    let paper = Paper::default();
    let json = Json::new(paper.sink(), paper.clock());
    for done in 0..=30 {
        json.observe(&progress(Unit::Entries, done, Some(30)));
        paper.pass(100);
    }
    let text = paper.take();
    let seen: Vec<u64> = text
        .lines()
        .map(|line| {
            serde_json::from_str::<serde_json::Value>(line).unwrap()["done"]
                .as_u64()
                .unwrap()
        })
        .collect();
    assert_eq!(seen, [0, 10, 20, 30]);
}

#[test]
fn plain_lines_can_be_found() {
    let paper = Paper::default();
    let plain = paper.plain(Look::BARE, Verbosity::Verbose);
    for event in every_event() {
        plain.observe(&event);
    }
    insta::assert_snapshot!(paper.take(), @r#"
    12:00:00 run 2026-03-01-1f0c: migrate-raft with baoctl 0.1.0 (live)
    12:00:00 target: platform=kubernetes context=prod-eu-central server=https://openbao.openbao-prod.svc:8200 namespace=openbao-prod release=openbao cluster=7c3d4f0a-1f2e-4a7b-9d2f-0a4f5b6c7d8e
    12:00:00 journal: /home/ops/.local/state/baoctl/openbao-prod/2026-03-01-1f0c.journal
    12:00:00 plan: 1 step done
    12:00:00 plan 2/4 record-keys: pending (change) Prove the unseal shares on a scratch node that decrypts every entry of a copy; rollback: the scratch node is removed
    12:00:00 plan 3/4 apply: pending (outage) Seal the source, convert its data and start the release on raft; rollback: at any time: `baoctl rollback` starts the untouched file storage again
    12:00:00 plan 4/4 init: pending (no blind repeat) Initialise openbao-0 once; rollback: until the first write on raft; from here nothing is repeated blindly
    12:00:00 plan: estimated outage about 1 min 35 s
    12:00:00 plan: migrate-raft-fast.yaml restores before the followers join: the same actions, an outage that is about 40 s shorter
    12:00:00 step apply: started (outage) [3/9] Move to raft
    12:00:00 action apply/convert: started: Convert the copy
    12:00:00 action apply/convert: call: PUT /v1/sys/seal
    12:00:00 action apply/convert: progress: 50 %, 5 B of 10 B
    12:00:00 action apply/convert: waiting: 2 of 3 voters
    12:00:00 check disk: fail [Room] full (hint: grow)
    12:00:00 warning: a | b�[2J
    12:00:00 action apply/convert: already done: as of 11:58
    12:00:00 step apply: done in 1 min 01 s
    12:00:00 outage: started, clients are not served
    12:00:00 outage: ended after 43.2 s
    12:00:00 action apply/convert: try 2 failed, trying again: reset
    12:00:00 step restore: going back to join: no raft files
    12:00:00 failed: step apply: no (exit code 7)
    error: step apply: no
    changed: nothing
    next:    baoctl resume
    12:00:00 rolled back: the source serves from its old storage as before
    12:00:00 why: the outage is longer than the 5s that were agreed to
    12:00:00 outage: 7.5 s
    12:00:00 left: raft files lie aside
    12:00:00 summary: entries=12345
    12:00:00 summary: parity identical=12300 rewritten=30 new=12 volatile=9 written=4 deleted=1 expired=6 missing=0 unexplained=0
    12:00:00 summary: voters compared: openbao-0 openbao-1 openbao-2
    12:00:00 summary: outage 43.2 s
    12:00:00 summary: outage in seal: 0.4 s
    12:00:00 summary: outage in copy: 12.1 s
    12:00:00 summary: outage in convert: 0.8 s
    12:00:00 summary: outage in start raft: 18.0 s
    12:00:00 summary: outage in restore: 11.9 s
    12:00:00 summary: outage expected: 40.0 s, of it 31.5 s the server's own: starts, init, restore, elections; it was 8 % longer than expected
    12:00:00 summary: step snapshot: done in 31.0 s
    12:00:00 summary: step record-keys: done in 12.3 s
    12:00:00 summary: step apply: done in 51.2 s
    12:00:00 summary: step init: skipped
    12:00:00 summary: cluster id: 5e0c6f6e-0000-4000-8000-c0ffee
    12:00:00 summary: left: the old file tree on the volume of openbao-0, your way back until you remove it
    12:00:00 summary: report: /home/ops/.local/state/baoctl/openbao-prod/2026-03-01-1f0c.md
    12:00:00 summary: journal: /home/ops/.local/state/baoctl/openbao-prod/2026-03-01-1f0c.journal
    "#);
}

#[test]
fn plain_progress_comes_with_each_quarter_or_ten_seconds() {
    let paper = Paper::default();
    let plain = paper.plain(Look::BARE, Verbosity::Normal);
    plain.observe(&Event::ActionStarted {
        step: "apply".to_owned(),
        action: "convert".to_owned(),
        title: String::new(),
    });
    for done in 0..=100 {
        plain.observe(&progress(Unit::Bytes, done, Some(100)));
        paper.pass(100);
    }
    assert_eq!(paper.take().matches("progress:").count(), 4);
    for _ in 0..30 {
        plain.observe(&progress(Unit::Entries, 7, None));
        paper.pass(1000);
    }
    assert_eq!(paper.take().matches("progress: 7 entries").count(), 2);
}

#[test]
fn quiet_keeps_what_must_be_known() {
    let paper = Paper::default();
    let plain = paper.plain(Look::BARE, Verbosity::Quiet);
    for event in every_event() {
        plain.observe(&event);
    }
    insta::assert_snapshot!(paper.take(), @r#"
    12:00:00 check disk: fail [Room] full (hint: grow)
    12:00:00 warning: a | b�[2J
    12:00:00 failed: step apply: no (exit code 7)
    error: step apply: no
    changed: nothing
    next:    baoctl resume
    12:00:00 rolled back: the source serves from its old storage as before
    done: 12345 entries, missing 0, unexplained 0, outage 43.2 s
    "#);
}

#[test]
fn forced_colours_reach_a_pipe() {
    let paper = Paper::default();
    let look = Look {
        color: true,
        unicode: false,
    };
    let plain = paper.plain(look, Verbosity::Normal);
    plain.observe(&Event::Note {
        level: Level::Warn,
        message: "\u{1b}[2J".to_owned(),
    });
    assert_eq!(
        paper.take(),
        "12:00:00 \u{1b}[33mwarning\u{1b}[0m: \u{fffd}[2J\n"
    );
}

#[test]
fn a_closed_pipe_stops_nothing() {
    let clock = Paper::default().clock();
    let plain = Plain::new(
        Sink::new(Closed),
        Sink::new(Closed),
        Arc::clone(&clock),
        Look::BARE,
        Verbosity::Normal,
    );
    let json = Json::new(Sink::new(Closed), clock);
    for event in every_event() {
        plain.observe(&event);
        json.observe(&event);
    }
}

#[test]
fn the_report_tells_the_run() {
    let paper = Paper::default();
    let recorder = Recorder::with_clock(paper.clock());
    for event in every_event() {
        recorder.observe(&event);
        paper.pass(1000);
    }
    let sums = [("backup.tar".to_owned(), "SHA-256 5f".to_owned())];
    insta::assert_snapshot!(markdown(&recorder.events(), &sums), @r#"
    # migrate-raft of openbao-prod

    | | |
    |---|---|
    | mode | live |
    | platform | kubernetes |
    | context | prod-eu-central |
    | server | https://openbao.openbao-prod.svc:8200 |
    | namespace | openbao-prod |
    | release | openbao |
    | cluster uid | 7c3d4f0a-1f2e-4a7b-9d2f-0a4f5b6c7d8e |
    | run | 2026-03-01-1f0c |
    | baoctl | 0.1.0 |
    | journal | /home/ops/.local/state/baoctl/openbao-prod/2026-03-01-1f0c.journal |
    | started | 2026-03-01 12:00:00 UTC |
    | ended | 2026-03-01 12:00:17 UTC |

    ## Outcome

    **Done.** Nothing is missing and every difference is explained. Entries in the source: 12345.

    Voters compared, each by a snapshot of its own store: openbao-0, openbao-1, openbao-2.

    ### Parity

    | Class | Entries | Meaning |
    |---|---:|---|
    | identical | 12300 | same key, same bytes |
    | rewritten | 30 | kept in another layout on raft, entries of both; compared through the API |
    | new | 12 | made by the server on raft |
    | volatile | 9 | added or changed by the server itself: tokens, leases, engines that write by themselves |
    | written | 4 | added or changed by clients since they are served again |
    | deleted | 1 | deleted by clients since they are served again |
    | expired | 6 | leases that were due |
    | missing | 0 | in the source and not in the cluster |
    | unexplained | 0 | different without a reason |

    ### Outage

    | Part | Time |
    |---|---:|
    | seal | 0.4 s |
    | copy | 12.1 s |
    | convert | 0.8 s |
    | start raft | 18.0 s |
    | restore | 11.9 s |
    | **all** | **43.2 s** |

    Expected: 40.0 s, of it 31.5 s the server's own: starts, init, restore, elections; it was 8 % longer than expected.

    ### Left

    - the old file tree on the volume of openbao-0, your way back until you remove it

    ### Facts

    | | |
    |---|---|
    | cluster id | 5e0c6f6e-0000-4000-8000-c0ffee |

    ### Sums

    | | |
    |---|---|
    | backup.tar | SHA-256 5f |

    ## Steps

    | # | Step | Effect | Status | Began (UTC) | Ended (UTC) | Time |
    |---:|---|---|---|---|---|---:|
    | 1 | snapshot: Check everything below and make two backups | read | taken back |  |  |  |
    | 2 | record-keys: Prove the unseal shares on a scratch node that decrypts every entry of a copy | change | pending |  |  |  |
    | 3 | apply: Seal the source, convert its data and start the release on raft | outage | taken back | 12:00:02 | 12:00:10 | 1 min 01 s |
    | 4 | init: Initialise openbao-0 once | no blind repeat | pending |  |  |  |

    ## Checks

    | Check | Group | Result | Found | To do |
    |---|---|---|---|---|
    | disk | Room | fail | full | grow |

    ## What was done

    ### apply: Move to raft

    - 12:00:04 convert: calls

      ```text
      PUT /v1/sys/seal
      ```

    - 12:00:09 Convert the copy: already done: as of 11:58
    - 12:00:11 **the outage began**
    - 12:00:12 **the outage was over** after 43.2 s
    - 12:00:13 convert: try 2 failed, tried again: reset
    - 12:00:14 went back from restore to join: no raft files
    - 12:00:15 **stopped**: no

    ## Notes and warnings

    - 12:00:08 **Warning:** a \| b�\[2J
    "#);
    assert!(markdown(&[], &[]).contains("had not ended"));
}

fn question(tier: Tier) -> Question {
    Question {
        step: "apply".to_owned(),
        effect: Effect::Outage,
        ask: "Seal the server?".to_owned(),
        consequences: vec!["clients get no answer".to_owned()],
        tier,
    }
}

#[tokio::test]
async fn flags_answer_their_own_tier_only() {
    let name = || Tier::TypeName("openbao".to_owned());
    let cases = [
        (
            true,
            None,
            Tier::YesNo,
            Answer::Yes(By::Flag("--yes")),
            "answered by --yes",
        ),
        (
            false,
            Some("openbao"),
            Tier::YesNo,
            Answer::Nobody,
            "`--yes` would answer this",
        ),
        (
            true,
            Some("openbao"),
            Tier::InPerson,
            Answer::Nobody,
            "no flag answers this",
        ),
        (
            true,
            None,
            name(),
            Answer::Nobody,
            "`--confirm-outage openbao` would answer this",
        ),
        (
            false,
            Some("openbao"),
            name(),
            Answer::Yes(By::Flag("--confirm-outage")),
            "confirmed by --confirm-outage openbao",
        ),
        (
            true,
            Some("openbao "),
            name(),
            Answer::No,
            "says \"openbao \", but this run is about \"openbao\"",
        ),
        (
            true,
            Some("Openbao"),
            name(),
            Answer::No,
            "says \"Openbao\", but this run is about \"openbao\"",
        ),
    ];
    for (yes, confirm, tier, answer, words) in cases {
        let paper = Paper::default();
        let prompt = Prompt::new(yes, confirm.map(str::to_owned), false)
            .writing_to(paper.sink(), Look::BARE);
        assert_eq!(prompt.ask(&question(tier)).await, answer);
        let text = paper.take();
        assert!(text.contains(words), "{text}");
        // What follows is for somebody who is still to decide.
        assert_eq!(
            text.contains("* clients get no answer"),
            answer == Answer::Nobody,
            "{text}"
        );
    }
}
