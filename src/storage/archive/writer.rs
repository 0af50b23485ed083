//! Writing a snapshot archive from sorted entries.

use std::io::{self, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use flate2::{Compression, GzBuilder};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::meta::Meta;
use super::state::{put, put_length};
use crate::storage::durable::Partial;
use crate::storage::error::StorageError;

/// Pieces of `state.bin` between the two threads, in bytes.
const PIECE: usize = 1 << 20;
const QUEUE: usize = 3;

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Written {
    /// Length of the archive in bytes.
    pub bytes: u64,
    /// SHA-256 of the archive, in hex.
    pub sha256: String,
}

/// How many bytes of `state.bin` an entry takes.
pub(crate) fn state_bytes(key: &str, value: usize) -> u64 {
    put_length(key.len(), value) as u64
}

/// The next of the sorted entries, appended by the callback to whatever it gets; false at the end.
type NextEntry<'a> =
    dyn FnMut(&mut dyn FnMut(&str, &[u8])) -> Result<bool, StorageError> + Send + 'a;

/// Writes an archive to `out`, which appears whole or not at all, with mode 0600. `entries` calls its argument once
/// for each entry in ascending order of the keys and returns false when there are no more; `meta.size` must be the
/// sum of their [`state_bytes`]. The gzip has stored blocks: ciphertext does not compress.
pub fn write(
    out: &Path,
    meta: &Meta,
    entries: &mut NextEntry<'_>,
) -> Result<Written, StorageError> {
    let mut file = Partial::create(out)?;
    let path = file.path().to_owned();
    let failed = || StorageError::io("write", &path);
    let (written, sha256) = thread::scope(|scope| {
        let (full, pieces) = sync_channel::<Vec<u8>>(QUEUE);
        let maker = scope.spawn(move || make(entries, &full));
        let mut gzip = GzBuilder::new().write(Tally::new(&mut file), Compression::none());
        let packed = pack(&mut gzip, meta, pieces);
        // The maker has ended by now: its receiver is gone. Its word says more than "a short stream".
        match maker.join() {
            Ok(made) => made?,
            Err(panic) => std::panic::resume_unwind(panic),
        }
        packed.map_err(failed())?;
        let tally = gzip.finish().and_then(Tally::finish).map_err(failed())?;
        Ok::<_, StorageError>(tally)
    })?;
    file.finish()?;
    Ok(Written {
        bytes: written,
        sha256,
    })
}

fn make(entries: &mut NextEntry<'_>, full: &SyncSender<Vec<u8>>) -> Result<(), StorageError> {
    let mut piece = Vec::with_capacity(PIECE + PIECE / 4);
    while entries(&mut |key, value| put(key, value, &mut piece))? {
        if piece.len() >= PIECE {
            let next = Vec::with_capacity(piece.capacity());
            if full.send(std::mem::replace(&mut piece, next)).is_err() {
                return Ok(());
            }
        }
    }
    // A receiver that is gone has failed and says so itself.
    let _ = full.send(piece);
    Ok(())
}

fn pack(out: &mut impl Write, meta: &Meta, pieces: Receiver<Vec<u8>>) -> io::Result<()> {
    let mut text = serde_json::to_vec(meta)?;
    text.push(b'\n');
    member(out, "meta.json", &text)?;
    header(out, "state.bin", meta.size)?;
    let mut hasher = Sha256::new();
    let mut size = 0;
    for piece in pieces {
        hasher.update(&piece);
        size += piece.len() as u64;
        out.write_all(&piece)?;
    }
    if size != meta.size {
        return Err(io::Error::other(format!(
            "{size} bytes of state.bin, announced were {}",
            meta.size
        )));
    }
    pad(out, size)?;
    let sums = format!(
        "{}  meta.json\n{}  state.bin\n",
        hex::encode(Sha256::digest(&text)),
        hex::encode(hasher.finalize())
    );
    member(out, "SHA256SUMS", sums.as_bytes())?;
    out.write_all(&[0; 1024])
}

fn member(out: &mut impl Write, name: &str, content: &[u8]) -> io::Result<()> {
    header(out, name, content.len() as u64)?;
    out.write_all(content)?;
    pad(out, content.len() as u64)
}

fn header(out: &mut impl Write, name: &str, size: u64) -> io::Result<()> {
    let mut header = tar::Header::new_ustar();
    header.set_path(name)?;
    header.set_entry_type(tar::EntryType::Regular);
    header.set_mode(0o600);
    header.set_size(size);
    // The same tree gives the same archive.
    header.set_mtime(0);
    header.set_cksum();
    out.write_all(header.as_bytes())
}

fn pad(out: &mut impl Write, size: u64) -> io::Result<()> {
    let padding = usize::try_from(size.wrapping_neg() % 512).unwrap_or_default();
    out.write_all(&[0; 512][..padding])
}

/// Counts and hashes what goes through.
struct Tally<W: Write> {
    out: io::BufWriter<W>,
    hasher: Sha256,
    bytes: u64,
}

impl<W: Write> Tally<W> {
    fn new(out: W) -> Self {
        Self {
            out: io::BufWriter::with_capacity(1 << 18, out),
            hasher: Sha256::new(),
            bytes: 0,
        }
    }

    fn finish(mut self) -> io::Result<(u64, String)> {
        self.out.flush()?;
        Ok((self.bytes, hex::encode(self.hasher.finalize())))
    }
}

impl<W: Write> Write for Tally<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
