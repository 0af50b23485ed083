//! Runs that are played to a real [`Output`].

use std::collections::BTreeMap;
use std::time::Duration;

use baoctl::event::{
    ActionStatus, Answer, Banner, CheckStatus, Effect, Event, Expected, Failure, Finding, Level,
    Mode, Observer, Operator, ParityCounts, Plan, PlannedStep, Question, StepStatus, StepSummary,
    Summary, Tier,
};
use baoctl::meter::Unit;
use baoctl::platform::Target;
use baoctl::ui::Output;

/// Plays a scene and ends the process.
pub fn play(scene: &str) -> ! {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        // Past the test harness' own first line.
        println!();
        let output = Output::detect(false, false, 0);
        match scene {
            "run" => run(&output).await,
            "fail" => fail(&output).await,
            "ask" => println!(
                "answer: {:?}",
                output.prompt(true, None).ask(&outage()).await
            ),
            "yes-no" => println!(
                "answer: {:?}",
                output.prompt(false, None).ask(&yes_no()).await
            ),
            "secret" => {
                use secrecy::ExposeSecret;
                let secret = output
                    .prompt(false, None)
                    .secret("Unseal share 1 of 3")
                    .await
                    .unwrap();
                println!("answer: {} characters", secret.expose_secret().len());
            }
            other => panic!("no scene `{other}`"),
        }
        output.finish();
    });
    println!("THE END");
    std::process::exit(0);
}

async fn pause(millis: u64) {
    tokio::time::sleep(Duration::from_millis(millis)).await;
}

fn outage() -> Question {
    Question {
        step: "apply".to_owned(),
        effect: Effect::Outage,
        ask: "Seal the server and take the service away from its clients?".to_owned(),
        consequences: vec![
            "Clients of openbao-prod get no answer until the restore has ended, about 1 min 35 s"
                .to_owned(),
            "`baoctl rollback` goes back to file storage".to_owned(),
        ],
        tier: Tier::TypeName("openbao-prod".to_owned()),
    }
}

fn yes_no() -> Question {
    Question {
        tier: Tier::YesNo,
        effect: Effect::Change,
        ..outage()
    }
}

pub fn banner() -> Event {
    Event::Banner(Banner {
        baoctl: "0.1.0".to_owned(),
        run: "2026-03-01-1f0c".to_owned(),
        mode: Mode::Live,
        runbook: "migrate-raft".to_owned(),
        target: Target {
            platform: "kubernetes".to_owned(),
            context: "prod-eu-central".to_owned(),
            namespace: "openbao-prod".to_owned(),
            release: "openbao".to_owned(),
            uid: "7c3d4f0a-1f2e-4a7b-9d2f-0a4f5b6c7d8e".to_owned(),
        },
        server: "https://openbao.openbao-prod.svc:8200".to_owned(),
        journal: Some(
            "/home/ops/.local/state/baoctl/openbao-prod/2026-03-01-1f0c.journal".to_owned(),
        ),
        resumed: false,
    })
}

pub fn plan() -> Event {
    let step = |id: &str, title: &str, effect, status, rollback: &str| PlannedStep {
        id: id.to_owned(),
        title: title.to_owned(),
        effect,
        status,
        rollback: rollback.to_owned(),
        actions: Vec::new(),
    };
    Event::Plan(Plan {
        steps: vec![
            step("snapshot", "Check everything below and make two backups", Effect::Read, StepStatus::Done, "nothing to roll back"),
            step("record-keys", "Prove the unseal shares on a scratch node that decrypts every entry of a copy", Effect::Change, StepStatus::Pending, "the scratch node is removed"),
            step("apply", "Seal the source, convert its data and start the release on raft", Effect::Outage, StepStatus::Pending, "at any time: `baoctl rollback` starts the untouched file storage again"),
            step("init", "Initialise openbao-0 once", Effect::NoBlindRepeat, StepStatus::Pending, "until the first write on raft"),
        ],
        outage_seconds: Some(95.0),
        no_blind_repeat_from: Some("init".to_owned()),
        notes: vec!["migrate-raft-fast.yaml restores before the followers join: the same actions, an outage that is about 40 s shorter".to_owned()],
    })
}

