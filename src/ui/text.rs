//! Numbers and running text, as every form of output writes them.

use console::measure_text_width;

use crate::event::Expected;
use crate::meter::Unit;

/// A length of time, with as much precision as is of use.
pub(super) fn seconds(seconds: f64) -> String {
    if !seconds.is_finite() || seconds < 0.0 {
        return "?".to_owned();
    }
    if seconds < 59.95 {
        return format!("{seconds:.1} s");
    }
    // Lengths of time stay far below 2^52 seconds.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let whole = seconds.round() as u64;
    if whole < 3600 {
        format!("{} min {:02} s", whole / 60, whole % 60)
    } else {
        format!("{} h {:02} min", whole / 3600, whole / 60 % 60)
    }
}

/// How long an outage was; `at_least` where nobody saw its end.
#[must_use]
pub fn outage(most: f64, at_least: Option<f64>) -> String {
    match at_least {
        None => seconds(most),
        Some(least) => format!(
            "between {} and {}: nobody saw its end",
            seconds(least),
            seconds(most)
        ),
    }
}

/// The same where there may have been none.
pub(super) fn any_outage(most: Option<f64>, at_least: Option<f64>) -> String {
    most.map_or_else(|| "none".to_owned(), |most| outage(most, at_least))
}

/// What an outage was expected to be, and how it compares; not with one whose end nobody saw.
pub(super) fn expected(expected: Expected, was: f64, at_least: Option<f64>) -> String {
    let server = seconds(expected.server);
    let off = (was / expected.seconds - 1.0) * 100.0;
    let compared = if at_least.is_some() || !off.is_finite() {
        String::new()
    } else if off.abs() < 0.5 {
        "; it took as long as that".to_owned()
    } else {
        let word = if off < 0.0 { "shorter" } else { "longer" };
        format!("; it was {:.0} % {word} than expected", off.abs())
    };
    format!(
        "{}, of it {server} the server's own: starts, init, restore, elections{compared}",
        seconds(expected.seconds)
    )
}

/// A length of time in at most seven columns, for a column of times.
pub(super) fn clock(seconds: f64) -> String {
    let long = self::seconds(seconds);
    if long.len() <= 7 {
        return long;
    }
    long.replace(" min", "m")
        .replace(" s", "s")
        .replace(" h", "h")
}

/// A count with thousands apart, for people.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Bytes in binary units.
pub(super) fn bytes(number: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if number < 1024 {
        return format!("{number} B");
    }
    #[allow(clippy::cast_precision_loss)]
    let mut value = number as f64 / 1024.0;
    let mut unit = UNITS[0];
    for larger in &UNITS[1..] {
        // 1023.95 would be rounded to 1024.0.
        if value < 1023.95 {
            break;
        }
        value /= 1024.0;
        unit = larger;
    }
    format!("{value:.1} {unit}")
}

/// An amount in its unit.
pub(super) fn amount(unit: Unit, number: u64) -> String {
    match unit {
        Unit::Bytes => bytes(number),
        Unit::Entries if number == 1 => "1 entry".to_owned(),
        Unit::Entries => format!("{} entries", count(number)),
    }
}

/// `12.0 MiB of 48.0 MiB`.
pub(super) fn done_of(unit: Unit, done: u64, total: Option<u64>) -> String {
    match (unit, total) {
        (_, None) => amount(unit, done),
        (Unit::Bytes, Some(total)) => format!("{} of {}", bytes(done), bytes(total)),
        (Unit::Entries, Some(total)) => format!("{} of {}", count(done), amount(unit, total)),
    }
}

/// Whole percent, 100 only when all is done.
pub(super) fn percent(done: u64, total: u64) -> u8 {
    if total == 0 {
        return 100;
    }
    u8::try_from((u128::from(done) * 100 / u128::from(total)).min(100)).unwrap_or(100)
}

/// Text from elsewhere made safe for a terminal: control characters would move the cursor or change colours.
pub(super) fn clean(text: &str) -> String {
    text.trim_end()
        .chars()
        .filter(|c| *c != '\r')
        .map(|c| match c {
            '\n' => '\n',
            '\t' => ' ',
            c if c.is_control() || is_bidi_control(c) => '\u{fffd}',
            c => c,
        })
        .collect()
}

