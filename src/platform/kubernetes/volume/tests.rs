//! The scripts by this machine's own shells, against folders; what they print by the parsers of the real thing.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::*;
use crate::meter::Silent;
use crate::platform::kubernetes::exec::{Tail, command};
use crate::storage::{self, Source, TreeOptions};

/// Where a script finds its programs.
struct Programs {
    /// `None`: as this test does. Else a folder with links to busybox and nothing else.
    only: Option<TempDir>,
}

/// This machine's programs, and busybox where that is installed.
fn programs() -> Vec<Programs> {
    let mut all = vec![Programs { only: None }];
    let folder = tempfile::tempdir().unwrap();
    let installed = Command::new("busybox")
        .args(["--install", "-s"])
        .arg(folder.path())
        .status();
    if installed.is_ok_and(|status| status.success()) {
        all.push(Programs { only: Some(folder) });
    }
    all
}

impl Programs {
    /// Runs a script as it is run in a container.
    fn run(&self, script: &str, args: &[&str], stdin: &[u8]) -> (Ended, Vec<u8>) {
        let words = command(script, args);
        let mut shell = match &self.only {
            None => Command::new("sh"),
            Some(folder) => {
                let mut shell = Command::new(folder.path().join("sh"));
                shell.env("PATH", folder.path());
                shell
            }
        };
        let mut child = shell
            .args(&words[1..])
            .env("LC_ALL", "C")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        input.write_all(stdin).unwrap();
        drop(input);
        let output = child.wait_with_output().unwrap();
        let mut tail = Tail::default();
        let out = tail.push(&output.stdout);
        let ended = Ended {
            code: output.status.code().unwrap(),
            complaints: String::from_utf8_lossy(&output.stderr).into_owned(),
        };
        assert_eq!(tail.mark(), Some(ended.code), "{ended:?}");
        (ended, out)
    }

    fn well(&self, script: &str, args: &[&str]) -> Vec<u8> {
        let (ended, out) = self.run(script, args, b"");
        assert_eq!(ended.code, 0, "{ended:?}");
        out
    }

    fn look(&self, data: &Path) -> Volume {
        let seen = self.well(LOOK, &[text(data)]);
        looked(&String::from_utf8_lossy(&seen)).unwrap()
    }

    fn listing(&self, data: &Path, phase: Phase) -> Result<listing::Made> {
        let (ended, out) = self.run(MANIFEST, &[text(data)], b"");
        assert_eq!(ended.code, 0, "{ended:?}");
        listing::digests(&out, phase, &ended)
    }