fn started(step: &str, title: &str, effect: Effect, index: usize) -> Event {
    Event::StepStarted {
        step: step.to_owned(),
        title: title.to_owned(),
        effect,
        index,
        of: 4,
    }
}

fn begin(step: &str, action: &str, title: &str) -> Event {
    Event::ActionStarted {
        step: step.to_owned(),
        action: action.to_owned(),
        title: title.to_owned(),
    }
}

fn end(step: &str, action: &str, status: ActionStatus, seconds: f64, summary: &str) -> Event {
    Event::ActionFinished {
        step: step.to_owned(),
        action: action.to_owned(),
        status,
        seconds,
        summary: summary.to_owned(),
    }
}

fn waiting(step: &str, action: &str, what: &str) -> Event {
    Event::Waiting {
        step: step.to_owned(),
        action: action.to_owned(),
        what: what.to_owned(),
    }
}

fn check(id: &str, group: &str, status: CheckStatus, message: &str, hint: &str) -> Event {
    Event::Check(Finding {
        id: id.to_owned(),
        group: group.to_owned(),
        status,
        message: message.to_owned(),
        hint: hint.to_owned(),
    })
}

#[allow(clippy::too_many_lines, reason = "it is read from top to bottom")]
async fn run(output: &Output) {
    let say = |event: Event| output.observe(&event);
    say(banner());
    say(plan());
    say(started(
        "record-keys",
        "Prove the unseal shares on a scratch node",
        Effect::Change,
        2,
    ));
    say(begin("record-keys", "preflight", "Check the source"));
    pause(150).await;
    say(check(
        "source-storage",
        "The source",
        CheckStatus::Pass,
        "file storage, OpenBao 2.4.1, unsealed",
        "",
    ));
    say(check(
        "source-audit",
        "The source",
        CheckStatus::Warn,
        "an audit device writes to a file on the data volume",
        "move it to stdout before the window, or accept that the file is not carried over",
    ));
    say(check(
        "net-8201",
        "The network",
        CheckStatus::Skip,
        "no network policy applies to the namespace",
        "",
    ));
    say(check(
        "disk",
        "The network",
        CheckStatus::Fail,
        "the claim of openbao-2 has 1.1 GiB free and 2.4 GiB are needed",
        "grow the claim",
    ));
    say(end(
        "record-keys",
        "preflight",
        ActionStatus::Done,
        0.15,
        "4 checks",
    ));
    say(end(
        "record-keys",
        "scratch",
        ActionStatus::AlreadyDone,
        0.0,
        "scratch node of 11:58",
    ));
    say(begin(
        "record-keys",
        "cronjob",
        "Suspend the snapshot CronJob",
    ));
    say(end(
        "record-keys",
        "cronjob",
        ActionStatus::NotApplicable,
        0.0,
        "",
    ));
    say(Event::StepFinished {
        step: "record-keys".to_owned(),
        status: StepStatus::Done,
        seconds: 12.3,
    });
    say(started(
        "apply",
        "Seal the source, convert its data and start the release on raft",
        Effect::Outage,
        3,
    ));
    say(begin("apply", "gate", "Wait for the word"));
    let answer = output.prompt(true, None).ask(&outage()).await;
    if !matches!(answer, Answer::Yes(_)) {
        println!("answer: {answer:?}");
        return;
    }
    say(end("apply", "gate", ActionStatus::Done, 2.0, ""));
    say(Event::OutageStarted);
    say(begin(
        "apply",
        "convert",
        "Convert the copy to a raft snapshot",
    ));
    let total = 48 * 1024 * 1024;
    for part in 0..=12_u64 {
        say(Event::Progress {
            step: "apply".to_owned(),
            action: "convert".to_owned(),
            unit: Unit::Bytes,
            done: total * part / 12,
            total: Some(total),
        });
        say(Event::Progress {
            step: "apply".to_owned(),
            action: "convert".to_owned(),
            unit: Unit::Entries,
            done: 12_345 * part / 12,
            total: Some(12_345),
        });
        pause(60).await;
    }
    say(end(
        "apply",
        "convert",
        ActionStatus::Done,
        0.8,
        "12,345 entries, 48.0 MiB, sha256 3f1a9c",
    ));
    say(begin("apply", "voters", "Wait for three voters"));
    say(waiting(
        "apply",
        "voters",
        "2 of 3 voters, openbao-2 in stabilisation, 6 s of a text that is a little too long for a narrow terminal",
    ));
    pause(300).await;
    say(Event::Retry {
        step: "apply".to_owned(),
        action: "voters".to_owned(),
        attempt: 1,
        why: "connection reset by peer".to_owned(),
    });
    say(Event::Note {
        level: Level::Warn,
        message: "openbao-2 was restarted by its probe".to_owned(),
    });
    say(Event::Note {
        level: Level::Detail,
        message: "never shown without -v".to_owned(),
    });
    pause(100).await;
    say(end("apply", "voters", ActionStatus::Done, 8.1, ""));
    say(Event::Rewound {
        from: "restore".to_owned(),
        to: "join".to_owned(),
        why: "openbao-1 came back without its raft files".to_owned(),
    });
    say(Event::OutageEnded {
        seconds: 43.21,
        at_least: None,
    });
    say(Event::StepFinished {
        step: "apply".to_owned(),
        status: StepStatus::Done,
        seconds: 51.2,
    });
    say(summary());
}