/// [`clean`], on one line.
pub(super) fn one_line(text: &str) -> String {
    clean(text)
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect::<Vec<_>>()
        .join(" | ")
}

fn is_bidi_control(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Breaks text at blanks so that no line is wider than `width`; words that are wider themselves are cut.
pub(super) fn wrap(text: &str, width: usize) -> Vec<String> {
    let width = width.max(8);
    let mut lines = Vec::new();
    for paragraph in clean(text).lines() {
        let mut line = String::new();
        for word in paragraph.split_whitespace() {
            let gap = usize::from(!line.is_empty());
            if measure_text_width(&line) + gap + measure_text_width(word) <= width {
                if gap == 1 {
                    line.push(' ');
                }
                line.push_str(word);
                continue;
            }
            if !line.is_empty() {
                lines.push(std::mem::take(&mut line));
            }
            for c in word.chars() {
                if measure_text_width(&line) + measure_text_width(c.encode_utf8(&mut [0; 4]))
                    > width
                {
                    lines.push(std::mem::take(&mut line));
                }
                line.push(c);
            }
        }
        lines.push(line);
    }
    if lines.is_empty() {
        lines.push(String::new());
    }
    lines
}

/// [`wrap`] with each line but the first indented.
pub(super) fn hang(first: &str, text: &str, indent: usize, width: usize) -> String {
    let lines = wrap(text, width.saturating_sub(indent));
    let mut out = first.to_owned();
    for (index, line) in lines.iter().enumerate() {
        if index > 0 {
            out.push('\n');
            out.push_str(&" ".repeat(indent));
        }
        out.push_str(line);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(seconds(0.04), "0.0 s");
        assert_eq!(seconds(59.94), "59.9 s");
        assert_eq!(seconds(59.97), "1 min 00 s");
        assert_eq!(seconds(3725.0), "1 h 02 min");
        assert_eq!(seconds(f64::NAN), "?");
        assert_eq!(clock(7.0), "7.0 s");
        assert_eq!(clock(3599.0), "59m 59s");
        assert_eq!(clock(3725.0), "1h 02m");
        assert_eq!(count(0), "0");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1024 * 1024 - 1), "1.0 MiB");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(percent(999, 1000), 99);
        assert_eq!(percent(u64::MAX, u64::MAX), 100);
        assert_eq!(percent(1, 0), 100);
    }

    #[test]
    fn an_outage_is_compared_in_words() {
        let of = |seconds| Expected {
            seconds,
            server: 2.0,
        };
        let ends = |expectation: f64, was, least, end: &str| {
            let told = expected(of(expectation), was, least);
            assert!(told.ends_with(end), "{told}");
        };
        ends(10.0, 8.3, None, "; it was 17 % shorter than expected");
        ends(10.0, 12.0, None, "; it was 20 % longer than expected");
        ends(10.0, 10.04, None, "; it took as long as that");
        ends(0.0, 0.0, None, "elections");
        ends(10.0, 7200.0, Some(9.0), "elections");
        assert_eq!(outage(8.3, None), "8.3 s");
        assert_eq!(
            outage(7200.0, Some(9.0)),
            "between 9.0 s and 2 h 00 min: nobody saw its end"
        );
    }

    #[test]
    fn escape_codes_do_not_get_through() {
        assert_eq!(clean("a\u{1b}[31mb\r\n"), "a\u{fffd}[31mb");
        assert_eq!(clean("x\u{202e}y\u{9b}2J"), "x\u{fffd}y\u{fffd}2J");
        assert_eq!(one_line("a\n\n  b\n"), "a | b");
    }

    #[test]
    fn wrapping_keeps_to_the_width() {
        assert_eq!(wrap("one two three", 8), ["one two", "three"]);
        assert_eq!(wrap("abcdefghijkl mn", 8), ["abcdefgh", "ijkl mn"]);
        assert_eq!(wrap("", 8), [""]);
        assert_eq!(hang("> ", "one two three", 2, 10), "> one two\n  three");
        for line in wrap("日本語日本語日本語 a\nb", 8) {
            assert!(measure_text_width(&line) <= 8);
        }
    }
}
