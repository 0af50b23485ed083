//! The program as an operator runs it, on real servers: a work folder, commands on it, and what they said.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use baoctl::action::Keys;
use baoctl::bao::{Health, HttpNode, Node};
use baoctl::platform::local::{Golden, LocalPlatform, find_bao, verify};
use baoctl::platform::{Platform, SecretName, StorageKind};
use serde_json::Value;

/// The word that confirms an outage of local servers.
pub const WORD: &str = "local";
/// A migration with all that could be asked agreed to.
pub const MIGRATE: [&str; 6] = [
    "migrate-raft",
    "--platform",
    "local",
    "--yes",
    "--confirm-outage",
    WORD,
];
/// The same for one that goes on.
pub const RESUME: [&str; 4] = ["resume", "--yes", "--confirm-outage", WORD];
/// The way back.
pub const ROLLBACK: [&str; 4] = ["rollback", "--yes", "--confirm-outage", WORD];
/// Longer than any command takes on a busy machine.
const LIMIT: Duration = Duration::from_secs(400);

/// A folder with the work folder in it. Its servers end with it.
pub struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    pub fn new() -> Self {
        find_bao(None, StorageKind::File)
            .expect("these tests run a real server: `make bao` gets it");
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    /// With a source on file storage that serves.
    pub fn with_source(args: &[&str]) -> Self {
        let place = Self::new();
        let mut all = vec!["rehearse", "--source-only"];
        all.extend(args);
        place.run(&all).expect_code(0);
        place
    }

    /// A rehearsal that stopped after `step`.
    pub fn until(step: &str, args: &[&str]) -> Self {
        let place = Self::new();
        let mut all = vec!["rehearse", "--entries", "200", "--until", step];
        all.extend(args);
        place.run(&all).expect_code(0);
        place
    }

    /// With a source of this many entries, and a migration of it that ended after `step`.
    pub fn migrated(step: &str) -> Self {
        let place = Self::with_source(&["--entries", "200"]);
        place.migrate("migrate-raft", step);
        place
    }

    /// Migrates by the runbook, up to the end of the step.
    pub fn migrate(&self, runbook: &str, step: &str) -> Said {
        let mut args = MIGRATE.to_vec();
        args.extend(["--json", "--runbook", runbook, "--until", step]);
        let said = self.run(&args);
        said.expect_code(0);
        said
    }

    /// Reads the sample data back from a member that serves, with the old token.
    #[track_caller]
    pub fn assert_data(&self, member: &str) {
        let golden = Golden::load(&self.platform().golden_file()).unwrap();
        let token = self.keys(SecretName::Unseal).expect("the old key").token;
        let active = wait(self.node(member).health()).unwrap() == Health::Active;
        let checked = wait(verify(&golden, &self.node(member), &token, active)).unwrap();
        assert!(checked > 20, "{checked}");
    }

    pub fn work(&self) -> PathBuf {
        self.folder.path().join("work")
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The runbook of docs/runbooks.md and its program, in a folder of their own: what the program makes is found there.
    pub fn example(&self) -> PathBuf {
        let folder = self.path("books");
        std::fs::create_dir(&folder).unwrap();
        for name in ["with-change-record.yaml", "change-record.sh"] {
            let from = format!("{}/docs/examples/{name}", env!("CARGO_MANIFEST_DIR"));
            std::fs::copy(from, folder.join(name)).unwrap();
        }
        folder.join("with-change-record.yaml")
    }

    pub fn journal(&self) -> PathBuf {
        self.work().join("run/journal.jsonl")
    }

    pub fn log(&self, member: &str) -> PathBuf {
        self.work().join("nodes").join(member).join("server.log")
    }

    pub fn platform(&self) -> LocalPlatform {
        LocalPlatform::open(&self.work()).unwrap()
    }

    pub fn node(&self, member: &str) -> HttpNode {
        self.platform().http_node(member).unwrap()
    }

    /// The server's process id, as the platform recorded it.
    pub fn pid(&self, member: &str) -> i32 {
        let file = self.work().join("nodes").join(member).join("process.json");
        let record: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
        i32::try_from(record["pid"].as_i64().unwrap()).unwrap()
    }

    /// The keys of one of the Secrets.
    pub fn keys(&self, name: SecretName) -> Option<Keys> {
        let secret = wait(self.platform().secret(name)).unwrap();
        secret.as_ref().and_then(Keys::from_secret)
    }

    /// What a client of the server sends; the status code.
    pub fn send(&self, method: &str, member: &str, path: &str, token: &str, body: &Value) -> u16 {
        self.ask(method, member, path, token, body).0
    }

    /// The same with the answer, null where there is none.
    pub fn ask(
        &self,
        method: &str,
        member: &str,
        path: &str,
        token: &str,
        body: &Value,
    ) -> (u16, Value) {
        baoctl::bao::install_crypto();
        let status = self.platform().status().unwrap();
        let server = status.iter().find(|server| server.name == member).unwrap();
        let request = reqwest::Client::new()
            .request(
                method.parse().unwrap(),
                format!("{}/v1/{path}", server.address),
            )
            .header("X-Vault-Token", token)
            .json(body);
        wait(async {
            let answer = request.send().await.unwrap();
            let status = answer.status().as_u16();
            let body = answer.bytes().await.unwrap();
            (status, serde_json::from_slice(&body).unwrap_or_default())
        })
    }

    /// The member that leads.
    #[track_caller]
    pub fn leader(&self) -> String {
        let members = self.platform().members();
        members
            .into_iter()
            .find(|member| wait(self.node(member).health()).is_ok_and(|it| it == Health::Active))
            .expect("a member leads")
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_baoctl"));
        command
            .args(args)
            .arg("--work-dir")
            .arg(self.work())
            .stdin(Stdio::null())
            .env("NO_COLOR", "1")
            .env("BAOCTL_BAO", find_bao(None, StorageKind::File).unwrap());
        command
    }

    /// Runs a command to its end.
    pub fn run(&self, args: &[&str]) -> Said {
        let output = self.command(args).output().unwrap();
        Said {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Starts a command that prints events.
    pub fn start(&self, args: &[&str]) -> Running {
        let mut command = self.command(args);
        command.arg("--json").stdout(Stdio::piped());
        command.stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Running { child, lines }
    }

    /// Goes on, with all that could be asked agreed to, and expects a good end. The summary.
    pub fn finish(&self) -> Value {
        let mut args = RESUME.to_vec();
        args.push("--json");
        let said = self.run(&args);
        said.expect_code(0);
        said.summary()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Ok(platform) = LocalPlatform::open(&self.work()) {
            let _ = wait(platform.kill_all());
        }
    }
}

/// What a command said.
pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Said {
    #[track_caller]
    pub fn expect_code(&self, code: i32) -> &Self {
        if self.code != code {
            // The end first and last: a runner that shortens what is printed cuts out the middle.
            let end: Vec<&str> = self.out.lines().rev().take(6).collect();
            panic!(
                "{} and not {code}, with at the end:\n{}\nof:\n{}\n{}",
                self.code,
                end.join("\n"),
                self.out,
                self.err
            );
        }
        self
    }

    #[track_caller]
    pub fn expect_words(&self, words: &[&str]) -> &Self {
        let text = format!("{}\n{}", self.out, self.err);
        // Lines are broken for reading; words are not.
        let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
        for word in words {
            assert!(flat.contains(word), "no `{word}` in:\n{text}");
        }
        self
    }

    pub fn events(&self) -> Vec<Value> {
        self.out
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    #[track_caller]
    pub fn summary(&self) -> Value {
        let last = self.events().pop().expect("an event");
        assert_eq!(last["event"], "summary", "{last:#}");
        last
    }
}

/// A command under way.
pub struct Running {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Running {
    /// Reads events until one fits; `None` when the command ended without it.
    pub fn until(&mut self, mut fits: impl FnMut(&Value) -> bool) -> Option<Value> {
        let mut line = String::new();
        loop {
            line.clear();
            if self.lines.read_line(&mut line).unwrap() == 0 {
                return None;
            }
            let event: Value = serde_json::from_str(&line).unwrap();
            if fits(&event) {
                return Some(event);
            }
        }
    }

    #[track_caller]
    pub fn until_step(&mut self, step: &str) {
        self.until(|event| event["event"] == "step-started" && event["step"] == step)
            .unwrap_or_else(|| panic!("it ended before the step {step}"));
    }

    #[track_caller]
    pub fn until_action(&mut self, step: &str, action: &str) {
        self.until(|event| {
            event["event"] == "action-started" && event["step"] == step && event["action"] == action
        })
        .unwrap_or_else(|| panic!("it ended before {action} in {step}"));
    }

    pub fn signal(&self, number: i32) {
        signal(i32::try_from(self.child.id()).unwrap(), number);
    }

    /// Its exit code, or the number of the signal that ended it, negative.
    pub fn end(mut self) -> i32 {
        use std::os::unix::process::ExitStatusExt;
        // Drained, so that it never waits for a reader.
        self.until(|_| false);
        let status = self.child.wait().unwrap();
        status
            .code()
            .unwrap_or_else(|| -status.signal().unwrap_or_default())
    }
}

pub fn signal(pid: i32, number: i32) {
    let status = Command::new("kill")
        .args([format!("-{number}"), pid.to_string()])
        .status();
    assert!(status.unwrap().success(), "kill -{number} {pid}");
}

/// Runs a call of the library.
pub fn wait<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(work)
}

/// Looks until it is so.
#[track_caller]
pub fn soon(what: &str, mut look: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !look() {
        assert!(begun.elapsed() < LIMIT, "{what} did not come about");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Nothing missing, nothing unexplained, on three voters; the old data read back.
#[track_caller]
pub fn assert_whole(summary: &Value) {
    assert_compared(summary);
    assert!(
        summary["facts"]["sample data read back with the old token"].is_string(),
        "{summary:#}"
    );
}

/// Nothing missing, nothing unexplained, on three voters.
#[track_caller]
pub fn assert_compared(summary: &Value) {
    let parity = &summary["parity"];
    assert_eq!(parity["missing"], 0, "{summary:#}");
    assert_eq!(parity["unexplained"], 0, "{summary:#}");
    assert!(parity["identical"].as_u64() > Some(50), "{summary:#}");
    assert_eq!(summary["compared"].as_array().unwrap().len(), 3);
    for step in summary["steps"].as_array().unwrap() {
        assert_eq!(step["status"], "done", "{summary:#}");
    }
}

/// Every file below a folder, with its bytes.
pub fn files(folder: &Path) -> std::collections::BTreeMap<PathBuf, Vec<u8>> {
    let mut found = std::collections::BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.insert(path.clone(), std::fs::read(&path).unwrap());
            }
        }
    }
    found
}

/// The source serves with its old key and data, and no other server has anything to say.
#[track_caller]
pub fn assert_back(place: &Place) {
    let platform = place.platform();
    let node = place.node("openbao-0");
    assert_eq!(wait(node.health()).unwrap(), Health::Active);
    let storage = wait(platform.release()).unwrap().storage;
    assert_ne!(storage, StorageKind::Raft);
    let status = wait(node.seal_status()).unwrap();
    assert_eq!(status.storage_type, storage.name());
    place.assert_data("openbao-0");
    assert!(place.keys(SecretName::Parked).is_none());
    assert!(place.keys(SecretName::Throwaway).is_none());
    for member in platform.members() {
        assert!(
            !wait(platform.volume(&member)).unwrap().raft_files,
            "{member}"
        );
        let runs = wait(platform.instance(&member)).unwrap().is_some();
        assert_eq!(runs, member == "openbao-0", "{member}");
    }
    let tombstone = wait(platform.tree_entry("openbao-0", "core/migration"));
    assert_eq!(tombstone.unwrap(), None);
    place
        .run(&["status"])
        .expect_code(0)
        .expect_words(&["rolled back"]);
}
