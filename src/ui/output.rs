//! Picks the form of output for a process.

use std::fs::OpenOptions;
use std::io::IsTerminal;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use super::sink::{Sink, system_clock};
use super::{Json, Look, Plain, Prompt, Screen, Terminal};
use crate::event::{Event, Fanout, Observer};

/// How much is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Verbosity {
    /// Warnings, obstacles, failures and one closing line.
    Quiet,
    /// What an operator follows.
    #[default]
    Normal,
    /// Each action of the plan, each call, each detail.
    Verbose,
}

impl Verbosity {
    /// From `--quiet` and the number of `-v`; quiet wins.
    #[must_use]
    pub fn from_flags(quiet: bool, verbose: u8) -> Self {
        match (quiet, verbose) {
            (true, _) => Self::Quiet,
            (false, 0) => Self::Normal,
            (false, _) => Self::Verbose,
        }
    }
}

/// The output of a process: an [`Observer`] in the form that fits stdout and the flags.
#[derive(Clone)]
pub struct Output {
    form: Form,
    log: Option<Arc<Log>>,
}

/// A file of the run with its events, but for what programs printed: nobody knows what is in that.
struct Log(Json);

impl Observer for Log {
    fn observe(&self, event: &Event) {
        if !matches!(event, Event::Output { .. }) {
            self.0.observe(event);
        }
    }
}

#[derive(Clone)]
enum Form {
    Terminal(Arc<Terminal>, Screen),
    Plain(Arc<Plain>),
    Json(Arc<Json>),
}

impl Output {
    /// Looks at stdout, the environment and the flags; see the [module](super) for the rules. Also settles the colours of
    /// the `console` crate for the process.
    #[must_use]
    pub fn detect(json: bool, quiet: bool, verbose: u8) -> Self {
        let stdout = std::io::stdout().is_terminal();
        let stderr = std::io::stderr().is_terminal();
        let (look, error_look) = (Look::detect(stdout), Look::detect(stderr));
        console::set_colors_enabled(look.color);
        console::set_colors_enabled_stderr(error_look.color);
        let verbosity = Verbosity::from_flags(quiet, verbose);
        let moving =
            stdout && std::env::var("TERM").is_ok_and(|term| !term.is_empty() && term != "dumb");
        let form = if json {
            Form::Json(Arc::new(Json::new(Sink::stdout(), system_clock())))
        } else if moving {
            let screen = Screen::stdout();
            let terminal =
                Terminal::new(screen.clone(), look, Sink::stderr(), error_look, verbosity);
            Form::Terminal(Arc::new(terminal), screen)
        } else {
            Form::Plain(Arc::new(Plain::new(
                Sink::stdout(),
                Sink::stderr(),
                system_clock(),
                look,
                verbosity,
            )))
        };
        Self { form, log: None }
    }

    /// Also writes each event as a line of JSON to the end of this file, whatever the form and the verbosity. Events
    /// carry no secrets.
    pub fn also_to(&mut self, path: &Path) -> std::io::Result<()> {
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(path)?;
        self.log = Some(Arc::new(Log(Json::new(Sink::new(file), system_clock()))));
        Ok(())
    }

    /// The listener.
    #[must_use]
    pub fn observer(&self) -> Arc<dyn Observer> {
        let mut listeners: Vec<Arc<dyn Observer>> = vec![match &self.form {
            Form::Terminal(terminal, _) => Arc::clone(terminal) as Arc<dyn Observer>,
            Form::Plain(plain) => Arc::clone(plain) as Arc<dyn Observer>,
            Form::Json(json) => Arc::clone(json) as Arc<dyn Observer>,
        }];
        if let Some(log) = &self.log {
            listeners.push(Arc::clone(log) as Arc<dyn Observer>);
        }
        Arc::new(Fanout(listeners))
    }

    /// Who answers questions; asks at the terminal when stdin and stderr are one.
    #[must_use]
    pub fn prompt(&self, yes: bool, confirm_outage: Option<String>) -> Prompt {
        let interactive = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
        let prompt = Prompt::new(yes, confirm_outage, interactive);
        match &self.form {
            Form::Terminal(_, screen) => prompt.on(screen.clone()),
            _ => prompt,
        }
    }

    /// Takes bars away; to be called before `std::process::exit`, which runs no destructors.
    pub fn finish(&self) {
        if let Form::Terminal(terminal, _) = &self.form {
            terminal.finish();
        }
    }
}

impl Observer for Output {
    fn observe(&self, event: &Event) {
        self.observer().observe(event);
    }
}
