//! One schedule after another, on two threads.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Calls `each` with every number on two threads, and fails with all that failed.
pub fn everywhere(
    numbers: impl Iterator<Item = usize>,
    names: &[String],
    each: impl Fn(usize) -> Result<(), String> + Sync,
) {
    let numbers: Vec<usize> = numbers.collect();
    let (next, failures) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || {
        while let Some(number) = numbers.get(next.fetch_add(1, Ordering::Relaxed)) {
            let ended = catch_unwind(AssertUnwindSafe(|| each(*number)));
            let why = match ended {
                Ok(Ok(())) => continue,
                Ok(Err(why)) => why,
                Err(_) => "the end is another, see above".to_owned(),
            };
            let name = names.get(*number).map_or("", String::as_str);
            let failure = format!("{number} ({name}): {why}");
            failures.lock().unwrap().push(failure);
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(work);
        scope.spawn(work);
    });
    let failures = failures.into_inner().unwrap();
    assert!(
        failures.is_empty(),
        "{} of {} failed:\n{}",
        failures.len(),
        numbers.len(),
        failures.join("\n")
    );
}
