//! The terminal form, seen through a pseudo-terminal as an operator sees it.
//!
//! [`child`] plays a run in a process of its own, which the other tests start on the far end of a PTY.

use std::io::{Read, Write};
use std::num::NonZeroU16;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use portable_pty::{CommandBuilder, PtySize, native_pty_system};

const SCENE: &str = "BAOCTL_TEST_SCENE";

/// Not a test of its own: the process that the tests look at.
#[test]
fn child() {
    if let Ok(scene) = std::env::var(SCENE) {
        crate::scene::play(&scene);
    }
}

struct Session {
    parser: Arc<Mutex<vt100::Parser>>,
    raw: Arc<Mutex<Vec<u8>>>,
    writer: Box<dyn Write + Send>,
    child: Box<dyn portable_pty::Child + Send + Sync>,
    // Dropping it hangs up.
    _master: Box<dyn portable_pty::MasterPty + Send>,
}

impl Session {
    fn start(scene: &str, columns: u16, env: &[(&str, &str)]) -> Self {
        let size = PtySize {
            rows: 200,
            cols: columns,
            pixel_width: 0,
            pixel_height: 0,
        };
        let pair = native_pty_system().openpty(size).unwrap();
        let mut command = CommandBuilder::new(std::env::current_exe().unwrap());
        command.args(["--exact", "terminal::child", "--nocapture", "-q"]);
        for name in [
            "NO_COLOR",
            "CLICOLOR",
            "CLICOLOR_FORCE",
            "LC_ALL",
            "LC_CTYPE",
        ] {
            command.env_remove(name);
        }
        command.env("TERM", "xterm-256color");
        command.env("LANG", "C.UTF-8");
        command.env(SCENE, scene);
        for (name, value) in env {
            command.env(name, value);
        }
        let child = pair.slave.spawn_command(command).unwrap();
        drop(pair.slave);
        let parser = Arc::new(Mutex::new(vt100::Parser::new(
            NonZeroU16::new(200).unwrap(),
            NonZeroU16::new(columns).unwrap(),
            0,
        )));
        let raw = Arc::new(Mutex::new(Vec::new()));
        let mut reader = pair.master.try_clone_reader().unwrap();
        std::thread::spawn({
            let (parser, raw) = (Arc::clone(&parser), Arc::clone(&raw));
            move || {
                let mut buffer = [0; 4096];
                while let Ok(count @ 1..) = reader.read(&mut buffer) {
                    parser.lock().unwrap().process(&buffer[..count]);
                    raw.lock().unwrap().extend_from_slice(&buffer[..count]);
                }
            }
        });
        Self {
            parser,
            raw,
            writer: pair.master.take_writer().unwrap(),
            child,
            _master: pair.master,
        }
    }

    fn screen(&self) -> String {
        let parser = self.parser.lock().unwrap();
        let contents = parser.screen().contents();
        contents
            .lines()
            .map(str::trim_end)
            .collect::<Vec<_>>()
            .join("\n")
    }

    fn raw(&self) -> String {
        String::from_utf8_lossy(&self.raw.lock().unwrap()).into_owned()
    }

    /// Waits until the screen holds `text`, and gives the screen.
    fn expect(&self, text: &str) -> String {
        self.expect_at_once(&[text])
    }

    /// Waits until the screen holds all of `texts`: a screen that is looked at while it is drawn
    /// may hold some of them.
    fn expect_at_once(&self, texts: &[&str]) -> String {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let screen = self.screen();
            if texts.iter().all(|text| screen.contains(text)) {
                return screen;
            }
            assert!(
                Instant::now() < deadline,
                "{texts:?} never appeared together in:\n{screen}"
            );
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn type_in(&mut self, text: &str) {
        self.writer.write_all(text.as_bytes()).unwrap();
        self.writer.flush().unwrap();
    }

    /// Waits for the end and gives the last screen.
    fn end(mut self) -> (String, String) {
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status:?}:\n{}", self.screen());
        let screen = self.expect("THE END");
        if let Ok(folder) = std::env::var("BAOCTL_TEST_SCREENS") {
            let name = std::thread::current().name().unwrap_or("screen").to_owned();
            std::fs::write(format!("{folder}/{name}.txt"), &screen).unwrap();
            std::fs::write(format!("{folder}/{name}.raw"), self.raw()).unwrap();
        }
        (screen, self.raw())
    }
}

fn assert_no_bars(screen: &str) {
    for left_over in [
        "⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏", "▕", "/s  ",
    ] {
        assert!(
            !screen.contains(left_over),
            "`{left_over}` is left over in:\n{screen}"
        );
    }
}

