//! The program at a terminal, as an operator runs it: what it asks, and what an answer does.

use std::io::{Read, Write};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::place::{Place, signal, wait};
use baoctl::bao::{Health, Node};
use portable_pty::{Child, CommandBuilder, PtySize, native_pty_system};

/// A terminal of 100 columns with the program in it.
struct Session {
    child: Box<dyn Child + Send + Sync>,
    writer: Box<dyn Write + Send>,
    text: Arc<Mutex<Vec<u8>>>,
    master: Box<dyn portable_pty::MasterPty + Send>,
}

impl Session {
    fn start(place: &Place, args: &[&str]) -> Self {
        let size = PtySize {
            rows: 60,
            cols: 100,
            pixel_width: 0,
            pixel_height: 0,
        };
        let pair = native_pty_system().openpty(size).unwrap();
        let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_baoctl"));
        command.args(args);
        command.args(["--work-dir", place.work().to_str().unwrap()]);
        command.env("TERM", "xterm-256color");
        command.env("NO_COLOR", "1");
        command.cwd(env!("CARGO_MANIFEST_DIR"));
        let child = pair.slave.spawn_command(command).unwrap();
        drop(pair.slave);
        let text = Arc::new(Mutex::new(Vec::new()));
        let mut reader = pair.master.try_clone_reader().unwrap();
        let into = Arc::clone(&text);
        std::thread::spawn(move || {
            let mut part = [0; 4096];
            while let Ok(read @ 1..) = reader.read(&mut part) {
                into.lock().unwrap().extend_from_slice(&part[..read]);
            }
        });
        Self {
            child,
            writer: pair.master.take_writer().unwrap(),
            text,
            master: pair.master,
        }
    }

    fn said(&self) -> String {
        String::from_utf8_lossy(&self.text.lock().unwrap()).into_owned()
    }

    /// Waits until something is said after the first `from` bytes; where that ends.
    #[track_caller]
    fn expect(&self, from: usize, words: &str) -> usize {
        let begun = Instant::now();
        loop {
            let said = self.said();
            if let Some(place) = said.get(from..).and_then(|rest| rest.find(words)) {
                return from + place + words.len();
            }
            assert!(
                begun.elapsed() < Duration::from_mins(2),
                "no `{words}` in:\n{said}"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn answer(&mut self, line: &str) {
        write!(self.writer, "{line}\r").unwrap();
        self.writer.flush().unwrap();
    }

    fn end(&mut self) -> u32 {
        self.child.wait().unwrap().exit_code()
    }
}

/// The shell that the operator comes back to shows again what is typed.
#[test]
fn a_signal_at_a_question_gives_the_terminal_back_as_it_was() {
    let place = Place::with_source(&["--entries", "20"]);
    for (args, question, number) in [
        (&["--ask-keys"][..], "unseal share 1 of 1", 2),
        (&["--ask-keys"], "unseal share 1 of 1", 15),
        (&[], "[y/N]", 15),
    ] {
        let args = [&["migrate-raft", "--platform", "local"], args].concat();
        let mut session = Session::start(&place, &args);
        let settings = |session: &Session| session.master.get_termios().unwrap();
        let before = settings(&session);
        session.expect(0, question);
        while settings(&session) == before {
            std::thread::sleep(Duration::from_millis(10));
        }
        if number == 2 {
            session.writer.write_all(b"\x03").unwrap();
        } else {
            let pid = session.child.process_id().unwrap();
            signal(i32::try_from(pid).unwrap(), number);
        }
        assert_eq!(session.end(), 128 + u32::try_from(number).unwrap());
        assert_eq!(settings(&session), before, "{question} and signal {number}");
    }
}

#[test]
fn each_tier_is_asked_for_and_a_no_changes_nothing() {
    let place = Place::with_source(&["--entries", "50"]);
    let mut session = Session::start(&place, &["migrate-raft", "--platform", "local"]);
    let at = session.expect(0, "Plan");
    let at = session.expect(at, "from here nothing is repeated blindly");
    // Backups ask for nothing; the proof changes a scratch node.
    let at = session.expect(at, "record-keys");
    let at = session.expect(at, "[y/N]");
    session.answer("y");
    let at = session.expect(at, "entries decrypted with the old key");
    // The outage wants its name, and a mistyped one is no yes.
    let at = session.expect(at, "clients are not served until the new cluster serves");
    let at = session.expect(at, "Type local to go on");
    session.answer("openbao");
    let at = session.expect(at, "that is not local");
    let at = session.expect(at, "Type local to go on");
    session.answer("");
    let at = session.expect(at, "the source serves as before");
    session.expect(at, "baoctl resume");
    assert_eq!(session.end(), 3);
    assert_eq!(
        wait(place.node("openbao-0").health()).unwrap(),
        Health::Active
    );
}

#[test]
fn ctrl_c_ends_it_after_the_running_action_and_says_how_to_go_on() {
    let place = Place::with_source(&["--entries", "50"]);
    let args = ["migrate-raft", "--platform", "local", "--yes"];
    let mut session = Session::start(&place, &args);
    session.expect(0, "prove on a scratch node");
    session.answer("\u{3}");
    session.expect(0, "baoctl resume");
    assert_eq!(session.end(), 130);
    assert_eq!(
        wait(place.node("openbao-0").health()).unwrap(),
        Health::Active
    );
    place
        .run(&["status"])
        .expect_code(0)
        .expect_words(&["stopped; `baoctl resume --work-dir", "` goes on"]);
}

#[test]
fn a_pause_is_answered_at_the_terminal_and_no_more_after_that() {
    let place = Place::with_source(&["--entries", "50"]);
    let book = place.example();
    let (book, until) = (book.to_str().unwrap(), ["--until", "agree"]);
    let args = [
        "migrate-raft",
        "--platform",
        "local",
        "--yes",
        "--runbook",
        book,
    ];
    let mut session = Session::start(&place, &[&args[..], &until].concat());
    // What the program prints is seen as it comes.
    let at = session.expect(0, "opened change-");
    let at = session.expect(at, "Has the change board agreed to the outage?");
    let at = session.expect(at, "[y/N]");
    session.answer("n");
    session.expect(at, "the step `agree` was declined");
    assert_eq!(session.end(), 3);
    let resume = ["resume", "--yes", "--until", "agree"];
    let mut session = Session::start(&place, &resume);
    session.expect(0, "[y/N]");
    session.answer("\u{3}");
    session.expect(0, "stopped by Ctrl-C, between two actions");
    assert_eq!(session.end(), 130);
    for answered in [false, true] {
        let mut session = Session::start(&place, &resume);
        if !answered {
            session.expect(0, "[y/N]");
            session.answer("y");
        }
        session.expect(0, "stopped after the step `agree`, as asked");
        assert!(!answered || !session.said().contains("[y/N]"));
        assert_eq!(session.end(), 0);
    }
}
