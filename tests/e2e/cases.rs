//! The cases. Each has a release and a namespace of its own.

use std::panic::catch_unwind;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::client::Client;
use crate::cluster::{cluster, said, until};
use crate::drivers;
use crate::faults;
use crate::namespaces;
use crate::operator::{Said, in_action, in_step};
use crate::release::{Kind, PLAIN, Release};
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
    ("full_actors_suspended", full_actors_suspended),
    ("full_operator_migrate_minimal_image", || {
        let kind = Kind {
            overlays: &["minimal"],
            ..PLAIN
        };
        plain("offline-minimal", kind, &OFFLINE)
    }),
    (
        "full_operator_migrate_killed_and_rolled_back",
        full_operator_migrate_killed_and_rolled_back,
    ),
    ("full_child_namespaces", namespaces::moved),
    (
        "full_reseeded_and_rolled_back",
        full_reseeded_and_rolled_back,
    ),
    ("full_driver_manifests", drivers::manifests),
    ("full_driver_manual", drivers::manual),
    ("full_rolled_back", full_rolled_back),
    ("full_rolled_back_after_land", full_rolled_back_after_land),
    ("full_rolled_back_by_hand", full_rolled_back_by_hand),
    (
        "full_rolled_back_from_one_voter",
        full_rolled_back_from_one_voter,
    ),
    ("full_cleaned_up", full_cleaned_up),
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
    release.serves_from_file();
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
    release.serves_from_file();
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
    let outage = release
        .run(&release.agreed(&MIGRATE))
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

/// Killed in the middle of the migration, back to file storage, and forward again.
fn full_operator_migrate_killed_and_rolled_back() -> Figures {
    let release = Release::install("offline-killed", PLAIN);
    let in_it = || in_action("operator-migrate", Duration::from_secs(4));
    let killed = release.killed(&release.agreed(&OFFLINE), in_it());
    assert_eq!(killed.code, -1, "{}", killed.text);
    release.run(&release.agreed(&["rollback"])).expect(0);
    is_back(&release);
    let again = release.killed(&release.agreed(&OFFLINE), in_it());
    assert_eq!(again.code, -1, "{}", again.text);
    let said = release.run(&release.agreed(&RESUME)).expect(0);
    finished(&release, &said)
}

fn finished(release: &Release, said: &Said) -> Figures {
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

/// A fresh cluster that the platform's Jobs seed again, with the data of the source left behind; and the source once more.
fn full_reseeded_and_rolled_back() -> Figures {
    let release = Release::install("reseeded", PLAIN);
    let job = |name: &str, script: &str| {
        json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": {
        "backoffLimit": 2, "template": {"spec": {"restartPolicy": "Never", "terminationGracePeriodSeconds": 0, "containers": [{
            "name": "it", "image": "quay.io/openbao/openbao:2.6.2", "command": ["/bin/sh", "-ec", script],
            "env": [
                {"name": "BAO_ADDR", "value": "http://openbao:8200"},
                {"name": "BAO_TOKEN", "valueFrom": {"secretKeyRef": {"name": "openbao-unseal", "key": "root-token"}}},
            ],
        }]}}}})
    };
    let config = "bao secrets enable -path=platform -version=2 kv; echo 'path \"platform/*\" { capabilities = [\"read\"] }' | bao policy write platform -";
    let seed = "bao kv put platform/database password=seeded";
    let jobs = [job("vault-config", config), job("vault-seed", seed)];
    for job in jobs {
        let name = job["metadata"]["name"].as_str().unwrap().to_owned();
        cluster().apply(&release.namespace, &job.to_string());
        let done = format!("job/{name}");
        release.kubectl(&["wait", "--for=condition=complete", "--timeout=90s", &done]);
    }
    let reseed = ["migrate-raft", "--runbook", "reseed"];
    let said = release.run(&release.agreed(&reseed)).expect(5);
    assert!(said.text.contains("--lose-data"), "{}", said.text);
    release.serves_from_file();

    // Killed while the first Job is at work; the next process finds its copy.
    let leave = [&reseed[..], &["--lose-data"]].concat();
    let in_it = in_action("run-jobs", Duration::from_secs(1));
    let killed = release.killed(&release.agreed(&leave), in_it);
    assert_eq!(killed.code, -1, "{}", killed.text);
    let said = release.run(&release.agreed(&RESUME)).expect(0);
    let copies = release.kubectl(&[
        "get",
        "jobs",
        "-l",
        "app.kubernetes.io/managed-by=baoctl",
        "-o",
        "name",
    ]);
    assert_eq!(copies.lines().count(), 2, "{copies}");

    let path = "jsonpath={.data.root-token}";
    let coded = release.kubectl(&["get", "secret", "openbao-unseal", "-o", path]);
    let token = String::from_utf8(base64_simd::STANDARD.decode_to_vec(coded).unwrap()).unwrap();
    assert_ne!(token, release.token);
    for member in release.members() {
        let mut api = release.api(&member);
        assert_eq!(api.get("sys/mounts").0, 403, "{member} knows the old token");
        api.set_token(&token);
        let (code, answer) = api.get("platform/data/database");
        assert_eq!(
            (code, &answer["data"]["data"]["password"]),
            (200, &json!("seeded")),
            "{member}"
        );
    }
    let lost = std::fs::read_to_string(release.work().join("lost.txt")).unwrap();
    for line in [
        "mount secret/",
        "mount transit/",
        "policy app",
        "secret/app/0",
    ] {
        assert!(lost.lines().any(|it| it == line), "{line}: {lost}");
    }
    assert!(!lost.contains("platform"), "{lost}");
    assert!(said.text.contains("lost.txt"), "{}", said.text);
    release.helm_agrees();
    // The hook has the new key.
    release.hook_unseals();

    let back = release.agreed(&["rollback", "--lose-writes"]);
    release.run(&back).expect(0);
    is_back(&release);
    let copies = release.kubectl(&[
        "get",
        "jobs",
        "-l",
        "app.kubernetes.io/managed-by=baoctl",
        "-o",
        "name",
    ]);
    assert_eq!(copies.trim(), "");
    Figures {
        outage: said.summary()["outage_seconds"].as_f64(),
        client: None,
    }
}

