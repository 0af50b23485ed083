//! Bad days: parts of the cluster that break in the middle of a run. The run goes on, or `resume` does.

use std::time::Duration;

use serde_json::json;

use crate::cases::{MIGRATE, RESUME};
use crate::cluster::{cluster, until};
use crate::operator::{Said, in_action, in_step};
use crate::release::{PLAIN, Release};
use crate::table::Figures;

/// Migrates while `fault` is at work; `resume` as often as an operator would.
fn through(release: &Release, fault: impl FnOnce() + Send) -> Figures {
    let said = std::thread::scope(|scope| {
        scope.spawn(fault);
        let mut said = release.run(&release.agreed(&MIGRATE));
        for _ in 0..5 {
            if said.code == 0 {
                break;
            }
            println!("    it ended with {}: {}", said.code, why(&said));
            // As long as it takes to read that.
            std::thread::sleep(Duration::from_secs(5));
            said = release.run(&release.agreed(&RESUME));
        }
        said
    });
    whole(release, said)
}

/// A run that ended well, with everything there.
pub fn whole(release: &Release, said: Said) -> Figures {
    let outage = said.expect(0).expect_parity();
    release.verify();
    Figures {
        outage: Some(outage),
        client: None,
    }
}

fn why(said: &Said) -> String {
    let is = |event: &&serde_json::Value| event["event"] == "failed";
    let event = said.events.iter().find(is);
    event.map_or_else(|| said.text.clone(), |event| event["message"].to_string())
}

