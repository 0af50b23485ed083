//! The way back to file storage, by the command and by hand, and what is left of a run.

use std::time::Duration;

use serde_json::Value;

use crate::cases::{FAST, MIGRATE, OFFLINE, RESUME, finished};
use crate::cluster::{cluster, said, until};
use crate::operator::{in_action, in_step};
use crate::release::{Kind, PLAIN, Release};
use crate::table::Figures;

/// Killed in the middle of the migration, back to file storage, and forward again.
pub fn full_operator_migrate_killed_and_rolled_back() -> Figures {
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

/// From `pebbledb`: killed while the frozen store is laid out, to three voters, back, forward again, and what is left removed. Its
/// files are those of the seal until a server starts on them again.
pub fn full_operator_migrate_pebbledb() -> Figures {
    let kind = Kind {
        overlays: &["pebbledb"],
        ..PLAIN
    };
    let release = Release::install("offline-pebbledb", kind);
    let said = release.run(&["check"]);
    assert!(said.text.contains("`--until snapshot`"), "{}", said.text);
    let in_copy = in_action("final-copy", Duration::from_millis(500));
    let killed = release.killed(&release.agreed(&OFFLINE), in_copy);
    assert_eq!(killed.code, -1, "{}", killed.text);
    let sealed = store(&release);
    assert!(sealed.contains("moved-to-raft"), "{sealed}");
    let outage = release.run(&release.agreed(&RESUME)).expect(0);
    let outage = outage.expect_parity();
    release.verify();
    assert_eq!(store(&release), sealed, "the store is only read");

    let back = ["rollback", "--lose-writes"];
    let said = release.run(&release.agreed(&back)).expect(0);
    let told = "entries byte for byte as they were sealed";
    assert!(said.text.contains(told), "{}", said.text);
    is_back(&release);

    // The pod in which it is laid out goes meanwhile.
    let copying = in_action("final-copy", Duration::ZERO);
    let helper = format!("pod/baoctl-volume-{}", release.member(0));
    let deletes = |event: &Value| {
        if copying(event).is_some() {
            release.kubectl(&["delete", &helper, "--grace-period=0", "--force"]);
        }
    };
    let said = release.heard(&release.agreed(&OFFLINE), deletes).expect(0);
    said.expect_parity();
    let clean = ["cleanup", "--grace", "0s"];
    release.run(&release.agreed(&clean)).expect(0);
    release.verify();
    assert_eq!(store(&release), "", "cleanup removes the store");
    Figures {
        outage: Some(outage),
        client: None,
    }
}

/// The files of the store on the volume of the first member, each with its digest; the tombstone among them.
fn store(release: &Release) -> String {
    let list = "cd /openbao/data; for it in *; do case $it in raft* | vault.db | LOCK) ;; *) [ ! -f $it ] || sha256sum $it;; esac; done";
    let first = release.member(0);
    release.kubectl(&["exec", &first, "-c", "openbao", "--", "sh", "-c", list])
}

/// Back to file storage from the middle of the restore, by the command.
pub fn full_rolled_back() -> Figures {
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
pub fn full_rolled_back_after_land() -> Figures {
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
    release.serves_as_before();
    Figures::default()
}

/// Back after one voter served and the followers were started: the release was changed twice.
pub fn full_rolled_back_from_one_voter() -> Figures {
    let release = Release::install("rolled-back-from-one", PLAIN);
    let until = [&FAST[..], &["--until", "join"]].concat();
    release.run(&release.agreed(&until)).expect(0);
    let lose = ["rollback", "--lose-writes"];
    release.run(&release.agreed(&lose)).expect(0);
    is_back(&release);
    Figures::default()
}

/// What is left of a run goes, by helper pods where the image has no shell, and the cluster goes on serving.
pub fn full_cleaned_up() -> Figures {
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
    release.serves_as_before();
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
pub fn full_rolled_back_by_hand() -> Figures {
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
    release.serves_as_before();
    let left = release.kubectl(&["get", "pvc,lease,secret,pod", "-o", "name"]);
    assert!(
        !left.contains("baoctl") && !left.contains("data-openbao-1"),
        "{left}"
    );
    Figures::default()
}
