//! Reads a line at the terminal, key by key.

use console::{Key, Term};

use super::Sink;

/// A line from the terminal; `None` for Ctrl-C, Ctrl-D on an empty line, Escape, or a terminal that is gone.
///
/// Read key by key: a blocked line read would outlive a Ctrl-C.
pub(super) fn read_line(out: &Sink) -> Option<String> {
    let term = Term::stderr();
    let mut line = String::new();
    loop {
        match term.read_key_raw() {
            Ok(Key::Enter) => {
                out.line("");
                return Some(line);
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
            Ok(Key::Char('\u{4}')) if line.is_empty() => break,
            Ok(Key::Char(c)) if !c.is_control() => {
                line.push(c);
                out.write(c.encode_utf8(&mut [0; 4]));
            }
            Ok(Key::CtrlC | Key::Escape) | Err(_) => break,
            Ok(_) => {}
        }
    }
    out.line("");
    None
}