/// Waits until the run's journal has the intent of an action.
fn begun(release: &Release, kind: &str) {
    let journal = release.work().join("journal.jsonl");
    let intent = format!(r#""kind":"{kind}","calls""#);
    until(&format!("{kind} to begin"), 180, || {
        std::fs::read_to_string(&journal).is_ok_and(|text| text.contains(&intent))
    });
}

/// No other node takes a pod: that is told before the outage, and the run goes on when one does.
pub fn no_room_for_followers() -> Figures {
    let release = Release::install("no-room", PLAIN);
    let path = "jsonpath={.spec.nodeName}";
    let own = release.kubectl(&["get", "pod", &release.member(0), "-o", path]);
    let all = cluster().kubectl(&["get", "nodes", "-o", "name"]);
    let names = all.lines().map(|it| it.trim_start_matches("node/"));
    let others: Vec<&str> = names.filter(|it| *it != own).collect();
    let taint = |taint: &str| {
        for node in &others {
            cluster().kubectl(&["taint", "node", node, taint]);
        }
    };
    taint("full=yes:NoSchedule");
    let said = release.run(&release.agreed(&MIGRATE));
    taint("full-");
    assert_ne!(said.code, 0);
    for words in ["openbao-1 could not run in the outage", "untolerated taint"] {
        assert!(said.text.contains(words), "{}", said.text);
    }
    assert!(!said.text.contains("outage-started"), "{}", said.text);
    release.serves_as_before();
    whole(&release, release.run(&release.agreed(&RESUME)))
}

/// Every stream through the API server is cut three times: in a copy, in the restore and in the comparison.
pub fn apiserver_restarted() -> Figures {
    let release = Release::install("apiserver", PLAIN);
    through(&release, || {
        for kind in ["back-up", "restore", "compare"] {
            begun(&release, kind);
            cluster().fault(&["apiserver", "restart"]);
        }
    })
}

/// A follower's pod goes away in the middle of a step.
pub fn pod_deleted(step: &str) -> Figures {
    let release = Release::install(&format!("deleted-in-{step}"), PLAIN);
    through(&release, || {
        let kind = if step == "unseal" {
            "await-voters"
        } else {
            step
        };
        begun(&release, kind);
        let pod = release.member(2);
        until("the pod", 60, || {
            let args = ["-n", &release.namespace, "get", "pod", &pod];
            cluster().try_kubectl(&args).is_some()
        });
        release.kubectl(&["delete", "pod", &pod, "--grace-period=1"]);
    })
}

/// The node of a follower has no kubelet for a minute: its server goes on, nothing can be asked of its node.
pub fn kubelet_stopped() -> Figures {
    let release = Release::install("kubelet", PLAIN);
    through(&release, || {
        begun(&release, "restore");
        let node = release.kubectl(&[
            "get",
            "pod",
            &release.member(1),
            "-o",
            "jsonpath={.spec.nodeName}",
        ]);
        cluster().fault(&["kubelet", "stop", &node]);
        std::thread::sleep(Duration::from_mins(1));
        cluster().fault(&["kubelet", "start", &node]);
    })
}

/// Raft's port is closed between the pods: told by name; once it is open the run goes on.
pub fn port_8201_blocked() -> Figures {
    let release = Release::install("blocked", PLAIN);
    cluster().fault(&["block", "8201"]);
    let said = release.run(&release.agreed(&MIGRATE));
    cluster().fault(&["unblock"]);
    assert_ne!(said.code, 0, "{}", said.text);
    assert!(
        said.text.contains("8201"),
        "the port is named:\n{}",
        said.text
    );
    let said = release.run(&release.agreed(&RESUME));
    whole(&release, said)
}

/// What syncs Secrets writes the parked key back, and the hook of a follower takes it for its join challenge.
pub fn key_written_back() -> Figures {
    let release = Release::install("key-back", PLAIN);
    let (secret, field) = (release.kind.unseal_secret, release.kind.unseal_field);
    let path = format!("jsonpath={{.data.{field}}}");
    let key = release.kubectl(&["get", "secret", secret, "-o", &path]);
    let set = |key: &str| {
        let data = json!({"data": {field: key}}).to_string();
        release.kubectl(&["patch", "secret", secret, "-p", &data]);
    };
    let mut until_init = MIGRATE.to_vec();
    until_init.extend(["--until", "init"]);
    release.run(&release.agreed(&until_init)).expect(0);
    set(&key);
    let follower = release.member(1);
    until("a follower to take the key", 180, || {
        let log = ["-n", &release.namespace, "logs", &follower, "--tail=20"];
        let log = cluster().try_kubectl(&log);
        log.is_some_and(|log| log.contains("error decrypting challenge"))
    });
    let said = release.run(&release.agreed(&RESUME)).expect(1);
    assert!(said.text.contains("empty the field"), "{}", said.text);
    set("");
    let said = release.run(&release.agreed(&RESUME));
    assert!(said.text.contains("it is replaced"), "{}", said.text);
    whole(&release, said)
}

/// A second operator, from another machine, is refused by name while the first one runs.
pub fn two_operators() -> Figures {
    let release = Release::install("two-operators", PLAIN);
    let other = release.folder.path().join("other");
    std::thread::scope(|scope| {
        let first = scope.spawn(|| {
            release.killed(
                &release.agreed(&MIGRATE),
                in_step("apply", Duration::from_secs(3)),
            )
        });
        begun(&release, "back-up");
        let second = release.run_in(&release.agreed(&MIGRATE), &other).expect(6);
        assert!(
            second.text.contains("pid"),
            "it names the holder:\n{}",
            second.text
        );
        release.run_in(&["lock", "show"], &other).expect(0);
        let told = release.run_in(&["lock", "break"], &other).expect(6);
        assert!(told.text.contains("resume --from-cluster"), "{}", told.text);
        assert_eq!(first.join().unwrap().code, -1);
    });
    let killed = release.killed(
        &release.agreed(&RESUME),
        in_action("restore", Duration::ZERO),
    );
    assert_eq!(killed.code, -1, "{}", killed.text);
    let said = release.run(&release.agreed(&RESUME));
    let figures = whole(&release, said);
    // A landed run's journal is the way back: nobody's next run takes its place.
    let third = release.folder.path().join("third");
    let refused = release.run_in(&release.agreed(&MIGRATE), &third).expect(5);
    let words = "begun on another machine";
    assert!(refused.text.contains(words), "{}", refused.text);
    let clean = ["cleanup", "--grace", "0s"];
    release.run(&release.agreed(&clean)).expect(0);
    figures
}
