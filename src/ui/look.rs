//! Colours and symbols, decided once from the environment.

use console::Style;

use crate::event::{ActionStatus, CheckStatus, Effect, Mode, StepStatus};

/// How text may look on one stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// Escape codes for colours are welcome.
    pub color: bool,
    /// Characters outside ASCII are shown as they are.
    pub unicode: bool,
}

/// What a piece of text means; its colour follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Good,
    Warn,
    Bad,
    Alarm,
    Accent,
    Strong,
    Dim,
    None,
}

impl Look {
    /// Neither colours nor symbols.
    pub const BARE: Self = Self {
        color: false,
        unicode: false,
    };

    /// Decides for a stream, from the process' environment.
    #[must_use]
    pub fn detect(is_terminal: bool) -> Self {
        Self::from_env(is_terminal, |name| std::env::var(name).ok())
    }

    /// Decides for a stream, from the environment that `var` reads.
    pub fn from_env(is_terminal: bool, var: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name: &str| var(name).filter(|value| !value.is_empty());
        let color = if set("NO_COLOR").is_some() {
            false
        } else if set("CLICOLOR_FORCE").is_some_and(|value| value != "0") {
            true
        } else {
            is_terminal
                && set("CLICOLOR").is_none_or(|value| value != "0")
                && set("TERM").is_some_and(|value| value != "dumb")
        };
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(set);
        let unicode = locale.is_some_and(|value| {
            let value = value.to_ascii_lowercase();
            value.contains("utf-8") || value.contains("utf8")
        });
        Self { color, unicode }
    }

    pub(super) fn paint(self, role: Role, text: &str) -> String {
        let style = match role {
            Role::Good => Style::new().green(),
            Role::Warn => Style::new().yellow(),
            Role::Bad => Style::new().red(),
            Role::Alarm => Style::new().red().bold(),
            Role::Accent => Style::new().cyan(),
            Role::Strong => Style::new().bold(),
            Role::Dim => Style::new().dim(),
            Role::None => return text.to_owned(),
        };
        style.force_styling(self.color).apply_to(text).to_string()
    }

    pub(super) fn either(self, unicode: &'static str, ascii: &'static str) -> &'static str {
        if self.unicode { unicode } else { ascii }
    }

    pub(super) fn tick(self) -> &'static str {
        self.either("✓", "+")
    }

    pub(super) fn cross(self) -> &'static str {
        self.either("✗", "x")
    }

    pub(super) fn dash(self) -> &'static str {
        self.either("–", "-")
    }

    pub(super) fn dot(self) -> &'static str {
        self.either("·", "-")
    }

    pub(super) fn check(self, status: CheckStatus) -> (&'static str, Role) {
        match status {
            CheckStatus::Pass => (self.tick(), Role::Good),
            CheckStatus::Warn => ("!", Role::Warn),
            CheckStatus::Fail => (self.cross(), Role::Bad),
            CheckStatus::Skip => (self.dash(), Role::Dim),
        }
    }

    pub(super) fn step(self, status: StepStatus) -> (&'static str, Role) {
        match status {
            StepStatus::Pending => (self.either("○", "o"), Role::Dim),
            StepStatus::Planned => (self.either("○", "o"), Role::Accent),
            StepStatus::Running => (self.either("▸", ">"), Role::Accent),
            StepStatus::Done => (self.tick(), Role::Good),
            StepStatus::Skipped => (self.dash(), Role::Dim),
        }
    }
}

/// The words for an effect.
pub(super) fn effect(effect: Effect) -> (&'static str, Role) {
    match effect {
        Effect::Read => ("read", Role::Good),
        Effect::Change => ("change", Role::Warn),
        Effect::Outage => ("outage", Role::Bad),
        Effect::NoBlindRepeat => ("no blind repeat", Role::Alarm),
    }
}

/// The words for a kind of run.
pub(super) fn mode(mode: Mode) -> (&'static str, Role) {
    match mode {
        Mode::Live => ("live", Role::Alarm),
        Mode::DryRun => ("dry run, nothing is changed", Role::Good),
        Mode::Rehearsal => ("rehearsal on a server of its own", Role::Accent),
    }
}

/// The word for where a step stands.
pub(super) fn step_status(status: StepStatus) -> &'static str {
    match status {
        StepStatus::Pending => "pending",
        StepStatus::Running => "running",
        StepStatus::Done => "done",
        StepStatus::Skipped => "skipped",
        StepStatus::Planned => "planned",
    }
}

/// The word for how an action ended.
pub(super) const fn action_status(status: ActionStatus) -> &'static str {
    match status {
        ActionStatus::Done => "done",
        ActionStatus::AlreadyDone => "already done",
        ActionStatus::NotApplicable => "does not apply here",
        ActionStatus::LeftToYou => "left to you",
        ActionStatus::WouldRun => "would run",
    }
}

/// The word for how a check ended.
pub(super) fn check_status(status: CheckStatus) -> &'static str {
    match status {
        CheckStatus::Pass => "pass",
        CheckStatus::Warn => "warn",
        CheckStatus::Fail => "fail",
        CheckStatus::Skip => "skip",
    }
}

#[cfg(test)]
mod tests {
    use super::Look;

    fn look(terminal: bool, env: &[(&str, &str)]) -> Look {
        Look::from_env(terminal, |name| {
            env.iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn colour_follows_the_conventions() {
        let xterm = ("TERM", "xterm-256color");
        assert!(look(true, &[xterm]).color);
        assert!(!look(false, &[xterm]).color);
        assert!(!look(true, &[("TERM", "dumb")]).color);
        assert!(!look(true, &[xterm, ("NO_COLOR", "1")]).color);
        assert!(look(true, &[xterm, ("NO_COLOR", "")]).color);
        assert!(look(false, &[("CLICOLOR_FORCE", "1")]).color);
        assert!(!look(false, &[("CLICOLOR_FORCE", "0")]).color);
        assert!(!look(true, &[xterm, ("CLICOLOR", "0")]).color);
        assert!(!look(true, &[xterm, ("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]).color);
    }

    #[test]
    fn the_first_locale_variable_that_is_set_decides() {
        assert!(look(true, &[("LANG", "en_GB.UTF-8")]).unicode);
        assert!(look(true, &[("LANG", "C"), ("LC_ALL", "C.utf8")]).unicode);
        assert!(!look(true, &[("LANG", "en_GB.UTF-8"), ("LC_ALL", "C")]).unicode);
        assert!(!look(true, &[]).unicode);
    }
}
