//! Signals that end a command. An engine counts them; where none runs, one ends the command by dropping what it was about, so
//! that what it made for itself (sockets, generated values) goes with it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::Exit;
use crate::engine::Interrupt;
use crate::event::{Event, Level, Observer};

/// An engine counts the signals of this process.
static COUNTED: AtomicBool = AtomicBool::new(false);

/// Does the work until it ends, or a signal comes that no engine counts.
pub(super) async fn or_stopped(work: impl Future<Output = Exit>) -> Exit {
    let mut heard = hear();
    let stopped = async {
        loop {
            match heard.recv().await {
                Some(number) if !COUNTED.load(Ordering::Relaxed) => return number,
                Some(_) => {}
                None => std::future::pending().await,
            }
        }
    };
    tokio::select! {
        biased;
        exit = work => exit,
        number = stopped => Exit::Signal(number),
    }
}

/// Counts them from here on for an engine, and answers the first at once: it may have to wait for the running action.
pub(super) fn counted(observer: Arc<dyn Observer>) -> Interrupt {
    COUNTED.store(true, Ordering::Relaxed);
    let interrupt = Interrupt::default();
    let (mut heard, raised) = (hear(), interrupt.clone());
    tokio::spawn(async move {
        while let Some(number) = heard.recv().await {
            if raised.raised(1).is_none() {
                observer.observe(&Event::Note {
                    level: Level::Warn,
                    message: "stopping when the running action has ended, so that it is known what came of it; once more stops \
                              at once, and `resume` then has to look"
                        .to_owned(),
                });
            }
            raised.raise(number.into());
        }
    });
    interrupt
}

/// The numbers of Ctrl-C and its kin, as they come.
fn hear() -> mpsc::UnboundedReceiver<u8> {
    let (said, heard) = mpsc::unbounded_channel();
    for (kind, number) in [
        (SignalKind::interrupt(), 2),
        (SignalKind::terminate(), 15),
        (SignalKind::hangup(), 1),
    ] {
        let said = said.clone();
        if let Ok(mut stream) = signal(kind) {
            tokio::spawn(async move {
                while stream.recv().await.is_some() && said.send(number).is_ok() {}
            });
        }
    }
    heard
}
