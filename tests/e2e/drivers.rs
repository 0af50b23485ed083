//! Releases that something else than helm changes.

use std::cell::Cell;
use std::thread::{JoinHandle, spawn};
use std::time::Duration;

use serde_json::Value;

use crate::back::is_back;
use crate::cases::{FAST, MIGRATE, RESUME, moment};
use crate::cluster::cluster;
use crate::faults::whole;
use crate::operator::in_action;
use crate::release::{Kind, PLAIN, Release};
use crate::table::Figures;

/// What a flip changes, without what the API server and the controllers write.
fn objects(release: &Release) -> [String; 3] {
    let name = release.kind.fullname;
    let map = format!("{name}-config");
    let set = "jsonpath={.spec.replicas}{.spec.template}";
    [
        release.kubectl(&["get", "configmap", &map, "-o", "jsonpath={.data}"]),
        release.kubectl(&["get", "statefulset", name, "-o", set]),
        release.kubectl(&["get", "poddisruptionbudgets", "-o", "name"]),
    ]
}

/// No helm knows of the release: a conflict of field managers is shown before the outage; a change that was killed in its
/// middle is known to a machine that has nothing, which can go on with it, and back.
pub fn manifests() -> Figures {
    let release = Release::install(
        "driver-manifests",
        Kind {
            driver: "manifests",
            ..PLAIN
        },
    );
    let before = objects(&release);
    let refused = release.run(&release.agreed(&MIGRATE)).expect(5);
    for word in [
        "kubectl-client-side-apply",
        ".spec.replicas",
        "--force-conflicts",
    ] {
        assert!(refused.text.contains(word), "{word}: {}", refused.text);
    }
    release.serves_as_before();
    assert_eq!(objects(&release), before);

    let forced = ["migrate-raft", "--force-conflicts"];
    let after = moment(Duration::from_millis(400));
    let killed = release.killed(&release.agreed(&forced), in_action("flip", after));
    assert_eq!(killed.code, -1, "{}", killed.text);
    println!("    killed {after:.1?} into the flip");
    std::fs::remove_dir_all(release.work()).unwrap();
    let resume = ["resume", "--from-cluster"];
    let other = release
        .run(&release.agreed(&["resume", "--from-cluster", "--driver", "manual"]))
        .expect(5);
    assert!(other.text.contains("--driver manifests"), "{}", other.text);
    let killed = release.killed(&release.agreed(&resume), in_action("join", Duration::ZERO));
    assert_eq!(killed.code, -1, "{}", killed.text);
    std::fs::remove_dir_all(release.work()).unwrap();
    release
        .run(&release.agreed(&["rollback", "--from-cluster"]))
        .expect(0);
    is_back(&release);
    assert_eq!(objects(&release), before);

    // The fields are this tool's by now. This runbook changes the release twice.
    let said = release.run(&release.agreed(&FAST));
    whole(&release, said)
}

fn helm(release: &Release, args: &[&str]) -> JoinHandle<()> {
    let mut all: Vec<String> = args.iter().map(|it| (*it).to_owned()).collect();
    all.extend(["-n".to_owned(), release.namespace.clone()]);
    spawn(move || {
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        cluster().helm(&all);
    })
}

fn upgrade(release: &Release, replicas: u32) -> JoinHandle<()> {
    let chart = cluster().chart.display().to_string();
    let values = cluster().values("ha-raft").display().to_string();
    let replicas = format!("server.ha.replicas={replicas}");
    let name = release.kind.name;
    helm(
        release,
        &[
            "upgrade",
            name,
            &chart,
            "--reuse-values",
            "-f",
            &values,
            "--set",
            &replicas,
        ],
    )
}

fn asks(event: &Value) -> bool {
    event["event"] == "note"
        && event["message"]
            .as_str()
            .is_some_and(|message| message.contains("left to you now"))
}

/// Somebody else changes the release while the run waits, not right at first, and back again.
pub fn manual() -> Figures {
    let release = Release::install(
        "driver-manual",
        Kind {
            driver: "manual",
            ..PLAIN
        },
    );
    let revision = Cell::new(None);
    let killed = release.killed(&release.agreed(&MIGRATE), |event| {
        if asks(event) {
            revision.set(Some(upgrade(&release, 3)));
        }
        in_action("init", Duration::ZERO)(event)
    });
    assert_eq!(killed.code, -1, "{}", killed.text);
    revision.take().unwrap().join().unwrap();
    let done = Cell::new(None);
    release
        .heard(&release.agreed(&["rollback"]), |event| {
            if asks(event) {
                done.set(Some(helm(&release, &["rollback", release.kind.name, "1"])));
            }
        })
        .expect(0);
    done.take().unwrap().join().unwrap();
    is_back(&release);

    let (first, second) = (Cell::new(None), Cell::new(None));
    let hear = |event: &Value| {
        let waits = event["event"] == "waiting";
        let sees = |word: &str| event["what"].as_str().is_some_and(|it| it.contains(word));
        if asks(event) {
            first.set(Some(upgrade(&release, 2)));
        } else if waits && sees("2 replicas instead of 3") {
            let first: JoinHandle<()> = first.take().unwrap();
            first.join().unwrap();
            second.set(Some(upgrade(&release, 3)));
        }
    };
    let said = release.heard(&release.agreed(&MIGRATE), hear).expect(0);
    second.take().unwrap().join().unwrap();
    let outage = said.expect_parity();
    release.verify();
    release.helm_agrees();
    // A finished run asks for nothing.
    release.run(&release.agreed(&RESUME)).expect(0);
    Figures {
        outage: Some(outage),
        client: None,
    }
}
