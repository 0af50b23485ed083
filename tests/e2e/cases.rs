//! The cases. Each has a release and a namespace of its own.

use std::panic::catch_unwind;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::actors;
use crate::back;
use crate::budget;
use crate::client::Client;
use crate::cluster::{cluster, until};
use crate::drivers;
use crate::faults;
use crate::namespaces;
use crate::operator::{Said, in_action, in_step};
use crate::release::{Kind, PLAIN, Release};
use crate::reseeded;
use crate::restored;
use crate::table::Figures;

/// A case by its name.
pub type Case = (&'static str, fn() -> Figures);

/// What every change must pass.
pub const CORE: &[Case] = &[
    ("harness_sees_what_it_should", harness_sees_what_it_should),
    ("dry_run_changes_nothing", dry_run_changes_nothing),
    ("card_order_path_probe", card_order_path_probe),
    (
        "card_order_exec_probe_hook_unseals_after",
        card_order_exec_probe_hook_unseals_after,
    ),
    ("fast_path_probe_helm_agrees", fast_path_probe_helm_agrees),
    ("operator_migrate_path_probe", operator_migrate_path_probe),
    ("killed_in_each_step", killed_in_each_step),
    ("taken_over_in_mid_outage", taken_over_in_mid_outage),
];

/// The rest of what a release, a cluster or a bad day can be like.
pub const FULL: &[Case] = &[
    ("full_three_of_five", || {
        plain(
            "three-of-five",
            Kind {
                shares: 5,
                threshold: 3,
                ..PLAIN
            },
            &MIGRATE,
        )
    }),
    ("full_tls", || {
        plain(
            "tls",
            Kind {
                overlays: &["tls"],
                tls: true,
                ..PLAIN
            },
            &MIGRATE,
        )
    }),
    ("full_other_names", || {
        let kind = Kind {
            overlays: &["other-names"],
            name: "vault",
            fullname: "vault-prod",
            unseal_secret: "vault-prod-shares",
            unseal_field: "first",
            ..PLAIN
        };
        plain("names-of-another-kind", kind, &MIGRATE)
    }),
    ("full_minimal_image", || {
        plain(
            "minimal",
            Kind {
                overlays: &["minimal"],
                ..PLAIN
            },
            &MIGRATE,
        )
    }),
    ("full_fast_exec_probe", || {
        plain(
            "fast-exec",
            Kind {
                overlays: &["exec-probe"],
                ..PLAIN
            },
            &FAST,
        )
    }),
    ("full_hook_endless", || {
        plain(
            "hook-endless",
            Kind {
                overlays: &["hook-endless"],
                ..PLAIN
            },
            &MIGRATE,
        )
    }),
    ("full_hook_once", || {
        plain(
            "hook-once",
            Kind {
                overlays: &["hook-once"],
                ..PLAIN
            },
            &MIGRATE,
        )
    }),
    ("full_hook_gives_up", || {
        plain(
            "hook-gives-up",
            Kind {
                overlays: &["hook-gives-up"],
                ..PLAIN
            },
            &MIGRATE,
        )
    }),
    ("full_hook_fails_on_empty", || {
        plain(
            "hook-fails",
            Kind {
                overlays: &["hook-fails-on-empty"],
                ..PLAIN
            },
            &MIGRATE,
        )
    }),
    ("full_token_not_root", full_token_not_root),
    ("full_actors_suspended", actors::full_actors_suspended),
    ("full_operator_migrate_minimal_image", || {
        let kind = Kind {
            overlays: &["minimal"],
            ..PLAIN
        };
        plain("offline-minimal", kind, &OFFLINE)
    }),
    (
        "full_operator_migrate_killed_and_rolled_back",
        back::full_operator_migrate_killed_and_rolled_back,
    ),
    (
        "full_operator_migrate_pebbledb",
        back::full_operator_migrate_pebbledb,
    ),
    ("full_fast_pebbledb", || {
        plain(
            "fast-pebbledb",
            Kind {
                overlays: &["pebbledb"],
                ..PLAIN
            },
            &FAST,
        )
    }),
    ("full_child_namespaces", namespaces::moved),
    (
        "full_reseeded_and_rolled_back",
        reseeded::full_reseeded_and_rolled_back,
    ),
    (
        "full_own_runbook_beyond_its_budget",
        budget::full_own_runbook_beyond_its_budget,
    ),
    (
        "full_restored_after_a_loss",
        restored::full_restored_after_a_loss,
    ),
    ("full_driver_manifests", drivers::manifests),
    ("full_driver_manual", drivers::manual),
    ("full_rolled_back", back::full_rolled_back),
    (
        "full_rolled_back_after_land",
        back::full_rolled_back_after_land,
    ),
    ("full_rolled_back_by_hand", back::full_rolled_back_by_hand),
    (
        "full_rolled_back_from_one_voter",
        back::full_rolled_back_from_one_voter,
    ),
    ("full_cleaned_up", back::full_cleaned_up),
    ("full_apiserver_restarted", faults::apiserver_restarted),
    ("full_pod_deleted_during_join", || {
        faults::pod_deleted("join")
    }),
    ("full_pod_deleted_during_unseal", || {
        faults::pod_deleted("unseal")
    }),
    ("full_pod_deleted_during_restore", || {
        faults::pod_deleted("restore")
    }),
    ("full_no_room_for_followers", faults::no_room_for_followers),
    ("full_kubelet_stopped", faults::kubelet_stopped),
    ("full_port_8201_blocked", faults::port_8201_blocked),
    ("full_key_written_back", faults::key_written_back),
    ("full_two_operators", faults::two_operators),
];

pub const MIGRATE: [&str; 1] = ["migrate-raft"];
pub const RESUME: [&str; 1] = ["resume"];
pub const FAST: [&str; 3] = ["migrate-raft", "--runbook", "migrate-raft-fast"];
pub const OFFLINE: [&str; 3] = ["migrate-raft", "--runbook", "operator-migrate"];
const STEPS: [&str; 9] = [
    "snapshot",
    "record-keys",
    "apply",
    "init",
    "join",
    "unseal",
    "restore",
    "verify",
    "land",
];

/// A migration that nothing disturbs.
fn plain(case: &str, kind: Kind, args: &[&str]) -> Figures {
    let release = Release::install(case, kind);
    let outage = release.run(&release.agreed(args)).expect(0).expect_parity();
    release.verify();
    Figures {
        outage: Some(outage),
        client: None,
    }
}

/// The checks of the cases can fail.
fn harness_sees_what_it_should() -> Figures {
    let release = Release::install("harness", PLAIN);
    release.serves_as_before();
    // This one panic is wanted, and no reader of the log should look for it.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| ()));
    let verified = catch_unwind(|| release.verify());
    std::panic::set_hook(hook);
    assert!(
        verified.is_err(),
        "a source on file passes for a migrated one"
    );
    let client = Client::start(&release);
    release.kubectl(&["delete", "pod", &release.member(0)]);
    until("the server to be back", 90, || {
        release.api_answers(&release.member(0)) == Some(200)
    });
    let gap = client.end();
    assert!(
        gap > 1.0,
        "the client did not see its server restart: {gap} s"
    );
    Figures {
        outage: None,
        client: Some(gap),
    }
}

/// The API server itself says that a dry run sent nothing that changes anything.
fn dry_run_changes_nothing() -> Figures {
    let release = Release::install("dry-run", PLAIN);
    let log = cluster().audit_log.as_ref();
    let before = log.map_or(0, |log| log.metadata().unwrap().len());
    let said = release
        .run(&["migrate-raft", "--dry-run", "--json"])
        .expect(0);
    let planned = said
        .events
        .iter()
        .filter(|event| event["event"] == "calls")
        .count();
    assert!(planned > 20, "each action's calls are told: {planned}");
    release.serves_as_before();
    if let Some(log) = log {
        let user = format!("system:serviceaccount:{}:baoctl", release.namespace);
        let text = std::fs::read(log).unwrap();
        let mut seen = 0;
        for line in String::from_utf8_lossy(&text[usize::try_from(before).unwrap()..]).lines() {
            let Ok(event) = serde_json::from_str::<Value>(line) else {
                continue;
            };
            if event["user"]["username"] != user.as_str() {
                continue;
            }
            seen += 1;
            let reads = matches!(event["verb"].as_str(), Some("get" | "list" | "watch"));
            let of = &event["objectRef"];
            let looks = matches!(of["subresource"].as_str(), Some("exec" | "portforward"))
                || of["resource"] == "selfsubjectaccessreviews";
            let tries = event["requestURI"].as_str().unwrap().contains("dryRun=All");
            assert!(reads || looks || tries, "a dry run sent {event}");
            assert_ne!(of["resource"], "leases", "a dry run claims nothing");
        }
        assert!(seen > 10, "the audit log has the run: {seen} requests");
    }
    Figures::default()
}

fn card_order_path_probe() -> Figures {
    let release = Release::install(
        "card-path",
        Kind {
            entries: 5000,
            ..PLAIN
        },
    );
    let client = Client::start(&release);
    let said = release.run(&release.agreed(&MIGRATE)).expect(0);
    let outage = said.expect_parity();
    let client = client.end();
    let placed = said.finished("place-followers");
    let on: Vec<&str> = placed.split([',', ':']).take(2).collect();
    assert!(on[0].starts_with("openbao-1 on "), "{placed}");
    assert!(on[1].starts_with(" openbao-2 on "), "{placed}");
    release.verify();
    release.helm_agrees();
    Figures {
        outage: Some(outage),
        client: Some(client),
    }
}

fn card_order_exec_probe_hook_unseals_after() -> Figures {
    let release = Release::install(
        "card-exec",
        Kind {
            overlays: &["exec-probe"],
            ..PLAIN
        },
    );
    let outage = release
        .run(&release.agreed(&MIGRATE))
        .expect(0)
        .expect_parity();
    release.verify();
    release.hook_unseals();
    release.verify();
    Figures {
        outage: Some(outage),
        client: None,
    }
}

fn fast_path_probe_helm_agrees() -> Figures {
    let release = Release::install(
        "fast-path",
        Kind {
            entries: 1000,
            ..PLAIN
        },
    );
    let client = Client::start(&release);
    let outage = release
        .run(&release.agreed(&FAST))
        .expect(0)
        .expect_parity();
    let client = client.end();
    release.verify();
    release.helm_agrees();
    Figures {
        outage: Some(outage),
        client: Some(client),
    }
}

/// Moments that no two runs share: over the time there are many of them.
pub fn moment(longest: Duration) -> Duration {
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap();
    longest.mul_f64(f64::from(now.subsec_micros()) / 1e6)
}

/// Killed in each step, at a random moment of it; each later command resumes.
fn killed_in_each_step() -> Figures {
    let release = Release::install("killed", PLAIN);
    let mut command = &MIGRATE[..];
    for step in STEPS {
        // About what the step takes. One that is over sooner is killed in the next.
        let longest = match step {
            "land" => Duration::from_millis(5),
            "init" => Duration::from_secs(2),
            "join" => Duration::from_secs(3),
            _ => Duration::from_secs(6),
        };
        let after = moment(longest);
        let said = release.killed(&release.agreed(command), in_step(step, after));
        if said.code == 0 {
            // The last steps were over before the kill.
            return finished(&release, &said);
        }
        assert_eq!(said.code, -1, "before {step} it ended with\n{}", said.text);
        println!("    killed {after:.1?} into {step}");
        command = &RESUME;
    }
    let said = release.run(&release.agreed(&RESUME)).expect(0);
    finished(&release, &said)
}

/// The offline route, and each voter comes back by the hook afterwards.
fn operator_migrate_path_probe() -> Figures {
    let kind = Kind {
        entries: 1000,
        ..PLAIN
    };
    let release = Release::install("offline", kind);
    let client = Client::start(&release);
    let said = release.run(&release.agreed(&OFFLINE)).expect(0);
    let client = client.end();
    let figures = finished(&release, &said);
    release.hook_unseals();
    release.verify();
    Figures {
        client: Some(client),
        ..figures
    }
}

pub fn finished(release: &Release, said: &Said) -> Figures {
    let outage = said.expect_parity();
    release.verify();
    release.helm_agrees();
    Figures {
        outage: Some(outage),
        client: None,
    }
}

/// The first machine is gone in the middle of the outage; a colleague goes on from what is in the cluster.
fn taken_over_in_mid_outage() -> Figures {
    let release = Release::install("taken-over", PLAIN);
    let killed = release.killed(
        &release.agreed(&MIGRATE),
        in_action("restore", Duration::ZERO),
    );
    assert_eq!(killed.code, -1, "{}", killed.text);
    std::fs::remove_dir_all(release.work()).unwrap();
    let said = release
        .run(&release.agreed(&["resume", "--from-cluster"]))
        .expect(0);
    finished(&release, &said)
}

/// In the Secret is no root token but one with `docs/policy.hcl` and nothing else.
fn full_token_not_root() -> Figures {
    let release = Release::install("token-not-root", PLAIN);
    let api = release.api(&release.member(0));
    let policy = json!({"policy": include_str!("../../docs/policy.hcl")});
    api.put("sys/policies/acl/baoctl", &policy);
    let body =
        json!({"policies": ["baoctl"], "no_default_policy": true, "no_parent": true, "ttl": "2h"});
    let token = api.put("auth/token/create", &body);
    let data = json!({"stringData": {"root-token": token["auth"]["client_token"]}}).to_string();
    release.kubectl(&["patch", "secret", release.kind.unseal_secret, "-p", &data]);
    let said = release.run(&release.agreed(&MIGRATE)).expect(0);
    finished(&release, &said)
}
