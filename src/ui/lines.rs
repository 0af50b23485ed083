//! The lines that stay at a terminal, one function per kind.

use std::fmt::Write;

use super::bars::{LEAD, lead};
use super::look::{self, Look, Role};
use super::text;
use crate::event::{ActionStatus, CheckStatus, Effect, StepStatus};

/// How lines are set: their look and their width.
#[derive(Debug, Clone, Copy)]
pub(super) struct Setting {
    pub(super) look: Look,
    pub(super) width: usize,
}

impl Setting {
    /// `[3/9] apply  outage  Seal the source …`
    pub(super) fn step_started(
        self,
        (index, of): (usize, usize),
        step: &str,
        effect: Effect,
        title: &str,
    ) -> String {
        let look = self.look;
        let (word, role) = look::effect(effect);
        let head = format!(
            "{} {}  {}",
            look.paint(Role::Dim, &format!("[{index}/{of}]")),
            look.paint(Role::Strong, &text::one_line(step)),
            look.paint(role, word),
        );
        let indent = console::measure_text_width(&head) + 2;
        if indent + 24 <= self.width {
            text::hang(&format!("\n{head}  "), title, indent, self.width)
        } else {
            text::hang(&format!("\n{head}\n      "), title, 6, self.width)
        }
    }

    /// `  apply done in 51.2 s`
    pub(super) fn step_finished(self, step: &str, status: StepStatus, seconds: f64) -> String {
        let step = text::one_line(step);
        let line = match status {
            StepStatus::Skipped => format!("{step} skipped"),
            StepStatus::Planned => format!("{step} looked at"),
            _ => format!("{step} done in {}", text::seconds(seconds)),
        };
        format!("  {}", self.look.paint(Role::Dim, &line))
    }

    /// `  ✓   1.2 s  Seal the source · what came of it`
    pub(super) fn action_finished(
        self,
        title: &str,
        status: ActionStatus,
        seconds: f64,
        summary: &str,
    ) -> String {
        let look = self.look;
        let mark = match status {
            ActionStatus::Done => (look.tick(), Role::Good),
            ActionStatus::AlreadyDone => (look.tick(), Role::Dim),
            ActionStatus::NotApplicable => (look.dash(), Role::Dim),
            ActionStatus::LeftToYou => (look.either("›", ">"), Role::Warn),
            ActionStatus::WouldRun => (look.either("○", "o"), Role::Accent),
        };
        let words = match status {
            ActionStatus::Done => "",
            status => look::action_status(status),
        };
        let time = (status == ActionStatus::Done).then_some(seconds);
        let role = match status {
            ActionStatus::AlreadyDone | ActionStatus::NotApplicable => Role::Dim,
            ActionStatus::Done | ActionStatus::LeftToYou | ActionStatus::WouldRun => Role::None,
        };
        let width = self.width.saturating_sub(LEAD);
        let title = text::wrap(title, width);
        let summary = text::one_line(summary);
        let tail = [words, summary.as_str()]
            .into_iter()
            .filter(|part| !part.is_empty())
            .collect::<Vec<_>>()
            .join(": ");
        let next = format!("\n{}", " ".repeat(LEAD));
        let painted: Vec<_> = title.iter().map(|line| look.paint(role, line)).collect();
        let mut out = format!("{}{}", lead(look, mark, time), painted.join(&next));
        if tail.is_empty() {
            return out;
        }
        let last = title
            .last()
            .map_or(0, |line| console::measure_text_width(line));
        let joined = format!(" {} {tail}", look.dot());
        if last + console::measure_text_width(&joined) <= width {
            out.push_str(&look.paint(Role::Dim, &joined));
        } else {
            for line in text::wrap(&tail, width) {
                let _ = write!(out, "{next}{}", look.paint(Role::Dim, &line));
            }
        }
        out
    }

    /// A check with its hint, without the heading of its group.
    pub(super) fn check(self, id: &str, status: CheckStatus, message: &str, hint: &str) -> String {
        let (glyph, role) = self.look.check(status);
        let body = match status {
            CheckStatus::Skip if message.is_empty() => format!("{id} does not apply here"),
            _ if message.is_empty() => id.to_owned(),
            _ => message.to_owned(),
        };
        let first = format!("    {} ", self.look.paint(role, glyph));
        let mut out = text::hang(&first, &body, 6, self.width);
        if !hint.is_empty() {
            let lines = text::wrap(hint, self.width.saturating_sub(12));
            for (index, line) in lines.iter().enumerate() {
                let label = if index == 0 { "hint: " } else { "      " };
                let line = self.look.paint(Role::Dim, &format!("{label}{line}"));
                let _ = write!(out, "\n      {line}");
            }
        }
        out
    }

    /// A call that an action makes, or would make.
    pub(super) fn call(self, call: &str) -> String {
        let arrow = self.look.paint(Role::Accent, self.look.either("→", ">"));
        let first = format!("{}{arrow} ", " ".repeat(LEAD));
        text::hang(&first, call, LEAD + 2, self.width)
    }

    /// What a program of the runbook printed.
    pub(super) fn output(self, bar: &str, line: &str) -> String {
        let first = format!("{}{} ", " ".repeat(LEAD), self.look.paint(Role::Dim, bar));
        text::hang(&first, line, LEAD + 2, self.width)
    }

    /// A line of its own with a mark in front.
    pub(super) fn remark(self, glyph: &str, role: Role, message: &str) -> String {
        let first = format!("  {} ", self.look.paint(role, glyph));
        text::hang(&first, message, 4, self.width)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BARE: Setting = Setting {
        look: Look::BARE,
        width: 60,
    };

    #[test]
    fn an_action_that_did_not_act_says_so() {
        let line = |status, summary| BARE.action_finished("Seal the source", status, 1.25, summary);
        assert_eq!(
            line(ActionStatus::Done, "sealed"),
            "  +   1.2 s  Seal the source - sealed"
        );
        assert_eq!(
            line(ActionStatus::AlreadyDone, "sealed at 12:00"),
            "  +          Seal the source - already done: sealed at 12:00"
        );
        assert_eq!(
            line(ActionStatus::NotApplicable, ""),
            "  -          Seal the source - does not apply here"
        );
        assert_eq!(
            line(ActionStatus::LeftToYou, "seal it by hand"),
            "  >          Seal the source - left to you: seal it by hand"
        );
        assert_eq!(
            line(ActionStatus::WouldRun, ""),
            "  o          Seal the source - would run"
        );
    }

    #[test]
    fn a_long_summary_goes_below_the_title() {
        let text = BARE.action_finished(
            "Convert the copy",
            ActionStatus::Done,
            0.8,
            "12,345 entries, 48.0 MiB, sha256 3f1a9c, written to the work folder",
        );
        assert_eq!(
            text,
            "  +   0.8 s  Convert the copy\n             12,345 entries, 48.0 MiB, sha256 3f1a9c,\n             written to the work folder"
        );
    }

    #[test]
    fn escape_codes_of_a_server_stay_harmless() {
        let text = BARE.check("id", CheckStatus::Warn, "a\u{1b}[2Jb", "c\u{7}");
        assert_eq!(text, "    ! a\u{fffd}[2Jb\n      hint: c\u{fffd}");
    }
}