    fn manifest(&self, data: &Path, phase: Phase) -> DigestList {
        match self.listing(data, phase).unwrap() {
            listing::Made::Whole(list) => list,
            changed @ listing::Made::Changed(..) => panic!("{changed:?}"),
        }
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn put(data: &Path, file: impl AsRef<Path>, value: &[u8]) {
    let path = data.join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, storage::tree::encode(value)).unwrap();
}

fn tree() -> TempDir {
    let data = tempfile::tempdir().unwrap();
    let at = data.path();
    for (file, value) in [
        ("core/_keyring", "one"),
        ("core/_lock", "two"),
        ("sys/policy/_a b", "three"),
        ("logical/u/_back\\slash", "four"),
        ("logical/u/_line\nfeed", "five"),
        ("logical/u/_re\rturn", "six"),
        ("logical/u/_-dash'\"$x`*", "seven"),
        ("logical/\u{e4} \u{20ac}/_b", "eight"),
        ("logical/u/_c.temp", "nine"),
        (".hidden/_d", "ten"),
        ("-top/_e", "eleven"),
        ("_top", "twelve"),
        ("raft/_no", "no"),
        ("raft-aside-x/_no", "no"),
        ("lost+found/_no", "no"),
        (".baoctl-x/_no", "no"),
    ] {
        put(at, file, value.as_bytes());
    }
    fs::write(at.join("vault.db"), "db").unwrap();
    fs::write(at.join("core/_empty"), "").unwrap();
    fs::create_dir(at.join("empty")).unwrap();
    data
}

/// The local platform's manifest of the same folder.
fn reference(data: &Path, phase: Phase) -> DigestList {
    let options = TreeOptions {
        phase,
        tombstone: fs::read(data.join("core/_migration")).ok(),
    };
    storage::manifest::manifest(Source::Directory(data), &options, &Silent)
        .unwrap()
        .0
}

#[test]
fn the_manifest_is_the_local_one_whatever_the_names_are() {
    let data = tree();
    for programs in programs() {
        for phase in [Phase::Live, Phase::Sealed] {
            let made = programs.manifest(data.path(), phase);
            assert_eq!(made, reference(data.path(), phase));
            assert_eq!(made.len(), if phase == Phase::Live { 11 } else { 12 });
        }
    }
    put(data.path(), "core/_migration", b"mark");
    for programs in programs() {
        let made = programs.manifest(data.path(), Phase::Sealed);
        assert_eq!(made, reference(data.path(), Phase::Sealed));
        assert!(made.get("core/migration").is_none());
    }
}

#[test]
fn an_empty_tree_has_an_empty_manifest() {
    let data = tempfile::tempdir().unwrap();
    fs::create_dir(data.path().join("raft")).unwrap();
    for programs in programs() {
        assert!(programs.manifest(data.path(), Phase::Sealed).is_empty());
        let (ended, _) = programs.run(MANIFEST, &[text(&data.path().join("absent"))], b"");
        assert_ne!(ended.code, 0);
    }
}

#[test]
fn what_is_no_tree_is_refused_by_name() {
    for programs in programs() {
        let data = tree();
        std::os::unix::fs::symlink("_keyring", data.path().join("core/_link")).unwrap();
        let error = programs.listing(data.path(), Phase::Live).unwrap_err();
        assert!(error.to_string().starts_with("core/_link: "), "{error}");

        let data = tree();
        fs::write(data.path().join("core/plain"), "x").unwrap();
        let error = programs.listing(data.path(), Phase::Live).unwrap_err();
        assert!(error.to_string().starts_with("core/plain: "), "{error}");

        let data = tree();
        put(data.path(), OsStr::from_bytes(b"core/_\xff"), b"x");
        assert!(programs.listing(data.path(), Phase::Live).is_err());
    }
}

/// Each batch with a file that `sha256sum` or one of the `stat`s no longer saw.
#[test]
fn a_file_that_goes_or_changes_is_not_listed_with_halves() {
    let sum = "0".repeat(64);
    let stat = "3 9 1 ./_a\n";
    let line = format!("{sum}  ./_a\n");
    let ended = |complaints: &str| Ended {
        code: 0,
        complaints: complaints.to_owned(),
    };
    let listed = |middle: &str, complaints: &str| {
        let out = format!("\0batch 1\n./_a\0{middle}end\ncodes 0 0 0\n");
        listing::digests(out.as_bytes(), Phase::Sealed, &ended(complaints))
    };
    let whole = format!("{stat}{line}{stat}");
    assert!(matches!(listed(&whole, ""), Ok(listing::Made::Whole(list)) if list.len() == 1));
    let gone = "sha256sum: ./_a: No such file or directory";
    for middle in [
        format!("{stat}{line}4 9 1 ./_a\n"),
        format!("{stat}{line}3 8 1 ./_a\n"),
        format!("{stat}{line}"),
        format!("{stat}{stat}"),
        String::new(),
    ] {
        let made = listed(&middle, gone).unwrap();
        assert!(
            matches!(&made, listing::Made::Changed(Some(list), _) if list.is_empty()),
            "{middle}: {made:?}"
        );
    }
    assert!(listed(&whole, "sha256sum: ./_b: Permission denied").is_err());
    assert!(listed("noise", "").is_err());
    for cut in 0..whole.len() {
        let out = format!("\0batch 1\n./_a\0{}", &whole[..cut]);
        assert!(listing::digests(out.as_bytes(), Phase::Live, &ended("")).is_err());
    }
}

#[test]
fn many_files_take_no_process_each() {
    let data = tempfile::tempdir().unwrap();
    for number in 0..3000 {
        put(
            data.path(),
            format!("logical/{}/_k{number}", number % 7),
            b"v",
        );
    }
    for programs in programs() {
        let started = std::time::Instant::now();
        let made = programs.manifest(data.path(), Phase::Sealed);
        assert_eq!(made, reference(data.path(), Phase::Sealed));
        assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
    }
}

#[test]
fn the_copy_is_an_archive_of_the_same_tree() {
    let data = tree();
    let long = format!("logical/{}/_{}", "a".repeat(90), "b".repeat(90));
    put(data.path(), &long, b"long");
    for programs in programs() {
        let out = programs.well(COPY, &[text(data.path())]);
        let mut watch = TarWatch::default();
        let files = watch.feed(&out);
        watch.whole().unwrap();
        let options = TreeOptions::new(Phase::Sealed);
        let source = Source::Tar(Box::new(out.as_slice()));
        let (made, _) = storage::manifest::manifest(source, &options, &Silent).unwrap();
        assert_eq!(made, reference(data.path(), Phase::Sealed));
        assert_eq!(files, made.len() as u64 + 1, "and the lock");
    }
    let empty = tempfile::tempdir().unwrap();
    for programs in programs() {
        let mut watch = TarWatch::default();
        assert_eq!(watch.feed(&programs.well(COPY, &[text(empty.path())])), 0);
        watch.whole().unwrap();
    }
}

#[test]
fn only_a_trees_own_changes_are_forgiven() {
    for complaints in [
        "tar: ./core/_lock: file changed as we read it",
        "tar: ./a/_b: File removed before we read it\n",
        "tar: ./x: Cannot stat: No such file or directory\ntar: Exiting with failure status due to previous errors",
    ] {
        assert!(only_changes(complaints), "{complaints}");
    }
    for complaints in [
        "",
        "tar: ./a: Cannot open: Permission denied",
        "tar: ./a: File shrank by 3 bytes; padding with zeros",
        "tar: ./a: file changed as we read it\ntar: -: Wrote only 4096 of 10240 bytes",
    ] {
        assert!(!only_changes(complaints), "{complaints}");
    }
}

#[test]
fn an_entry_is_written_whole_read_and_removed() {
    for programs in programs() {
        let data = tree();
        let at = text(data.path());
        let file = b"{\"Value\":\"bWFyaw==\"}\n";
        let length = file.len().to_string();
        for _ in 0..2 {
            let (ended, _) = programs.run(WRITE_ENTRY, &[at, "core/_migration", &length], file);
            assert_eq!(ended.code, 0, "{ended:?}");
        }
        let path = data.path().join("core/_migration");
        assert_eq!(fs::read(&path).unwrap(), file);
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert_eq!(programs.well(READ_ENTRY, &[at, "core/_migration"]), file);
        let (ended, out) = programs.run(READ_ENTRY, &[at, "no/such/_entry"], b"");
        assert_eq!((ended.code, out.len()), (ABSENT, 0));

        let (cut, _) = programs.run(WRITE_ENTRY, &[at, "core/_other", &length], &file[..4]);
        assert_eq!(
            (cut.code, cut.last_lines().as_str()),
            (1, "the input was cut")
        );
        assert!(!data.path().join("core/_other").exists());
        assert!(!data.path().join("core/_other.temp").exists());

        let cut_off = data.path().join("core/_migration.temp");
        fs::write(&cut_off, "{").unwrap();
        for _ in 0..2 {
            programs.well(REMOVE_ENTRY, &[at, "core/_migration"]);
        }
        assert!(!path.exists() && !cut_off.exists());
        programs.well(REMOVE_ENTRY, &[at, "no/such/_entry"]);
    }
}

fn raft(data: &Path) {
    fs::write(data.join("vault.db"), "db").unwrap();
    fs::create_dir_all(data.join("raft/snapshots")).unwrap();
    fs::write(data.join("raft/raft.db"), "log").unwrap();
}

#[test]
fn raft_files_are_moved_aside_and_nothing_else() {
    for programs in programs() {
        let data = tempfile::tempdir().unwrap();
        put(data.path(), "core/_keyring", b"x");
        raft(data.path());
        let aside = |label: &str| programs.well(SET_ASIDE, &[text(data.path()), label]);
        let before = programs.look(data.path());
        assert!(before.file_tree && before.raft_files && before.free_bytes > 0);
        aside("run1");
        aside("run1");
        let after = programs.look(data.path());
        assert!(after.file_tree && !after.raft_files);
        assert_eq!(after.aside, ["raft-aside-run1"]);
        raft(data.path());
        aside("run1");
        let again = programs.look(data.path());
        assert_eq!(again.aside, ["raft-aside-run1", "raft-aside-run1.2"]);
        assert!(data.path().join("raft-aside-run1.2/raft/raft.db").exists());

        // Cut between its two moves.
        raft(data.path());
        let folder = data.path().join("raft-aside-run2");
        fs::create_dir(&folder).unwrap();
        fs::rename(data.path().join("vault.db"), folder.join("vault.db")).unwrap();
        aside("run2");
        assert!(folder.join("vault.db").exists() && folder.join("raft/raft.db").exists());
        aside("nothing-left");
        assert_eq!(programs.look(data.path()).aside.len(), 3);
        let absent = data.path().join("absent");
        programs.well(SET_ASIDE, &[text(&absent), "x"]);
    }
}

#[test]
fn a_volume_without_data_is_seen_as_that() {
    for programs in programs() {
        let data = tempfile::tempdir().unwrap();
        let seen = programs.look(data.path());
        assert!(!seen.file_tree && !seen.store && !seen.raft_files && seen.free_bytes > 0);
        for name in ["_lock", "_migration"] {
            put(data.path(), Path::new("core").join(name), b"x");
        }
        assert!(!programs.look(data.path()).file_tree);
        let below = data.path().join("not/yet/there");
        assert!(programs.look(&below).free_bytes > 0);
    }
}

#[test]
fn the_room_is_read_whatever_the_names_around_it_are() {
    let lines = [
        "/dev/sdb 1023 100 900 10% /openbao/data",
        "my nfs:/a b 1023 100 900 10% /data of openbao",
    ];
    for line in lines {
        assert_eq!(available(line), Some(900 * 1024), "{line}");
    }
    assert_eq!(available("nothing"), None);
    assert!(looked("tree\n").is_err());
}

/// A store, and a folder to lay it out in.
fn store() -> (TempDir, TempDir) {
    let (data, work) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for (file, text) in [
        ("000002.log", "log"),
        ("000008.sst", "table"),
        ("CURRENT", "MANIFEST-000001"),
        ("LOCK", ""),
        ("MANIFEST-000001", "manifest"),
        ("OPTIONS-000003", "options"),
        ("vault.db", "raft"),
        ("audit.log", "requests"),
    ] {
        fs::write(data.path().join(file), text).unwrap();
    }
    (data, work)
}

/// A program that stands for the server's own: it keeps a list of the copy that it is given.
const BAO: &str = r#"#!/bin/sh
config=${4#-config=}
new=${config%/*}
echo "2026-01-01T00:00:00.000Z [INFO]  copied key: path=core/keyring"
if [ -e "$new/store/000666.sst" ]; then echo "Error migrating: corrupt" >&2; exit 2; fi
grep -q "path = \"$new/store\"" "$config" && grep -q "path = \"$new/tree\"" "$config" || exit 3
ls "$new/store" > "$new/tree/_list"
"#;

/// Lays a store out with such a program at hand: where, or why not.
fn lay_out(programs: &Programs, store: &Path, work: &Path) -> std::result::Result<PathBuf, String> {
    lay_out_with(programs, store, work, BAO, "")
}

/// The same with this program, and with shell functions in the place of the system's programs.
fn lay_out_with(
    programs: &Programs,
    store: &Path,
    work: &Path,
    bao: &str,
    functions: &str,
) -> std::result::Result<PathBuf, String> {
    let bin = tempfile::tempdir().unwrap();
    let program = bin.path().join("bao");
    fs::write(&program, bao).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let script = format!(
        "PATH={}:$PATH\n{functions}\n{LAY_OUT}",
        bin.path().display()
    );
    let name = Uuid::new_v4().to_string();
    let args = [text(store), text(work), &name, AT_ONCE];
    let (ended, out) = programs.run(&script, &args, b"");
    let out = String::from_utf8(out).unwrap();
    match out.lines().last().and_then(|it| it.strip_prefix(LAID_OUT)) {
        Some(tree) if ended.code == 0 => Ok(PathBuf::from(tree)),
        _ => Err(format!("{out}{}", ended.complaints)),
    }
}

#[test]
fn a_store_is_laid_out_again_when_it_is_another() {
    for programs in programs() {
        let (data, work) = store();
        let at = |name: &str| data.path().join(name);
        let seen = programs.look(data.path());
        assert!(seen.store && !seen.file_tree);
        let laid_out = || lay_out(&programs, data.path(), work.path()).unwrap();
        let first = laid_out();
        let copied = fs::read_to_string(first.join("_list")).unwrap();
        assert_eq!(
            copied.lines().collect::<Vec<_>>(),
            [
                "000002.log",
                "000008.sst",
                "CURRENT",
                "MANIFEST-000001",
                "OPTIONS-000003"
            ]
        );
        // Neither the tombstone nor what raft and others have there is of it.
        fs::write(at("marker.format-version.999999.moved-to-raft"), "x").unwrap();
        fs::write(at("vault.db"), "more").unwrap();
        fs::write(at("audit.log"), "more").unwrap();
        assert_eq!(laid_out(), first);

        fs::write(at("000002.log"), "log, and more").unwrap();
        let second = laid_out();
        assert!(second != first && !first.exists());
        assert!(!second.with_file_name("store").exists(), "the copy stays");

        // A try that went wrong leaves nothing that passes for a tree.
        fs::write(at("000666.sst"), "table").unwrap();
        let why = lay_out(&programs, data.path(), work.path()).unwrap_err();
        assert!(why.contains("Error migrating: corrupt"), "{why}");
        fs::remove_file(at("000666.sst")).unwrap();
        assert!(laid_out() != second);
        assert_eq!(fs::read_dir(work.path()).unwrap().count(), 1);
    }
}

#[test]
fn a_node_whose_disk_fills_meanwhile_is_left_alone() {
    // Nearly empty until the store is laid out.
    const DF: &str = r#"df() {
if [ -e "$2"/*/pid ]; then used=95; else used=10; fi
echo "fs 1000000 5 999995 $used% /"
}"#;
    let endless = "#!/bin/sh\nexec sleep 60\n";
    for programs in programs() {
        let (data, work) = store();
        let why = lay_out_with(&programs, data.path(), work.path(), endless, DF).unwrap_err();
        assert!(why.contains("disk is 90 % full"), "{why}");
        assert_eq!(fs::read_dir(work.path()).unwrap().count(), 0);
    }
}

