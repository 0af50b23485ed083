//! Where the operator's keys come from: the release's Secret, a file, a command, a descriptor, or the key holders one by one.

use std::io::{IsTerminal, Read};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use clap::Args;
use secrecy::SecretString;
use zeroize::Zeroizing;

use super::Exit;
use super::exit::fail;
use super::target::Here;
use crate::action::Keys;
use crate::ui::Prompt;

/// The unseal shares and a token, root or with the policy in `docs/policy.hcl`; without any of these flags the release's
/// Secret has them.
#[derive(Debug, Clone, Default, Args)]
#[group(multiple = false)]
pub struct KeysArgs {
    /// File with unseal keys and token, as `bao operator init -format=json` prints them; any token will do that may make
    /// the calls, see docs/policy.hcl
    #[arg(long, value_name = "FILE", help_heading = "Keys")]
    pub keys_file: Option<PathBuf>,
    /// Command that prints the same, run by `sh -c`, for example `sops -d keys.json`
    #[arg(long, value_name = "COMMAND", help_heading = "Keys")]
    keys_command: Option<String>,
    /// Open file descriptor to read the same from, for example 3 with `3< <(pass show bao)`
    #[arg(long, value_name = "N", help_heading = "Keys")]
    keys_fd: Option<u32>,
    /// Ask each key holder in turn at the terminal, without showing what is typed
    #[arg(long, help_heading = "Keys")]
    ask_keys: bool,
}

/// What to do about keys that cannot be read.
const READABLE: [&str; 1] =
    ["the same command with --keys-file FILE, or with another --keys-command"];
/// No output of `init` is longer; a device in place of a file has no end.
const LONGEST: u64 = 1 << 20;

impl KeysArgs {
    /// How keys are given that are kept nowhere, as a later command has to give them again.
    pub(super) const fn given_once(&self) -> Option<&'static str> {
        if self.keys_command.is_some() {
            Some("--keys-command COMMAND")
        } else if self.keys_fd.is_some() {
            Some("--keys-fd N")
        } else if self.ask_keys {
            Some("--ask-keys")
        } else {
            None
        }
    }

    /// Reads the keys that are given once and kept in memory; none for a file, which is read again when it is needed, and for the
    /// Secret.
    pub(super) async fn read(&self, here: &Here) -> Result<Option<Keys>, Exit> {
        if let Some(command) = self.keys_command.clone() {
            return aside(move || of_command(&command)).await.map(Some);
        }
        if let Some(number) = self.keys_fd {
            return aside(move || of_descriptor(number)).await.map(Some);
        }
        if self.ask_keys {
            return asked(here).await.map(Some);
        }
        if let Some(file) = &self.keys_file {
            Keys::from_file(file).map_err(|error| fail(error, &READABLE, Exit::Usage))?;
        }
        Ok(None)
    }
}

/// What may wait for somebody else must not keep a signal from being heard.
async fn aside(read: impl FnOnce() -> Result<Keys, Exit> + Send + 'static) -> Result<Keys, Exit> {
    let read = tokio::task::spawn_blocking(read).await;
    read.unwrap_or_else(|error| {
        let why = format!("the keys could not be read: {error}");
        Err(fail(why, &[], Exit::Failed))
    })
}

fn of_descriptor(number: u32) -> Result<Keys, Exit> {
    let whence = format!("--keys-fd {number}");
    let file = std::fs::File::open(format!("/dev/fd/{number}"))
        .map_err(|error| fail(format!("{whence}: {error}"), &READABLE, Exit::Usage))?;
    parsed(&whole(file, &whence)?, &whence)
}

fn of_command(command: &str) -> Result<Keys, Exit> {
    let whence = "--keys-command";
    let unusable = |why: String| fail(format!("{whence}: {why}"), &READABLE, Exit::Usage);
    let mut child = Command::new("sh")
        .args(["-c", command])
        .stdin(Stdio::inherit())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| unusable(error.to_string()))?;
    let Some(output) = child.stdout.take() else {
        return Err(unusable("it has no output".to_owned()));
    };
    let text = whole(output, whence)?;
    let status = child.wait().map_err(|error| unusable(error.to_string()))?;
    if !status.success() {
        return Err(unusable(format!("it ended with {status}")));
    }
    parsed(&text, whence)
}

fn whole(from: impl Read, whence: &str) -> Result<Zeroizing<String>, Exit> {
    let mut text = Zeroizing::new(String::new());
    match from.take(LONGEST).read_to_string(&mut text) {
        Ok(_) => Ok(text),
        Err(error) => Err(fail(format!("{whence}: {error}"), &READABLE, Exit::Usage)),
    }
}

fn parsed(text: &str, whence: &str) -> Result<Keys, Exit> {
    Keys::from_json(text, whence).map_err(|error| fail(error, &READABLE, Exit::Usage))
}

/// Asks for as many shares as the server needs, and a token.
async fn asked(here: &Here) -> Result<Keys, Exit> {
    let unreachable = |error: &dyn std::fmt::Display| {
        let why = format!("how many shares are needed is not known: {error}");
        fail(why, &[&here.place.command("check")], Exit::Failed)
    };
    let members = here.platform.members();
    let first = members.first().map_or("", String::as_str);
    let node = here
        .platform
        .node(first)
        .map_err(|error| unreachable(&error))?;
    let status = node
        .seal_status()
        .await
        .map_err(|error| unreachable(&error))?;
    let needed = status.t.max(1);
    let prompt = Prompt::new(false, None, std::io::stdin().is_terminal());
    let nobody = || {
        fail(
            "the keys were not typed in",
            &["name a file with --keys-file, or a command with --keys-command"],
            Exit::Declined,
        )
    };
    let mut shares: Vec<SecretString> = Vec::new();
    for number in 1..=needed {
        let label = format!(
            "unseal share {number} of {needed} (of {} in existence)",
            status.n
        );
        shares.push(prompt.secret(&label).await.ok_or_else(nobody)?);
    }
    let token = prompt.secret("token").await.ok_or_else(nobody)?;
    Ok(Keys { shares, token })
}
