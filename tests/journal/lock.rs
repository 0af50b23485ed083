//! One writer per journal.

use std::fs;
use std::sync::Barrier;

use crate::common::{folder, header};
use baoctl::journal::{Error, Holder, Journal, is_locked};

/// Half of the races are for a new journal, half for one that is there.
#[test]
fn a_thousand_races_have_one_winner_each() {
    const RACERS: usize = 4;
    for race in 0..1000 {
        let (_folder, path) = folder();
        if race % 2 == 1 {
            drop(Journal::create(&path, header()).unwrap());
        }
        let (start, end) = (Barrier::new(RACERS), Barrier::new(RACERS));
        let won: usize = std::thread::scope(|scope| {
            let racers: Vec<_> = (0..RACERS)
                .map(|_| {
                    scope.spawn(|| {
                        start.wait();
                        let journal = if race % 2 == 1 {
                            Journal::open(&path)
                        } else {
                            Journal::create(&path, header())
                        };
                        // Held until all have tried: otherwise two could win one after the other.
                        end.wait();
                        match journal {
                            Ok(_) => 1,
                            Err(Error::Locked { .. }) => 0,
                            Err(error) => panic!("{error}"),
                        }
                    })
                })
                .collect();
            racers.into_iter().map(|it| it.join().unwrap()).sum()
        });
        assert_eq!(won, 1, "race {race}");
    }
}

#[test]
fn a_note_that_a_killed_process_left_is_ignored() {
    let (_folder, path) = folder();
    let journal = Journal::create(&path, header()).unwrap();
    let note = path.with_extension("jsonl.holder");
    let left = fs::read(&note).unwrap();
    drop(journal);
    fs::write(&note, left).unwrap();
    assert!(Holder::read(&path).is_some());
    assert!(!is_locked(&path).unwrap());
    let journal = Journal::open(&path).unwrap();
    assert_eq!(Holder::read(&path).unwrap().pid, std::process::id());
    drop(journal);
    assert!(!note.exists());
}

#[test]
fn the_files_are_for_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let (_folder, path) = folder();
    fs::write(&path, "").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let _journal = Journal::create(&path, header()).unwrap();
    for file in [path.clone(), path.with_extension("jsonl.holder")] {
        let mode = fs::metadata(file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

#[test]
fn looks_at_the_lock_do_not_turn_a_writer_away() {
    let (_folder, path) = folder();
    drop(Journal::create(&path, header()).unwrap());
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                is_locked(&path).unwrap();
                std::thread::sleep(std::time::Duration::from_micros(200));
            }
        });
        let opened: Result<Vec<_>, _> = (0..200).map(|_| Journal::open(&path).map(drop)).collect();
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        opened.unwrap();
    });
}
