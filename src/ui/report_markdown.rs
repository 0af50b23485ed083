//! Markdown that text from elsewhere cannot break out of.

use std::fmt::Write;

use super::text;

pub(super) fn line(out: &mut String, text: &str) {
    // Writing to a `String` cannot fail.
    let _ = writeln!(out, "{text}");
}

pub(super) fn row(out: &mut String, cells: &[&str]) {
    line(out, &format!("| {} |", cells.join(" | ")));
}

/// A code block whose fence is longer than any run of backticks within it.
pub(super) fn code(out: &mut String, lines: &[String], indent: &str) {
    let lines: Vec<_> = lines.iter().map(|text| text::clean(text)).collect();
    let longest = lines
        .iter()
        .flat_map(|text| text.split(|c| c != '`').map(str::len))
        .max()
        .unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    line(out, &format!("{indent}{fence}text"));
    for text in &lines {
        for part in text.lines() {
            line(out, &format!("{indent}{part}"));
        }
    }
    line(out, &format!("{indent}{fence}\n"));
}

/// Text from elsewhere, on one line, with everything that means something in Markdown or HTML taken literally.
pub(super) fn escape(text: &str) -> String {
    let text = text::one_line(text);
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '&' => out.push_str("&amp;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '#' | '~' | '!' | '$' | '>' => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_elsewhere_is_taken_literally() {
        assert_eq!(
            escape("a|b\nc <img> *x* [y](z) `k`"),
            "a\\|b \\| c &lt;img\\> \\*x\\* \\[y\\](z) \\`k\\`"
        );
        assert_eq!(escape("&lt; \u{1b}[31m"), "&amp;lt; \u{fffd}\\[31m");
    }

    #[test]
    fn a_code_block_cannot_be_closed_from_within() {
        let mut out = String::new();
        code(&mut out, &["a ```` b".to_owned(), "# c".to_owned()], "");
        assert_eq!(out, "`````text\na ```` b\n# c\n`````\n\n");
    }
}