pub fn summary() -> Event {
    let step = |id: &str, status, seconds| StepSummary {
        id: id.to_owned(),
        status,
        seconds,
    };
    Event::Summary(Summary {
        entries: 12_345,
        parity: ParityCounts {
            identical: 12_300,
            rewritten: 30,
            new: 12,
            volatile: 9,
            written: 4,
            deleted: 1,
            expired: 6,
            missing: 0,
            unexplained: 0,
        },
        compared: ["openbao-0", "openbao-1", "openbao-2"]
            .map(str::to_owned)
            .to_vec(),
        outage_seconds: Some(43.21),
        outage_at_least: None,
        outage_parts: vec![
            ("seal".to_owned(), 0.4),
            ("copy".to_owned(), 12.1),
            ("convert".to_owned(), 0.8),
            ("start raft".to_owned(), 18.0),
            ("restore".to_owned(), 11.91),
        ],
        expected: Some(Expected {
            seconds: 40.0,
            server: 31.5,
        }),
        steps: vec![
            step("snapshot", StepStatus::Done, 31.0),
            step("record-keys", StepStatus::Done, 12.3),
            step("apply", StepStatus::Done, 51.2),
            step("init", StepStatus::Skipped, 0.0),
        ],
        left: vec![
            "the old file tree on the volume of openbao-0, your way back until you remove it"
                .to_owned(),
        ],
        report: Some("/home/ops/.local/state/baoctl/openbao-prod/2026-03-01-1f0c.md".to_owned()),
        journal: Some(
            "/home/ops/.local/state/baoctl/openbao-prod/2026-03-01-1f0c.journal".to_owned(),
        ),
        facts: BTreeMap::from([(
            "cluster id".to_owned(),
            "5e0c6f6e-0000-4000-8000-c0ffee".to_owned(),
        )]),
    })
}

async fn fail(output: &Output) {
    let say = |event: Event| output.observe(&event);
    say(banner());
    say(started("join", "Let the followers join", Effect::Change, 4));
    say(Event::OutageStarted);
    say(begin("join", "followers", "Wait for openbao-1 to join"));
    say(waiting(
        "join",
        "followers",
        "openbao-1 says connection refused on 8201",
    ));
    pause(300).await;
    say(Event::Failed(Failure {
        step: Some("join".to_owned()),
        checks: Vec::new(),
        message: "openbao-1 did not join within 2 min: port 8201 of openbao-0 is not reachable from it".to_owned(),
        changed: "the release runs on raft with one voter; the file storage of openbao-0 is untouched; the source is sealed".to_owned(),
        next: vec![
            "baoctl resume --journal /home/ops/.local/state/baoctl/openbao-prod/2026-03-01-1f0c.journal".to_owned(),
            "baoctl rollback --journal /home/ops/.local/state/baoctl/openbao-prod/2026-03-01-1f0c.journal".to_owned(),
        ],
        exit_code: 1,
    }));
}