#[test]
fn a_run_is_shown_from_banner_to_summary() {
    let mut session = Session::start("run", 100, &[]);
    let screen = session.expect("Type openbao-prod to go on:");
    assert!(
        screen.contains("7c3d4f0a-1f2e-4a7b-9d2f-0a4f5b6c7d8e"),
        "{screen}"
    );
    assert!(
        screen.contains("from here nothing is repeated blindly"),
        "{screen}"
    );
    assert!(
        screen.contains("Estimated outage: about 1 min 35 s"),
        "{screen}"
    );
    assert_no_bars(&screen);
    session.type_in("openbao\r");
    session.expect("that is not openbao-prod; 2 tries left");
    session.type_in("openbao-prdo\u{7f}\u{7f}od\r");
    session.expect_at_once(&["● outage 0.", "of about 1 min 35 s estimated"]);
    session.expect_at_once(&["MiB of 48.0 MiB", " left", " entries"]);
    session.expect("2 of 3 voters, openbao-2 in stabilisation");
    let (screen, raw) = session.end();
    assert_no_bars(&screen);
    assert!(raw.contains("\u{1b}[31m"), "colours are expected");
    assert!(!screen.contains("● outage 0."), "{screen}");
    for text in [
        "outage over after",
        "already done",
        "does not apply here",
        "0 missing · 0 unexplained",
        "3 compared",
    ] {
        assert!(screen.contains(text), "`{text}` is not in:\n{screen}");
    }
}

#[test]
fn without_colours_no_colour_is_sent() {
    let mut session = Session::start("run", 100, &[("NO_COLOR", "1")]);
    session.expect("to go on:");
    session.type_in("openbao-prod\r");
    let (screen, raw) = session.end();
    assert_no_bars(&screen);
    let colours = raw
        .split("\u{1b}[")
        .skip(1)
        .filter(|code| {
            code.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';')
                .starts_with('m')
        })
        .count();
    assert_eq!(colours, 0, "{raw:?}");
}

#[test]
fn forty_columns_are_enough() {
    let mut session = Session::start("run", 40, &[]);
    session.expect("to go on:");
    session.type_in("openbao-prod\r");
    session.expect("● outage");
    let (screen, _) = session.end();
    assert_no_bars(&screen);
    assert!(screen.contains("0 missing · 0 unexplained"), "{screen}");
    let plan = screen
        .lines()
        .filter(|line| line.starts_with('│'))
        .collect::<Vec<_>>();
    assert!(
        plan.len() >= 8 && plan.iter().all(|line| line.ends_with('│')),
        "{screen}"
    );
}

#[test]
fn plain_letters_do_where_the_locale_is_not_utf8() {
    let mut session = Session::start("run", 100, &[("LANG", "C")]);
    session.expect("to go on:");
    session.type_in("openbao-prod\r");
    let (_, raw) = session.end();
    assert!(raw.is_ascii(), "{raw:?}");
}

#[test]
fn three_wrong_names_mean_no() {
    let mut session = Session::start("ask", 80, &[]);
    for left in ["2 tries left", "1 try left"] {
        session.expect("to go on:");
        session.type_in("openbao\r");
        session.expect(left);
    }
    session.type_in("openbao\r");
    let (screen, _) = session.end();
    assert!(
        screen.contains("not confirmed") && screen.contains("answer: No"),
        "{screen}"
    );
}

#[test]
fn ctrl_c_stops_and_ctrl_d_means_no() {
    for (key, answer) in [
        ("\u{3}", "answer: Stopped"),
        ("\u{4}", "answer: No"),
        ("op\u{3}", "answer: Stopped"),
        ("\u{1b}", "answer: No"),
    ] {
        let mut session = Session::start("ask", 80, &[]);
        session.expect("to go on:");
        session.type_in(key);
        let (screen, _) = session.end();
        assert!(screen.contains(answer), "{screen}");
    }
}

#[test]
fn yes_or_no_takes_no_for_granted() {
    for (typed, answer) in [
        ("y\r", "answer: Yes"),
        ("\r", "answer: No"),
        ("what\rYES\r", "answer: Yes"),
    ] {
        let mut session = Session::start("yes-no", 80, &[]);
        session.expect("Go on? [y/N]");
        session.type_in(typed);
        let (screen, _) = session.end();
        assert!(screen.contains(answer), "{typed:?}:\n{screen}");
    }
}

#[test]
fn a_failure_says_what_happened_what_changed_and_what_to_type() {
    let session = Session::start("fail", 80, &[]);
    let (screen, _) = session.end();
    assert_no_bars(&screen);
    for text in [
        "error: step join: ",
        "changed: ",
        "next:    baoctl resume --journal",
        "or:      baoctl rollback",
    ] {
        assert!(screen.contains(text), "`{text}` is not in:\n{screen}");
    }
}

#[test]
fn a_dumb_terminal_gets_plain_lines() {
    let mut session = Session::start("run", 100, &[("TERM", "dumb")]);
    session.expect("to go on:");
    session.type_in("openbao-prod\r");
    let (screen, raw) = session.end();
    assert!(
        screen.contains("step apply: started (outage) [3/4]"),
        "{screen}"
    );
    assert!(!raw.contains('\u{1b}'), "{raw:?}");
}

#[test]
fn a_secret_is_not_echoed() {
    let mut session = Session::start("secret", 80, &[]);
    session.expect("Unseal share 1 of 3:");
    session.type_in("hunter2\r");
    let (screen, raw) = session.end();
    assert!(screen.contains("answer: 7 characters"), "{screen}");
    assert!(!raw.contains("hunter2"), "{raw:?}");
}