#[test]
fn one_that_went_on_behind_a_later_try_comes_to_nothing() {
    for programs in programs() {
        let (data, work) = store();
        // It has its copy when another try begins, and makes its folders again.
        let early = work.path().join("early");
        fs::create_dir_all(early.join("tree")).unwrap();
        fs::write(early.join("sums"), "x").unwrap();
        lay_out(&programs, data.path(), work.path()).unwrap();
        assert!(!early.exists(), "what it would give its name at its end");
    }
}

#[test]
fn what_a_store_cannot_be_laid_out_with_is_told() {
    for programs in programs() {
        let (data, work) = store();
        let args = [text(data.path()), text(work.path()), "name", AT_ONCE];
        let (ended, _) = programs.run(LAY_OUT, &args, b"");
        assert!(ended.complaints.contains("--helper-image"), "{ended:?}");
        assert_eq!(ended.code, 1);
        let empty = tempfile::tempdir().unwrap();
        let why = lay_out(&programs, empty.path(), work.path()).unwrap_err();
        assert!(why.contains("holds no store of pebbledb"), "{why}");
    }
}

#[test]
fn a_store_that_changes_under_the_copy_is_copied_again() {
    const STORE: &str = include_str!("../scripts/store.sh");
    for programs in programs() {
        let (data, work) = store();
        let to = work.path().join("copy");
        // A log becomes a table while the first file is copied.
        let script = format!(
            "{STORE}\ncp() {{\ncommand cp \"$@\" || return\nif [ -e \"$3/000002.log\" ]; then mv \"$3/000002.log\" \"$3/000010.sst\"; fi\n}}\n\
             copy_store \"$1\" \"$2\""
        )
        .replace("$3", text(data.path()));
        programs.well(&script, &[text(data.path()), text(&to)]);
        let mut copied: Vec<_> = fs::read_dir(&to)
            .unwrap()
            .map(|it| it.unwrap().file_name().into_string().unwrap())
            .collect();
        copied.sort();
        assert_eq!(
            copied,
            [
                "000008.sst",
                "000010.sst",
                "CURRENT",
                "MANIFEST-000001",
                "OPTIONS-000003"
            ]
        );
    }
}
