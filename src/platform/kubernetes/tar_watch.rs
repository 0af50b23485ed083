//! A tar stream in passing: how many files went by, and whether its end came.

const BLOCK: usize = 512;

/// Follows a tar stream by its headers.
#[derive(Debug, Default)]
pub(super) struct TarWatch {
    header: Vec<u8>,
    /// Bytes of the current member's contents, with their padding, still to come.
    skip: u64,
    zero_blocks: u32,
    files: u64,
    problem: Option<String>,
}

impl TarWatch {
    /// Takes the next piece; how many files began in it.
    pub fn feed(&mut self, mut piece: &[u8]) -> u64 {
        let before = self.files;
        while !piece.is_empty() && self.problem.is_none() {
            if self.skip > 0 {
                let length =
                    usize::try_from(self.skip).map_or(piece.len(), |it| it.min(piece.len()));
                self.skip -= length as u64;
                piece = &piece[length..];
                continue;
            }
            let length = (BLOCK - self.header.len()).min(piece.len());
            self.header.extend_from_slice(&piece[..length]);
            piece = &piece[length..];
            if self.header.len() == BLOCK {
                self.judge();
                self.header.clear();
            }
        }
        self.files - before
    }

    fn judge(&mut self) {
        if self.header.iter().all(|byte| *byte == 0) {
            self.zero_blocks += 1;
            return;
        }
        if self.zero_blocks > 0 {
            self.problem = Some("data after the end-of-archive marker".to_owned());
            return;
        }
        let header = tar::Header::from_byte_slice(&self.header);
        match (header.entry_size(), header.cksum()) {
            (Ok(size), Ok(sum)) if sum == checksum(&self.header) => {
                self.skip = size.next_multiple_of(BLOCK as u64);
                self.files += u64::from(header.entry_type().is_file());
            }
            _ => self.problem = Some(format!("no header after {} files", self.files)),
        }
    }

    /// An error unless the end-of-archive marker came.
    pub fn whole(&self) -> Result<(), String> {
        match &self.problem {
            Some(problem) => Err(problem.clone()),
            None if self.zero_blocks < 2 => Err(format!(
                "it ends after {} files without the end-of-archive marker",
                self.files
            )),
            None => Ok(()),
        }
    }
}

/// The sum of all bytes, with the checksum's own taken for spaces.
fn checksum(header: &[u8]) -> u32 {
    let rest = header[..148].iter().chain(&header[156..]);
    rest.map(|byte| u32::from(*byte)).sum::<u32>() + 8 * u32::from(b' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive() -> Vec<u8> {
        let mut tar = tar::Builder::new(Vec::new());
        for (name, length) in [("core/_a", 0), ("core/_b", 512), ("core/_c", 700)] {
            let mut header = tar::Header::new_gnu();
            header.set_size(length);
            let contents = vec![0; usize::try_from(length).unwrap()];
            tar.append_data(&mut header, name, contents.as_slice())
                .unwrap();
        }
        tar.into_inner().unwrap()
    }

    #[test]
    fn counts_the_files_and_knows_the_end_at_every_cut() {
        let whole = archive();
        for size in [1, 100, 512, 4096] {
            let mut watch = TarWatch::default();
            let files: u64 = whole.chunks(size).map(|piece| watch.feed(piece)).sum();
            assert_eq!(files, 3);
            watch.whole().unwrap();
        }
        for cut in (0..whole.len()).step_by(64) {
            let mut watch = TarWatch::default();
            watch.feed(&whole[..cut]);
            assert!(watch.whole().is_err(), "{cut}");
        }
    }

    #[test]
    fn noise_is_no_archive() {
        let mut watch = TarWatch::default();
        watch.feed(&[7; 2048]);
        assert!(watch.whole().is_err());
        let mut more = archive();
        more.extend(archive());
        let mut watch = TarWatch::default();
        watch.feed(&more);
        assert!(watch.whole().is_err());
    }
}
