//! Asks the operator, or lets a flag answer.

use std::fmt::Write;

use async_trait::async_trait;
use console::Term;
use rustix::termios::{self, OptionalActions, Termios};
use secrecy::SecretString;

use super::keys::{self, Typed};
use super::look::{self, Look, Role};
use super::screen::Screen;
use super::sink::Sink;
use super::text;
use crate::event::{Answer, By, Operator, Question, Tier};

/// How often a name may be mistyped.
const TRIES: usize = 3;

/// Answers a run's questions: by the flags that cover them, else at the terminal, on stderr. Consequences are shown
/// first. Bars are taken away while a question stands. Ctrl-D, Escape and a lost terminal mean no, Ctrl-C stops the run.
#[derive(Clone)]
pub struct Prompt {
    yes: bool,
    confirm_outage: Option<String>,
    interactive: bool,
    screen: Option<Screen>,
    out: Sink,
    look: Look,
}

impl Prompt {
    /// `yes` answers y/N questions, `confirm_outage` those that ask for that very name; with `interactive` the rest is
    /// asked at the terminal.
    #[must_use]
    pub fn new(yes: bool, confirm_outage: Option<String>, interactive: bool) -> Self {
        Self {
            yes,
            confirm_outage,
            interactive,
            screen: None,
            out: Sink::stderr(),
            look: Look::detect(std::io::IsTerminal::is_terminal(&std::io::stderr())),
        }
    }

    /// Takes this screen's bars away while a question stands.
    #[must_use]
    pub fn on(mut self, screen: Screen) -> Self {
        self.screen = Some(screen);
        self
    }

    /// Writes to `out` instead of stderr.
    #[must_use]
    pub fn writing_to(mut self, out: Sink, look: Look) -> Self {
        self.out = out;
        self.look = look;
        self
    }

    /// Asks for a secret without showing it; `None` when nobody is there or nothing was typed.
    pub async fn secret(&self, label: &str) -> Option<SecretString> {
        if !self.interactive {
            let label = text::one_line(label);
            self.out
                .line(&format!("{label}: cannot be asked for without a terminal"));
            return None;
        }
        let label = text::one_line(label);
        self.at_terminal(move |_| {
            let typed = dialoguer::Password::new()
                .with_prompt(label)
                .report(false)
                .allow_empty_password(true)
                .interact()
                .ok()?;
            (!typed.is_empty()).then(|| SecretString::from(typed))
        })
        .await
        .flatten()
    }

    /// The answer that a flag gives, and which one that is.
    fn by_flag(&self, question: &Question) -> Option<(Answer, String)> {
        match (&question.tier, &self.confirm_outage) {
            (Tier::YesNo, _) if self.yes => {
                let yes = Answer::Yes(By::Flag("--yes"));
                Some((yes, "answered by --yes".to_owned()))
            }
            (Tier::TypeName(name), Some(given)) if given == name => {
                let why = format!("confirmed by --confirm-outage {}", text::one_line(name));
                Some((Answer::Yes(By::Flag("--confirm-outage")), why))
            }
            (Tier::TypeName(name), Some(given)) => {
                let why = format!(
                    "--confirm-outage says {given:?}, but this run is about {name:?}: not confirmed"
                );
                Some((Answer::No, self.look.paint(Role::Bad, &why)))
            }
            (Tier::TypeName(_), None) | (Tier::YesNo | Tier::InPerson, _) => None,
        }
    }

    fn nobody(&self, question: &Question) -> Answer {
        let answer = match &question.tier {
            Tier::YesNo => "`--yes` would answer this".to_owned(),
            Tier::InPerson => "no flag answers this".to_owned(),
            Tier::TypeName(name) => {
                format!(
                    "`--confirm-outage {}` would answer this",
                    text::one_line(name)
                )
            }
        };
        let note = format!("there is no terminal to ask at; {answer}");
        self.out
            .line(&format!("  {} {note}", self.look.paint(Role::Warn, "!")));
        Answer::Nobody
    }

