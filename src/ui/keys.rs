//! Reads a line at the terminal, key by key.

use console::{Key, Term};

use super::Sink;

/// What was typed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Typed {
    /// A line.
    Line(String),
    /// Ctrl-D on an empty line, Escape, or the terminal is gone.
    Nothing,
    /// Ctrl-C.
    Stop,
}

/// A line from the terminal.
///
/// Read key by key: a blocked line read would outlive a Ctrl-C.
pub(super) fn read_line(out: &Sink) -> Typed {
    let term = Term::stderr();
    let mut line = String::new();
    let other = loop {
        match term.read_key_raw() {
            Ok(Key::Enter) => {
                out.line("");
                return Typed::Line(line);
            }
            Ok(Key::Backspace) => {
                if let Some(c) = line.pop() {
                    let columns = console::measure_text_width(c.encode_utf8(&mut [0; 4]));
                    out.write(&"\u{8} \u{8}".repeat(columns));
                }
            }
            // Ctrl-U starts the line anew.
            Ok(Key::Char('\u{15}')) => {
                let columns = console::measure_text_width(&line);
                out.write(&"\u{8} \u{8}".repeat(columns));
                line.clear();
            }
            Ok(Key::Char('\u{4}')) if line.is_empty() => break Typed::Nothing,
            Ok(Key::Char(c)) if !c.is_control() => {
                line.push(c);
                out.write(c.encode_utf8(&mut [0; 4]));
            }
            Ok(Key::CtrlC) => break Typed::Stop,
            Ok(Key::Escape) | Err(_) => break Typed::Nothing,
            Ok(_) => {}
        }
    };
    out.line("");
    other
}
