//! The terminal that bars and lines share.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use console::Term;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, TermLike};

use super::Sink;

/// Redraws per second.
const HERTZ: u8 = 15;

/// A terminal with lines above and bars below, that can be put aside while a question is asked.
#[derive(Clone)]
pub struct Screen {
    term: Arc<Quiet>,
    bars: MultiProgress,
    held: Arc<Mutex<Held>>,
}

#[derive(Default)]
struct Held {
    paused: bool,
    lines: Vec<String>,
    outage: Option<Instant>,
}

impl Screen {
    /// The process' standard output.
    #[must_use]
    pub fn stdout() -> Self {
        Self::on(Sink::stdout(), Term::stdout())
    }

    /// The process' standard error.
    #[must_use]
    pub fn stderr() -> Self {
        Self::on(Sink::stderr(), Term::stderr())
    }

    fn on(out: Sink, size: Term) -> Self {
        let term = Arc::new(Quiet {
            out,
            size,
            muted: AtomicBool::new(false),
            buffer: Mutex::default(),
        });
        let target =
            ProgressDrawTarget::term_like_with_hz(Box::new(Shared(Arc::clone(&term))), HERTZ);
        Self {
            term,
            bars: MultiProgress::with_draw_target(target),
            held: Arc::default(),
        }
    }

    /// Columns, at least 20 whatever the terminal says.
    #[must_use]
    pub fn width(&self) -> usize {
        usize::from(self.term.size.size().1).max(20)
    }

    /// Writes lines above the bars; while paused they are kept for later.
    pub fn print(&self, text: &str) {
        let mut held = self.held();
        if held.paused {
            held.lines.push(text.to_owned());
        } else {
            // Not `MultiProgress::println`: that pads each line to the full width.
            self.bars.suspend(|| self.term.out.line(text));
        }
    }

    /// Takes the bars away and keeps lines back, so that a question stands still. Pausing twice is pausing once.
    pub fn pause(&self) {
        let mut held = self.held();
        if !held.paused {
            held.paused = true;
            // Inside of `suspend` no ticker can draw between the clearing and the muting.
            self.bars
                .suspend(|| self.term.muted.store(true, Ordering::SeqCst));
        }
    }

    /// Ends a pause and writes what was kept back.
    pub fn resume(&self) {
        let mut held = self.held();
        if held.paused {
            held.paused = false;
            let lines = std::mem::take(&mut held.lines);
            self.bars.suspend(|| {
                self.term.muted.store(false, Ordering::SeqCst);
                for line in lines {
                    self.term.out.line(&line);
                }
            });
        }
    }

    /// Since when there is an outage.
    #[must_use]
    pub fn outage_since(&self) -> Option<Instant> {
        self.held().outage
    }

    pub(super) fn set_outage(&self, since: Option<Instant>) {
        self.held().outage = since;
    }

    pub(super) fn add_last(&self, bar: ProgressBar) -> ProgressBar {
        self.bars.add(bar)
    }

    pub(super) fn add_first(&self, bar: ProgressBar) -> ProgressBar {
        self.bars.insert(0, bar)
    }

    pub(super) fn remove(&self, bar: &ProgressBar) {
        bar.disable_steady_tick();
        bar.finish_and_clear();
        self.bars.remove(bar);
    }

    fn held(&self) -> std::sync::MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A terminal whose errors are dropped: indicatif would panic on some of them when the terminal goes away.
struct Quiet {
    out: Sink,
    size: Term,
    muted: AtomicBool,
    buffer: Mutex<String>,
}

impl Quiet {
    fn push(&self, text: &str) {
        let mut buffer = self.buffer.lock().unwrap_or_else(PoisonError::into_inner);
        buffer.push_str(text);
    }

    fn step(&self, n: usize, code: char) {
        if n > 0 {
            self.push(&format!("\x1b[{n}{code}"));
        }
    }
}

#[derive(Clone)]
struct Shared(Arc<Quiet>);

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Shared")
    }
}

impl TermLike for Shared {
    fn width(&self) -> u16 {
        self.0.size.size().1.max(20)
    }

    fn height(&self) -> u16 {
        self.0.size.size().0.max(4)
    }

    fn move_cursor_up(&self, n: usize) -> io::Result<()> {
        self.0.step(n, 'A');
        Ok(())
    }

    fn move_cursor_down(&self, n: usize) -> io::Result<()> {
        self.0.step(n, 'B');
        Ok(())
    }

    fn move_cursor_right(&self, n: usize) -> io::Result<()> {
        self.0.step(n, 'C');
        Ok(())
    }

    fn move_cursor_left(&self, n: usize) -> io::Result<()> {
        self.0.step(n, 'D');
        Ok(())
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.0.push(text);
        self.0.push("\n");
        Ok(())
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        self.0.push(text);
        Ok(())
    }

    fn clear_line(&self) -> io::Result<()> {
        self.0.push("\r\x1b[2K");
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        let mut buffer = self.0.buffer.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.0.muted.load(Ordering::SeqCst) {
            self.0.out.write(&buffer);
        }
        buffer.clear();
        Ok(())
    }
}
