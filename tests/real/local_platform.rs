//! The local platform with real `bao` processes: started, found again, never mistaken, stopped.

use std::fs;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::work::{Work, armed, bao, pid_of};
use baoctl::bao::Node;
use baoctl::meter::Silent;
use baoctl::platform::local::{
    CreateOptions, LocalPlatform, SampleOptions, find_bao, make_source, verify,
};
use baoctl::platform::{Error, Flip, Platform, SecretData, SecretName, StorageKind};
use baoctl::storage::Phase;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use secrecy::ExposeSecret;

const FIRST: &str = "openbao-0";
const FEW: SampleOptions = SampleOptions {
    entries: 50,
    shares: 3,
    threshold: 2,
    large: false,
    namespaces: false,
};

async fn secret(work: &Work, name: SecretName) -> Option<SecretData> {
    work.platform.secret(name).await.unwrap()
}

#[tokio::test]
async fn a_source_starts_serves_and_stops() {
    let work = Work::new();
    let golden = make_source(&work.platform, FEW, &Silent).await.unwrap();
    assert!(golden.entries >= 50);
    let keys = secret(&work, SecretName::Unseal).await.unwrap();
    assert_eq!(keys["unseal-key"].expose_secret().lines().count(), 3);
    let node = work.platform.http_node(FIRST).unwrap();
    let checked = verify(&golden, &node, &keys["root-token"], true)
        .await
        .unwrap();
    assert!(checked > 20, "{checked}");

    let volume = work.platform.volume(FIRST).await.unwrap();
    assert!(volume.file_tree && !volume.raft_files);
    let release = work.platform.release().await.unwrap();
    assert_eq!((release.storage, release.replicas), (StorageKind::File, 1));
    assert!(
        release
            .version
            .starts_with(|first: char| first.is_ascii_digit())
    );
    let log = work.platform.log_tail(FIRST, 3).await.unwrap();
    assert_eq!(log.len(), 3, "{log:?}");

    // A second source does not write over the first.
    let again = make_source(&work.platform, FEW, &Silent).await.unwrap_err();
    assert!(
        again.to_string().contains("name a new work folder"),
        "{again}"
    );

    let pid = pid_of(&work.platform, FIRST).await.unwrap();
    work.platform.stop(FIRST, &armed()).await.unwrap();
    assert_eq!(work.platform.instance(FIRST).await.unwrap(), None);
    assert!(!crate::work::lives(pid));
    assert!(node.seal_status().await.is_err());
    work.platform.stop(FIRST, &armed()).await.unwrap();
}

#[tokio::test]
async fn no_secret_shows_in_a_servers_arguments_or_environment_and_all_is_private() {
    let work = Work::new();
    let golden = make_source(&work.platform, FEW, &Silent).await.unwrap();
    let keys = secret(&work, SecretName::Unseal).await.unwrap();
    let mut secrets: Vec<String> = keys["unseal-key"]
        .expose_secret()
        .lines()
        .map(str::to_owned)
        .collect();
    secrets.push(keys["root-token"].expose_secret().to_owned());
    secrets.push(golden.approle.secret_id.clone());
    secrets.extend(golden.tokens.iter().map(|sample| sample.token.clone()));

    let pid = pid_of(&work.platform, FIRST).await.unwrap();
    for of in ["cmdline", "environ"] {
        let shown = fs::read(format!("/proc/{pid}/{of}")).unwrap();
        let shown = String::from_utf8_lossy(&shown);
        for secret in &secrets {
            assert!(!shown.contains(secret), "{of} of {pid}");
        }
        if of == "environ" {
            // Whatever our own environment holds is nobody else's.
            let names = shown
                .split_terminator('\0')
                .map(|set| set.split('=').next());
            assert!(names.flatten().all(|name| name == "PATH" || name == "HOME"));
        }
    }
    let log = fs::read_to_string(work.node(FIRST).join("server.log")).unwrap();
    assert!(secrets.iter().all(|secret| !log.contains(secret)));
    crate::work::assert_private(work.platform.work_dir());
}

/// Not a test of its own: the process that starts a server for the test below and is then killed.
#[tokio::test]
#[ignore = "is run by `a_server_outlives_its_starter`"]
async fn starter() {
    let Some(folder) = std::env::var_os("BAOCTL_TEST_WORK") else {
        return;
    };
    let platform = LocalPlatform::open(Path::new(&folder)).unwrap();
    platform.replace(FIRST, &armed()).await.unwrap();
    tokio::time::sleep(Duration::from_mins(2)).await;
}

