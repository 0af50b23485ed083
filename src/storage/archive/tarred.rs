//! The members of a snapshot archive's tar: plain USTAR, nothing else, up to the last byte.

use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::GzDecoder;

use crate::storage::error::StorageError;

const BLOCK: usize = 512;
const BLOCK64: u64 = 512;

/// A gzip of a tar, read member by member.
pub(super) struct Members<R: Read> {
    gzip: BufReader<GzDecoder<BufReader<R>>>,
    offset: u64,
    /// Bytes of the current member not read yet, without padding.
    left: u64,
    padding: u64,
    part: String,
}

impl<R: Read> Members<R> {
    pub(super) fn new(stream: R) -> Self {
        let gzip = GzDecoder::new(BufReader::with_capacity(1 << 18, stream));
        Self {
            gzip: BufReader::with_capacity(1 << 16, gzip),
            offset: 0,
            left: 0,
            padding: 0,
            part: "first header".to_owned(),
        }
    }

    pub(super) fn error(&self, problem: impl Into<String>) -> StorageError {
        StorageError::Archive {
            part: self.part.clone(),
            offset: self.offset,
            problem: problem.into(),
        }
    }

    fn failed(&self, error: &io::Error) -> StorageError {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => self.error("the archive is cut"),
            io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => {
                self.error(format!("the gzip is damaged: {error}"))
            }
            _ => self.error(format!("reading failed: {error}")),
        }
    }

    /// Name and size of the next member, none at the end; the current one must have been read.
    pub(super) fn next(&mut self) -> Result<Option<(String, u64)>, StorageError> {
        self.pad()?;
        "next header".clone_into(&mut self.part);
        let start = self.offset;
        let mut block = [0; BLOCK];
        self.exactly(&mut block)?;
        if block == [0; BLOCK] {
            self.end()?;
            return Ok(None);
        }
        self.offset = start;
        let header = tar::Header::from_byte_slice(&block);
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        let own: u32 = block[148..156].iter().map(|byte| u32::from(*byte)).sum();
        if header.cksum().ok() != Some(sum - own + 8 * u32::from(b' ')) {
            return Err(self.error("the tar header's checksum is wrong"));
        }
        if header.as_ustar().is_none() || !header.entry_type().is_file() {
            return Err(self.error("not the USTAR header of a plain file"));
        }
        let name = String::from_utf8_lossy(&header.path_bytes()).into_owned();
        let size = header
            .entry_size()
            .map_err(|error| self.error(format!("the size of {name}: {error}")))?;
        self.offset = start + BLOCK64;
        self.part.clone_from(&name);
        self.left = size;
        self.padding = size.wrapping_neg() % BLOCK64;
        Ok(Some((name, size)))
    }

    /// What is there of the current member; empty at its end.
    pub(super) fn chunk(&mut self) -> Result<&[u8], StorageError> {
        if self.left == 0 {
            return Ok(&[]);
        }
        // Filled first and looked at again, so that the error can borrow.
        if let Err(error) = fill(&mut self.gzip) {
            return Err(self.failed(&error));
        }
        if self.gzip.buffer().is_empty() {
            return Err(self.error("the archive is cut"));
        }
        let most = usize::try_from(self.left).unwrap_or(usize::MAX);
        let buffer = self.gzip.buffer();
        Ok(&buffer[..buffer.len().min(most)])
    }

    pub(super) fn consume(&mut self, bytes: usize) {
        self.gzip.consume(bytes);
        self.offset += bytes as u64;
        self.left -= bytes as u64;
    }

    /// The whole current member, if it has at most `most` bytes.
    pub(super) fn whole(&mut self, most: u64) -> Result<Vec<u8>, StorageError> {
        if self.left > most {
            return Err(self.error(format!("{} bytes, where at most {most} belong", self.left)));
        }
        let mut content = Vec::new();
        loop {
            let chunk = self.chunk()?;
            if chunk.is_empty() {
                return Ok(content);
            }
            content.extend_from_slice(chunk);
            let taken = chunk.len();
            self.consume(taken);
        }
    }

    fn exactly(&mut self, into: &mut [u8]) -> Result<(), StorageError> {
        self.gzip
            .read_exact(into)
            .map_err(|error| self.failed(&error))?;
        self.offset += into.len() as u64;
        Ok(())
    }

    fn pad(&mut self) -> Result<(), StorageError> {
        let mut block = [0; BLOCK];
        let padding = usize::try_from(self.padding).unwrap_or(BLOCK);
        self.padding = 0;
        self.exactly(&mut block[..padding])?;
        if block.iter().any(|byte| *byte != 0) {
            return Err(self.error("its padding is not zero"));
        }
        Ok(())
    }

    /// The second block of the end marker, zeros up to the end, the gzip's own check, and nothing behind it.
    fn end(&mut self) -> Result<(), StorageError> {
        "end marker".clone_into(&mut self.part);
        let mut block = [0; BLOCK];
        self.exactly(&mut block)?;
        if block != [0; BLOCK] {
            return Err(self.error("a single zero block is no end marker"));
        }
        loop {
            if let Err(error) = fill(&mut self.gzip) {
                return Err(self.failed(&error));
            }
            let buffer = self.gzip.buffer();
            if buffer.iter().any(|byte| *byte != 0) {
                return Err(self.error("data after the end marker"));
            }
            if buffer.is_empty() {
                break;
            }
            let read = buffer.len();
            self.offset += read as u64;
            self.gzip.consume(read);
        }
        let behind = match fill(self.gzip.get_mut().get_mut()) {
            Ok(()) => !self.gzip.get_ref().get_ref().buffer().is_empty(),
            Err(error) => return Err(self.failed(&error)),
        };
        if behind {
            return Err(self.error("data after the end of the gzip"));
        }
        Ok(())
    }
}

fn fill(reader: &mut impl BufRead) -> io::Result<()> {
    loop {
        match reader.fill_buf() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return done.map(|_| ()),
        }
    }
}