/// Back to file storage from the middle of the restore, by the command.
fn full_rolled_back() -> Figures {
    let release = Release::install("rolled-back", PLAIN);
    let killed = release.killed(
        &release.agreed(&MIGRATE),
        in_action("restore", Duration::from_secs(2)),
    );
    assert_eq!(killed.code, -1, "{}", killed.text);
    release.run(&release.agreed(&["rollback"])).expect(0);
    is_back(&release);
    Figures::default()
}

/// Back to file storage after the last step, with what clients wrote saved; and what is left of that removed.
fn full_rolled_back_after_land() -> Figures {
    let release = Release::install("rolled-back-after-land", PLAIN);
    release.run(&release.agreed(&MIGRATE)).expect(0);
    let said = release.run(&release.agreed(&["rollback"])).expect(5);
    assert!(said.text.contains("--export FILE"), "{}", said.text);
    let saved = release.folder.path().join("saved.snap");
    let export = ["rollback", "--export", saved.to_str().unwrap()];
    release.run(&release.agreed(&export)).expect(0);
    is_back(&release);
    assert!(saved.is_file());
    let clean = ["cleanup", "--grace", "0s"];
    release.run(&release.agreed(&clean)).expect(0);
    let left = release.kubectl(&["get", "lease,secret,pod", "-o", "name"]);
    assert!(!left.contains("baoctl"), "{left}");
    release.serves_from_file();
    Figures::default()
}

/// Back after one voter served and the followers were started: the release was changed twice.
fn full_rolled_back_from_one_voter() -> Figures {
    let release = Release::install("rolled-back-from-one", PLAIN);
    let until = [&FAST[..], &["--until", "join"]].concat();
    release.run(&release.agreed(&until)).expect(0);
    let lose = ["rollback", "--lose-writes"];
    release.run(&release.agreed(&lose)).expect(0);
    is_back(&release);
    Figures::default()
}

/// What is left of a run goes, by helper pods where the image has no shell, and the cluster goes on serving.
fn full_cleaned_up() -> Figures {
    let kind = Kind {
        overlays: &["minimal"],
        ..PLAIN
    };
    let release = Release::install("cleaned-up", kind);
    release.run(&release.agreed(&MIGRATE)).expect(0);
    let clean = ["cleanup", "--grace", "0s"];
    release.run(&release.agreed(&clean)).expect(0);
    release.verify();
    let left = release.kubectl(&["get", "lease,secret,pod", "-o", "name"]);
    assert!(!left.contains("baoctl"), "{left}");
    release.run(&release.agreed(&["rollback"])).expect(5);
    Figures::default()
}

