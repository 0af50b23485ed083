//! Where lines go, and what time it is.

use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;

/// A shared writer that drops what cannot be written: a closed pipe must not end a migration half-way.
#[derive(Clone)]
pub struct Sink(Arc<Mutex<Box<dyn Write + Send>>>);

impl Sink {
    /// Writes to `writer`.
    pub fn new(writer: impl Write + Send + 'static) -> Self {
        Self(Arc::new(Mutex::new(Box::new(writer))))
    }

    /// Writes to the process' standard output.
    #[must_use]
    pub fn stdout() -> Self {
        Self::new(std::io::stdout())
    }

    /// Writes to the process' standard error.
    #[must_use]
    pub fn stderr() -> Self {
        Self::new(std::io::stderr())
    }

    /// Writes text as it is, at once.
    pub fn write(&self, text: &str) {
        let mut writer = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if writer.write_all(text.as_bytes()).is_ok() {
            drop(writer.flush());
        }
    }

    /// Writes text and a line end, at once.
    pub fn line(&self, text: &str) {
        self.write(&format!("{text}\n"));
    }
}

impl std::fmt::Debug for Sink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sink")
    }
}

/// Tells the time; tests bring their own.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// The system's clock.
#[must_use]
pub fn system_clock() -> Clock {
    Arc::new(Timestamp::now)
}

/// `HH:MM:SS`, UTC.
pub(super) fn time_of_day(at: Timestamp) -> String {
    at.strftime("%H:%M:%S").to_string()
}

/// `YYYY-MM-DD HH:MM:SS UTC`.
pub(super) fn date_and_time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// Seconds from one time to another, 0 when the clock went back.
pub(super) fn seconds_between(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64().max(0.0)
}

#[cfg(test)]
pub(super) mod testing {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::{Clock, Sink};
    use jiff::{SignedDuration, Timestamp};

    /// A sink whose text can be read, and a clock that is moved by hand.
    #[derive(Clone, Default)]
    pub struct Paper(Arc<Mutex<Vec<u8>>>, Arc<Mutex<i64>>);

    impl Paper {
        pub fn sink(&self) -> Sink {
            Sink::new(self.clone())
        }

        pub fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }

        pub fn clock(&self) -> Clock {
            let millis = Arc::clone(&self.1);
            let base: Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
            Arc::new(move || base + SignedDuration::from_millis(*millis.lock().unwrap()))
        }

        pub fn pass(&self, millis: i64) {
            *self.1.lock().unwrap() += millis;
        }
    }

    impl Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// A pipe that nobody reads any more.
    pub struct Closed;

    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Err(std::io::ErrorKind::BrokenPipe.into())
        }
    }
}
