//! Starting a server and waiting until it answers.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::time::Duration;

use tokio::time::Instant;

use super::layout::NodeFiles;
use super::process::{self, Running};
use super::topology::{Member, port_is_free};
use super::{binary, files, layout::Layout};
use crate::bao::{Deadlines, HttpNode, Node};
use crate::platform::{Error, Result};

/// How long a server may take until its API answers.
const ANSWERS: Duration = Duration::from_mins(1);
/// How much of a log is read to find its last lines.
const TAIL: u64 = 256 * 1024;
/// How many lines of its log an error shows.
const SHOWN: usize = 15;

/// Starts a member with this configuration and returns when its API answers. The caller knows that it does not run.
pub(super) async fn start(
    layout: &Layout,
    program: &std::path::Path,
    member: &Member,
    config: &str,
) -> Result<Running> {
    binary::check(program)?;
    check_ports(member)?;
    let node = layout.node(&member.name);
    for folder in [node.folder(), &node.data(), &node.audit()] {
        files::make_folder(folder)?;
    }
    files::replace(&node.config(), config.as_bytes())?;
    let running = process::spawn(program, &node)?;
    wait(member, &node).await?;
    Ok(running)
}

/// Both ports of a member that is about to start must be free.
pub(super) fn check_ports(member: &Member) -> Result<()> {
    for port in [member.api_port, member.cluster_port] {
        if !port_is_free(port) {
            return Err(Error::PortTaken {
                member: member.name.clone(),
                port,
            });
        }
    }
    Ok(())
}

/// Waits until a started server's API answers or its process has ended.
pub(super) async fn wait(member: &Member, node: &NodeFiles) -> Result<()> {
    let api = HttpNode::with_deadlines(
        member.name.clone(),
        &member.api(),
        Deadlines {
            call: Duration::from_secs(5),
            ..Deadlines::default()
        },
    )?;
    let deadline = Instant::now() + ANSWERS;
    loop {
        let answered = api.seal_status().await;
        if answered.is_ok() {
            return Ok(());
        }
        if process::find(node)?.is_none() {
            return Err(did_not_start(member, node, "the process ended"));
        }
        if Instant::now() >= deadline {
            return Err(did_not_start(
                member,
                node,
                &format!("its API does not answer after {} s", ANSWERS.as_secs()),
            ));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn did_not_start(member: &Member, node: &NodeFiles, why: &str) -> Error {
    Error::DidNotStart {
        member: member.name.clone(),
        why: why.to_owned(),
        log: log_tail(node, SHOWN).unwrap_or_default(),
    }
}

/// The last lines of a server's log.
pub(super) fn log_tail(node: &NodeFiles, lines: usize) -> Result<Vec<String>> {
    let path = node.log();
    let mut file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(files::io("opening", &path)(error)),
    };
    let mut bytes = Vec::new();
    let length = file.metadata().map_or(0, |meta| meta.len());
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))
        .and_then(|_| file.read_to_end(&mut bytes))
        .map_err(files::io("reading", &path))?;
    let text = String::from_utf8_lossy(&bytes);
    let all: Vec<&str> = text.lines().collect();
    Ok(all[all.len().saturating_sub(lines)..]
        .iter()
        .map(|&line| line.to_owned())
        .collect())
}