/// The source serves from file storage, and nothing else is there.
pub fn is_back(release: &Release) {
    until("the source to serve", 60, || {
        release.api_answers(&release.member(0)) == Some(200)
    });
    release.serves_from_file();
    let pods = release.kubectl(&[
        "get",
        "pods",
        "-l",
        "app.kubernetes.io/name=openbao",
        "-o",
        "name",
    ]);
    assert_eq!(pods.lines().count(), 1, "{pods}");
}

/// Back to file storage after clients were served, by the commands of `docs/rollback.md`, each as it stands there.
fn full_rolled_back_by_hand() -> Figures {
    let release = Release::install("rolled-back-by-hand", PLAIN);
    let killed = release.killed(
        &release.agreed(&MIGRATE),
        in_step("verify", Duration::from_secs(1)),
    );
    assert_eq!(killed.code, -1, "{}", killed.text);
    let guide = include_str!("../../docs/rollback.md");
    let blocks = guide.split("```sh\n").skip(1);
    let commands: String = blocks
        .map(|block| block.split("```").next().unwrap())
        .collect();
    let folder = release.folder.path();
    std::fs::write(folder.join("token"), &release.token).unwrap();
    let output = cluster()
        .shell(&commands)
        .current_dir(folder)
        .env("NS", &release.namespace)
        .env("REVISION", "1")
        .output()
        .unwrap();
    println!("{}", said(&output, "the commands of docs/rollback.md"));
    release.serves_from_file();
    let left = release.kubectl(&["get", "pvc,lease,secret,pod", "-o", "name"]);
    assert!(
        !left.contains("baoctl") && !left.contains("data-openbao-1"),
        "{left}"
    );
    Figures::default()
}

/// A job that initialises whatever server is empty, one that is at work, and a release kept by Flux: none of them acts during
/// the run, the jobs do again afterwards.
fn full_actors_suspended() -> Figures {
    let release = Release::install("actors", PLAIN);
    let namespace = &release.namespace;
    cluster().apply(namespace, include_str!("flux.yaml"));
    cluster().kubectl(&[
        "wait",
        "--for=condition=established",
        "crd",
        "-l",
        "baoctl-test=flux",
    ]);
    let keeper = |kind: &str| format!("{kind}.toolkit.fluxcd.io");
    let container = |script: &str| {
        json!({"restartPolicy": "Never", "terminationGracePeriodSeconds": 0, "containers": [{
            "name": "it", "image": "quay.io/openbao/openbao:2.6.2", "command": ["/bin/sh", "-c", script],
            "env": [{"name": "BAO_ADDR", "value": "http://openbao-0.openbao-internal:8200"}],
        }]})
    };
    let initialises =
        "for n in $(seq 50); do bao operator init -key-shares=1 -key-threshold=1; sleep 1; done";
    let objects = json!({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization", "metadata": {"name": "apps"}, "spec": {}},
        {"apiVersion": "helm.toolkit.fluxcd.io/v2", "kind": "HelmRelease", "metadata": {"name": "openbao", "labels": {
            keeper("kustomize") + "/name": "apps", keeper("kustomize") + "/namespace": namespace}}, "spec": {}},
        {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "set-up"}, "spec": {
            "schedule": "* * * * *", "jobTemplate": {"spec": {"template": {"spec": container(initialises)}}}}},
        {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "at-work"}, "spec": {
            "template": {"spec": container("sleep 900")}}},
    ]});
    cluster().apply(namespace, &objects.to_string());
    for mark in ["name=openbao", &format!("namespace={namespace}")] {
        release.kubectl(&[
            "label",
            "statefulset",
            "openbao",
            &format!("{}/{mark}", keeper("helm")),
        ]);
    }
    let suspended = |object: &str| {
        release.kubectl(&["get", object, "-o", "jsonpath={.spec.suspend}"]) == "true"
    };
    let actors = [
        "cronjob/set-up",
        "job/at-work",
        "helmrelease/openbao",
        "kustomization/apps",
    ];
    let killed = release.killed(
        &release.agreed(&MIGRATE),
        in_step("join", Duration::from_secs(1)),
    );
    assert_eq!(killed.code, -1, "{}", killed.text);
    for actor in actors {
        assert!(suspended(actor), "{actor} acts in the middle of the run");
    }
    let said = release.run(&release.agreed(&RESUME)).expect(0);
    assert!(said.text.contains("landed, held: "), "{}", said.text);
    assert_eq!(actors.map(suspended), [false, false, true, true]);
    finished(&release, &said)
}