    fn intro(&self, question: &Question) -> String {
        let width = self
            .screen
            .as_ref()
            .map_or_else(|| usize::from(Term::stderr().size().1), Screen::width)
            .min(110);
        let (word, role) = look::effect(question.effect);
        let step = text::one_line(&question.step);
        let mut out = format!(
            "\n{} {}  {}",
            self.look.paint(Role::Accent, "?"),
            self.look.paint(Role::Strong, &step),
            self.look.paint(role, word)
        );
        out.push_str(&text::hang("\n  ", &question.ask, 2, width));
        for line in &question.consequences {
            let first = format!(
                "\n    {} ",
                self.look.paint(role, self.look.either("•", "*"))
            );
            out.push_str(&text::hang(&first, line, 6, width));
        }
        if let Some(since) = self.screen.as_ref().and_then(Screen::outage_since) {
            let line = format!(
                "the outage has lasted {} so far",
                text::seconds(since.elapsed().as_secs_f64())
            );
            let _ = write!(
                out,
                "\n    {} {}",
                self.look.paint(Role::Alarm, self.look.either("●", "*")),
                self.look.paint(Role::Alarm, &line)
            );
        }
        out
    }

    /// Runs `ask` on a thread of its own, which a runtime that shuts down does not wait for.
    async fn at_terminal<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> Option<T> {
        let _kept = Kept::now();
        let (send, receive) = tokio::sync::oneshot::channel();
        let this = self.clone();
        let spawned = std::thread::Builder::new()
            .name("prompt".to_owned())
            .spawn(move || {
                drop(send.send(ask(&this)));
            });
        spawned.ok()?;
        receive.await.ok()
    }

    fn ask_here(&self, tier: &Tier) -> Answer {
        match tier {
            Tier::YesNo | Tier::InPerson => self.ask_yes_no(),
            Tier::TypeName(name) => self.ask_name(name),
        }
    }

    fn ask_yes_no(&self) -> Answer {
        for _ in 0..TRIES {
            self.out.write(&format!(
                "  Go on? {} ",
                self.look.paint(Role::Dim, "[y/N]")
            ));
            let line = match keys::read_line(&self.out) {
                Typed::Line(line) => line.trim().to_ascii_lowercase(),
                Typed::Nothing => return Answer::No,
                Typed::Stop => return Answer::Stopped,
            };
            match line.as_str() {
                "y" | "yes" => return Answer::Yes(By::Person),
                "" | "n" | "no" => return Answer::No,
                _ => self.out.line("  Please type y or n."),
            }
        }
        Answer::No
    }

    fn ask_name(&self, name: &str) -> Answer {
        let shown = text::one_line(name);
        for left in (0..TRIES).rev() {
            self.out.write(&format!(
                "  Type {} to go on: ",
                self.look.paint(Role::Strong, &shown)
            ));
            match keys::read_line(&self.out) {
                Typed::Stop => return Answer::Stopped,
                Typed::Line(line) if line.trim() == name => return Answer::Yes(By::Person),
                Typed::Line(line) if line.trim().is_empty() => return Answer::No,
                Typed::Line(_) if left > 0 => {
                    let tries = if left == 1 {
                        "1 try".to_owned()
                    } else {
                        format!("{left} tries")
                    };
                    let line = format!("that is not {shown}; {tries} left, Enter alone means no");
                    self.out.line(&format!(
                        "  {} {line}",
                        self.look.paint(Role::Bad, self.look.cross())
                    ));
                }
                _ => return Answer::No,
            }
        }
        Answer::No
    }
}

#[async_trait]
impl Operator for Prompt {
    async fn ask(&self, question: &Question) -> Answer {
        if let Some(screen) = &self.screen {
            screen.pause();
        }
        let _resume = Resume(self.screen.as_ref());
        if let Some((answer, why)) = self.by_flag(question) {
            let ask = text::one_line(&question.ask);
            self.out.line(&format!("  {ask}: {why}"));
            return answer;
        }
        self.out.line(&self.intro(question));
        if !self.interactive {
            return self.nobody(question);
        }
        let tier = question.tier.clone();
        let answer = self
            .at_terminal(move |this| this.ask_here(&tier))
            .await
            .unwrap_or(Answer::No);
        if answer == Answer::No {
            self.out.line(&format!(
                "  {} not confirmed",
                self.look.paint(Role::Bad, self.look.cross())
            ));
        }
        answer
    }
}

/// The terminal's own settings. What reads keys or a secret changes them until something is typed, and a signal may end
/// the asking before that: the operator's shell would not show what is typed any more.
struct Kept(Option<Termios>);

impl Kept {
    fn now() -> Self {
        Self(termios::tcgetattr(std::io::stdin()).ok())
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if let Some(settings) = &self.0 {
            let _ = termios::tcsetattr(std::io::stdin(), OptionalActions::Now, settings);
        }
    }
}

/// Brings the bars back, also when the asking is cancelled.
struct Resume<'a>(Option<&'a Screen>);

impl Drop for Resume<'_> {
    fn drop(&mut self) {
        if let Some(screen) = self.0 {
            screen.resume();
        }
    }
}
