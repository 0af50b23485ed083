//! Everything a person or a script sees of a run, and every question a person is asked.
//!
//! Where text goes:
//!
//! * **stdout**: the run itself: banner, plan, steps, bars, checks, summary. With `--json` one JSON object per line and
//!   nothing else.
//! * **stderr**: prompts with their consequences, notes about unanswered prompts, and the failure block. So
//!   `baoctl … >run.log` still asks and still says why it stopped.
//!
//! A stdout that goes away (a closed pipe, a lost SSH session) never stops a run: write errors are dropped, since the
//! journal and the report do not depend on them.
//!
//! | stdout | flags | form |
//! |---|---|---|
//! | a terminal | | [`Terminal`]: colours, bars, an outage clock |
//! | a pipe or file, or `TERM=dumb` | | [`Plain`]: one line per event with a time |
//! | anything | `--json` | [`Json`]: one object per line |
//!
//! `NO_COLOR` beats `CLICOLOR_FORCE`, which beats `CLICOLOR=0` and `TERM=dumb`. Symbols fall back to ASCII where the
//! locale is not UTF-8.

mod bars;
mod blocks;
mod json;
mod keys;
mod lines;
mod look;
mod outcome;
mod output;
mod plain;
mod plain_blocks;
mod progress;
mod prompt;
mod recorder;
mod report;
mod report_markdown;
mod report_steps;
mod say;
mod screen;
mod sink;
mod stall;
mod terminal;
mod text;

pub use json::Json;
pub use look::Look;
pub use output::{Output, Verbosity};
pub use plain::Plain;
pub use progress::Progress;
pub use prompt::Prompt;
pub use recorder::{Recorder, Timed};
pub use report::markdown;
pub use say::{aside, error, line, text};
pub use screen::Screen;
pub use sink::{Clock, Sink, system_clock};
pub use terminal::Terminal;
pub use text::outage;
