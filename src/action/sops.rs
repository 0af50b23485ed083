//! Keys in a file that `sops` encrypts, by the rules that it finds beside that file or above it.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use secrecy::ExposeSecret;
use serde_json::json;
use zeroize::Zeroizing;

use super::keys::Keys;
use super::{Error, Result, blocking};
use crate::storage::save_private;

/// Encrypts JSON for `file`, which need not be there, and returns what goes into it. The text is on no command line.
pub(super) async fn encrypted(file: &Path, text: impl Into<Zeroizing<Vec<u8>>>) -> Result<Vec<u8>> {
    let (file, text) = (file.to_owned(), text.into());
    blocking(move || run(&file, &text)).await
}

fn run(file: &PathBuf, text: &[u8]) -> Result<Vec<u8>> {
    let failed = |why: String| {
        Error::refused(format!(
            "`sops` does not encrypt for {}: {why}",
            file.display()
        ))
    };
    let folder = file.parent().unwrap_or(Path::new("/"));
    if !folder.is_dir() {
        return Err(failed("its folder does not exist".to_owned()));
    }
    let mut child = Command::new("sops")
        .args(["encrypt", "--input-type", "json", "--filename-override"])
        .arg(file)
        .arg("/dev/stdin")
        // It looks for its rules from where it runs, and a later process may run elsewhere.
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| failed(format!("it cannot be run: {error} (is it on the PATH?)")))?;
    // It reads all of it before it writes, and it is less than a pipe holds.
    let written = child.stdin.take().map(|mut input| input.write_all(text));
    let output = child
        .wait_with_output()
        .map_err(|error| failed(error.to_string()))?;
    if !output.status.success() {
        return Err(failed(
            String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        ));
    }
    match written {
        Some(Ok(())) if !output.stdout.is_empty() => Ok(output.stdout),
        _ => Err(failed("it took no input or gave no output".to_owned())),
    }
}

/// Writes the keys as `bao operator init -format=json` prints them, encrypted, to a file that appears whole or not at all.
pub(super) async fn store(file: &Path, keys: &Keys) -> Result<()> {
    let shares: Vec<&str> = keys
        .shares
        .iter()
        .map(ExposeSecret::expose_secret)
        .collect();
    let token = keys.token.expose_secret();
    let text = json!({"unseal_keys_b64": shares, "root_token": token}).to_string();
    let sealed = encrypted(file, text.into_bytes()).await?;
    let plain = |word: &&str| {
        sealed
            .windows(word.len())
            .any(|found| found == word.as_bytes())
    };
    if shares.iter().chain([&token]).any(plain) {
        return Err(Error::refused(format!(
            "`sops` left a key in plain text, by its rules for {}: nothing was written",
            file.display()
        )));
    }
    let file = file.to_owned();
    blocking(move || save_private(&file, &sealed)).await
}