#[tokio::test]
async fn a_server_outlives_its_starter() {
    let work = Work::new();
    let mut starter = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "local_platform::starter", "--ignored"])
        .env("BAOCTL_TEST_WORK", work.platform.work_dir())
        .stdout(Stdio::null())
        .process_group(0)
        .spawn()
        .unwrap();
    let node = work.platform.http_node(FIRST).unwrap();
    let deadline = Instant::now() + Duration::from_mins(1);
    while node.seal_status().await.is_err() {
        assert!(Instant::now() < deadline && starter.try_wait().unwrap().is_none());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // A Ctrl-C reaches the starter's whole group, and nothing softens the end of the starter itself.
    let group = Pid::from_child(&starter);
    kill_process_group(group, Signal::INT).unwrap();
    let _ = kill_process(group, Signal::KILL);
    starter.wait().unwrap();

    let opened = LocalPlatform::open(work.platform.work_dir()).unwrap();
    let found = opened.instance(FIRST).await.unwrap().unwrap();
    assert_eq!(opened.status().unwrap()[0].instance.as_ref(), Some(&found));
    assert!(!node.seal_status().await.unwrap().initialized);

    // The starter may also be killed after the start and before it could record it.
    let record = work.node(FIRST).join("process.json");
    fs::write(&record, r#"{"state":"starting"}"#).unwrap();
    assert_eq!(opened.instance(FIRST).await.unwrap(), Some(found));
    assert!(fs::read_to_string(&record).unwrap().contains("running"));

    let pid = pid_of(&opened, FIRST).await.unwrap();
    opened.stop(FIRST, &armed()).await.unwrap();
    assert!(!crate::work::lives(pid));
    fs::write(&record, r#"{"state":"starting"}"#).unwrap();
    assert_eq!(opened.instance(FIRST).await.unwrap(), None);
}

/// A process that has nothing to do with us, gone with its value.
struct Stranger(Child);

impl Stranger {
    fn new() -> Self {
        Self(Command::new("sleep").arg("120").spawn().unwrap())
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn a_recorded_number_that_is_another_process_now_is_left_alone() {
    let work = Work::new();
    let mut stranger = Stranger::new();
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs();
    fs::create_dir_all(work.node(FIRST)).unwrap();
    // With a start time that is not its own, and with one that is: the command line still differs.
    for start_time in [1, now] {
        let record = format!(
            r#"{{"state":"running","pid":{},"start_time":{start_time}}}"#,
            stranger.0.id()
        );
        let path = work.node(FIRST).join("process.json");
        let forge = || fs::write(&path, &record).unwrap();
        forge();
        assert_eq!(work.platform.instance(FIRST).await.unwrap(), None);
        work.platform.stop(FIRST, &armed()).await.unwrap();
        forge();
        work.platform.kill_now(FIRST).await.unwrap();
        forge();
        work.platform.kill_all().await.unwrap();
        assert_eq!(stranger.0.try_wait().unwrap(), None, "it was killed");
    }
}

#[tokio::test]
async fn a_server_with_another_start_time_than_recorded_is_another_one() {
    let work = Work::new();
    work.platform.replace(FIRST, &armed()).await.unwrap();
    let path = work.node(FIRST).join("process.json");
    let record = fs::read_to_string(&path).unwrap();
    let pid = pid_of(&work.platform, FIRST).await.unwrap();
    let forged = format!(r#"{{"state":"running","pid":{pid},"start_time":1}}"#);
    fs::write(&path, forged).unwrap();
    assert_eq!(work.platform.instance(FIRST).await.unwrap(), None);
    work.platform.stop(FIRST, &armed()).await.unwrap();
    assert!(crate::work::lives(pid));
    fs::write(&path, record).unwrap();
    assert!(work.platform.instance(FIRST).await.unwrap().is_some());
}

/// What is recorded does not move when somebody sets the clock, and is another after a reboot.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_start_is_told_by_ticks_and_by_the_boot() {
    let work = Work::new();
    work.platform.replace(FIRST, &armed()).await.unwrap();
    let path = work.node(FIRST).join("process.json");
    let record = fs::read_to_string(&path).unwrap();
    let seen: serde_json::Value = serde_json::from_str(&record).unwrap();
    let stat = fs::read_to_string(format!("/proc/{}/stat", seen["pid"])).unwrap();
    let ticks = stat.rsplit(' ').count() - 22;
    assert_eq!(
        stat.rsplit(' ').nth(ticks),
        Some(seen["start_time"].to_string().as_str())
    );
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    assert_eq!(seen["boot"].as_str(), Some(boot.trim()));
    let other = uuid::Uuid::nil().to_string();
    fs::write(&path, record.replace(boot.trim(), &other)).unwrap();
    assert_eq!(work.platform.instance(FIRST).await.unwrap(), None);
    fs::write(&path, record).unwrap();
    assert!(work.platform.instance(FIRST).await.unwrap().is_some());
}

#[tokio::test]
async fn a_killed_server_is_noticed_and_can_be_started_again() {
    let work = Work::new();
    work.platform.replace(FIRST, &armed()).await.unwrap();
    let before = work.platform.instance(FIRST).await.unwrap().unwrap();
    let pid = pid_of(&work.platform, FIRST).await.unwrap();
    kill_process(crate::work::pid(pid), Signal::KILL).unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    while work.platform.instance(FIRST).await.unwrap().is_some() {
        assert!(Instant::now() < deadline, "not noticed");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    work.platform.replace(FIRST, &armed()).await.unwrap();
    let after = work.platform.instance(FIRST).await.unwrap().unwrap();
    assert_ne!(before, after);
    work.platform.kill_now(FIRST).await.unwrap();
    assert_eq!(work.platform.instance(FIRST).await.unwrap(), None);
    work.platform.kill_now(FIRST).await.unwrap();
}

#[tokio::test]
async fn a_taken_port_names_the_member_and_the_port() {
    let work = Work::new();
    let flip = Flip {
        replicas: 3,
        max_entry_size: None,
        performance_multiplier: 1,
        apart: false,
    };
    for (ordinal, kind) in [(0, "api_port"), (0, "cluster_port"), (1, "api_port")] {
        let port = work.port(ordinal, kind);
        let _held = TcpListener::bind(("127.0.0.1", port)).unwrap();
        let error = if ordinal == 0 {
            work.platform.replace(FIRST, &armed()).await.unwrap_err()
        } else {
            work.platform.rehearse_flip(&flip).await.unwrap_err()
        };
        let name = format!("openbao-{ordinal}");
        assert!(
            matches!(&error, Error::PortTaken { member, port: taken } if *member == name && *taken == port),
            "{error:?}"
        );
        let text = error.to_string();
        assert!(
            text.contains(&name) && text.contains(&port.to_string()),
            "{text}"
        );
    }
    assert_eq!(work.platform.instance(FIRST).await.unwrap(), None);
}

#[tokio::test]
async fn a_missing_program_names_the_cure() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("bao");
    let work = folder.path().join("work");
    let cured = |error: Error| {
        assert!(matches!(error, Error::MissingProgram { .. }), "{error:?}");
        let text = error.to_string();
        assert!(
            text.contains("make bao") && text.contains("--bao PATH"),
            "{text}"
        );
        assert!(text.contains(&program.display().to_string()), "{text}");
    };
    cured(find_bao(Some(&program), StorageKind::File).unwrap_err());
    cured(LocalPlatform::create(&work, &program, CreateOptions::default()).unwrap_err());

    // There when the work folder was made, gone when it is needed.
    fs::copy(bao(), &program).unwrap();
    let platform = LocalPlatform::create(&work, &program, CreateOptions::default()).unwrap();
    fs::remove_file(&program).unwrap();
    cured(platform.release().await.unwrap_err());
    cured(platform.replace(FIRST, &armed()).await.unwrap_err());
    assert_eq!(platform.instance(FIRST).await.unwrap(), None);
}

/// The tombstone of a migration: what `bao operator migrate` leaves while it runs.
const TOMBSTONE: &[u8] = br#"{"Value":"eyJzdGFydCI6IjIwMjYtMDEtMDFUMDA6MDA6MDBaIn0="}"#;

#[tokio::test]
async fn a_file_server_does_not_start_over_a_tombstone_and_its_log_tells_why() {
    let work = Work::new();
    make_source(&work.platform, FEW, &Silent).await.unwrap();
    work.platform.stop(FIRST, &armed()).await.unwrap();
    let manifest = || work.platform.tree_manifest(FIRST, Phase::Sealed, &Silent);
    let before = manifest().await.unwrap();
    for _ in 0..2 {
        work.platform
            .write_tree_entry(FIRST, "core/migration", TOMBSTONE, &armed())
            .await
            .unwrap();
    }
    assert_eq!(
        work.platform
            .tree_entry(FIRST, "core/migration")
            .await
            .unwrap()
            .as_deref(),
        Some(TOMBSTONE)
    );
    assert_eq!(manifest().await.unwrap(), before);

    let error = work.platform.replace(FIRST, &armed()).await.unwrap_err();
    let Error::DidNotStart { member, log, .. } = &error else {
        panic!("{error:?}");
    };
    assert_eq!(member, FIRST);
    assert!(!log.is_empty() && log.len() <= 15, "{log:?}");
    let text = error.to_string();
    assert!(text.contains("migration in progress"), "{text}");
    assert!(text.ends_with(log.last().unwrap()), "{text}");
    assert_eq!(work.platform.instance(FIRST).await.unwrap(), None);

    for _ in 0..2 {
        work.platform
            .remove_tree_entry(FIRST, "core/migration", &armed())
            .await
            .unwrap();
    }
    work.platform.replace(FIRST, &armed()).await.unwrap();
    let node = work.platform.http_node(FIRST).unwrap();
    let status = node.seal_status().await.unwrap();
    assert!(status.initialized && status.sealed);
}

#[tokio::test]
async fn raft_files_are_moved_aside_only_from_a_stopped_server() {
    let work = Work::new();
    work.platform.replace(FIRST, &armed()).await.unwrap();
    let aside = || async { work.platform.set_raft_aside(FIRST, "run1", &armed()).await };
    let refused = aside().await.unwrap_err();
    assert!(
        matches!(&refused, Error::Refused(why) if why.contains(FIRST) && why.contains("stopped")),
        "{refused:?}"
    );
    work.platform.stop(FIRST, &armed()).await.unwrap();
    let data = work.node(FIRST).join("data");
    fs::write(data.join("vault.db"), "db").unwrap();
    for _ in 0..2 {
        aside().await.unwrap();
        let volume = work.platform.volume(FIRST).await.unwrap();
        assert!(!volume.raft_files);
        assert_eq!(volume.aside, ["raft-aside-run1"]);
    }
    assert!(data.join("raft-aside-run1/vault.db").exists());
}

#[tokio::test]
async fn secrets_read_back_and_the_releases_own_is_never_removed() {
    let work = Work::new();
    let data = SecretData::from([
        ("unseal-key".to_owned(), "one\ntwo\"\\ä".into()),
        ("empty".to_owned(), String::new().into()),
    ]);
    for name in [
        SecretName::Unseal,
        SecretName::Parked,
        SecretName::Throwaway,
    ] {
        assert!(secret(&work, name).await.is_none());
        for _ in 0..2 {
            work.platform
                .write_secret(name, &data, &armed())
                .await
                .unwrap();
            let read = secret(&work, name).await.unwrap();
            assert_eq!(read.len(), 2);
            assert!(
                read.iter()
                    .all(|(field, value)| value.expose_secret() == data[field].expose_secret())
            );
        }
    }
    crate::work::assert_private(work.platform.work_dir());

    let refused = work
        .platform
        .remove_secret(SecretName::Unseal, &armed())
        .await;
    assert!(matches!(refused, Err(Error::Refused(_))), "{refused:?}");
    assert!(secret(&work, SecretName::Unseal).await.is_some());
    for _ in 0..2 {
        work.platform
            .remove_secret(SecretName::Parked, &armed())
            .await
            .unwrap();
        assert!(secret(&work, SecretName::Parked).await.is_none());
    }
    assert!(secret(&work, SecretName::Throwaway).await.is_some());
}

#[tokio::test]
async fn a_flip_starts_the_followers_once_and_leaves_the_first_as_it_runs() {
    let work = Work::new();
    work.platform.replace(FIRST, &armed()).await.unwrap();
    let instances = || async {
        let status = work.platform.status().unwrap();
        let found: Vec<_> = status.into_iter().map(|member| member.instance).collect();
        <[_; 4]>::try_from(found).unwrap()
    };
    let flip = Flip {
        replicas: 3,
        max_entry_size: Some(4 << 20),
        performance_multiplier: 1,
        apart: false,
    };
    let topology = work.platform.work_dir().join("local.json");
    let before = (fs::read(&topology).unwrap(), instances().await);
    let source = work.platform.before().await.unwrap();
    let plan = work.platform.rehearse_flip(&flip).await.unwrap();
    assert!(plan.diff.contains("+storage \"raft\""), "{}", plan.diff);
    assert!(
        plan.diff.contains("max_entry_size = \"4194304\""),
        "{}",
        plan.diff
    );
    assert!(
        plan.calls
            .iter()
            .any(|call| call.contains("leave openbao-0"))
    );
    assert_eq!((fs::read(&topology).unwrap(), instances().await), before);

    work.platform
        .flip(&flip, &source, &Silent, &armed())
        .await
        .unwrap();
    let flipped = instances().await;
    assert_eq!(flipped[0], before.1[0]);
    assert!(flipped[1].is_some() && flipped[2].is_some() && flipped[3].is_none());
    let first = work.platform.http_node(FIRST).unwrap();
    assert_eq!(first.seal_status().await.unwrap().storage_type, "file");
    for member in ["openbao-1", "openbao-2"] {
        let status = work.platform.http_node(member).unwrap().seal_status().await;
        assert_eq!(status.unwrap().storage_type, "raft");
    }
    let release = work.platform.release().await.unwrap();
    assert_eq!((release.storage, release.replicas), (StorageKind::Raft, 3));

    work.platform
        .flip(&flip, &source, &Silent, &armed())
        .await
        .unwrap();
    assert_eq!(instances().await, flipped);
    assert_eq!(work.platform.release().await.unwrap(), release);

    // A follower that is gone is what a second flip starts, and nothing else.
    work.platform.kill_now("openbao-2").await.unwrap();
    work.platform
        .flip(&flip, &source, &Silent, &armed())
        .await
        .unwrap();
    let again = instances().await;
    assert_eq!(again[..2], flipped[..2]);
    assert!(again[2].is_some() && again[2] != flipped[2]);

    for _ in 0..2 {
        work.platform
            .revert(&source, &Silent, &armed())
            .await
            .unwrap();
        let back = instances().await;
        assert_eq!(back[0], before.1[0]);
        assert!(back[1..].iter().all(Option::is_none));
    }
    let release = work.platform.release().await.unwrap();
    assert_eq!((release.storage, release.replicas), (StorageKind::File, 1));
}

#[tokio::test]
async fn a_scratch_node_begins_empty_and_leaves_nothing() {
    let work = Work::new();
    let node = work.platform.scratch_start(&armed()).await.unwrap();
    let status = node.seal_status().await.unwrap();
    assert!(!status.initialized);
    assert_eq!(status.storage_type, "raft");
    node.init(1, 1, &armed()).await.unwrap();
    let first = work.platform.instance("scratch").await.unwrap().unwrap();
    assert!(!work.platform.members().contains(&"scratch".to_owned()));

    // As after a crash: nobody discarded the first one.
    let opened = LocalPlatform::open(work.platform.work_dir()).unwrap();
    let node = opened.scratch_start(&armed()).await.unwrap();
    assert!(!node.seal_status().await.unwrap().initialized);
    assert_ne!(opened.instance("scratch").await.unwrap().unwrap(), first);
    for _ in 0..2 {
        opened.scratch_discard(&armed()).await.unwrap();
        assert_eq!(opened.instance("scratch").await.unwrap(), None);
        assert!(!work.node("scratch").exists());
    }
}

#[tokio::test]
async fn a_folder_or_a_member_that_is_not_ours_is_refused() {
    let work = Work::new();
    let taken = LocalPlatform::create(work.platform.work_dir(), &bao(), CreateOptions::default());
    assert!(taken.unwrap_err().to_string().contains("is not empty"));
    let other = tempfile::tempdir().unwrap();
    let error = LocalPlatform::open(other.path()).unwrap_err().to_string();
    assert!(error.contains("baoctl rehearse --source-only"), "{error}");
    for error in [
        work.platform.instance("openbao-7").await.unwrap_err(),
        work.platform.stop("../x", &armed()).await.unwrap_err(),
        work.platform.volume("").await.unwrap_err(),
    ] {
        assert!(
            error.to_string().starts_with("there is no member"),
            "{error}"
        );
    }
}
