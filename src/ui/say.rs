//! What commands without a run print: their result on stdout, an error with the next commands on stderr.

use super::{Look, Sink};

/// One line of a command's result.
pub fn line(text: &str) {
    Sink::stdout().line(text);
}

/// A command's result as it is.
pub fn text(text: &str) {
    Sink::stdout().write(text);
}

/// An error, and what to type next.
pub fn error(message: &str, next: &[&str]) {
    let look = Look::detect(std::io::IsTerminal::is_terminal(&std::io::stderr()));
    let head = if look.color {
        console::style("error:")
            .red()
            .bold()
            .force_styling(true)
            .to_string()
    } else {
        "error:".to_owned()
    };
    let sink = Sink::stderr();
    sink.line(&format!("{head} {message}"));
    for command in next {
        sink.line(&format!("next:  {command}"));
    }
}

/// A line for the operator beside a command's result.
pub fn aside(text: &str) {
    Sink::stderr().line(text);
}
