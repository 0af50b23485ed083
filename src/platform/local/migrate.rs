//! `bao operator migrate` from a member's file tree into its raft store.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;
use uuid::Uuid;

use super::platform::LocalPlatform;
use super::volume::{self, RAFT};
use super::{binary, config, files};
use crate::meter::Meter;
use crate::platform::Result;
use crate::platform::migration::{AT_ONCE, SILENT, Said};

impl LocalPlatform {
    /// Migrates the tree of a member that does not run.
    pub(super) async fn migrate(&self, name: &str, label: &str, meter: &dyn Meter) -> Result<()> {
        let topology = self.topology().clone();
        let node = self.files(name);
        files::remove_folder(&node.migration())?;
        // One that a killed run started may live for a moment: it must not find the new one's files.
        let folder = node.migration().join(Uuid::new_v4().to_string());
        let (source, store) = (folder.join("source"), folder.join("store"));
        files::make_folder(&store)?;
        link_tree(&self.tree(name, meter).await?, &source)?;
        let member = topology.server(name)?;
        let text = config::migration(topology.applied(), member, &source, &store);
        run(&topology.bao, &folder, &text, meter).await?;

        volume::set_aside(&node.data(), label)?;
        for part in RAFT {
            let from = store.join(part);
            fs::rename(&from, node.data().join(part)).map_err(files::io("moving", &from))?;
        }
        files::sync_folder(&node.data())?;
        files::remove_folder(&node.migration())
    }
}

/// Runs `bao operator migrate` in a folder, told what to do by this configuration.
pub(super) async fn run(bao: &Path, folder: &Path, config: &str, meter: &dyn Meter) -> Result<()> {
    binary::check(bao)?;
    let file = folder.join("config.hcl");
    files::replace(&file, config.as_bytes())?;
    let child = Command::new(bao)
        .args(["operator", "migrate", AT_ONCE])
        .arg(format!("-config={}", file.display()))
        .current_dir(folder)
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        // A Ctrl-C at the terminal is for us to hear.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(files::io("running", bao))?;
    followed(child, meter).await
}

/// Follows it to its end. When we are killed it ends with its next line, for want of a reader.
async fn followed(mut child: Child, meter: &dyn Meter) -> Result<()> {
    let mut said = Said::default();
    if let Some(errors) = child.stderr.take() {
        let mut lines = BufReader::new(errors).lines();
        loop {
            match timeout(SILENT, lines.next_line()).await {
                Ok(Ok(Some(line))) => said.hear(line, meter),
                Ok(Ok(None)) => break,
                Ok(Err(error)) => return Err(said.failed(&error.to_string())),
                Err(_) => return Err(said.silent()),
            }
        }
    }
    match child.wait().await {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(said.failed(&status.to_string())),
        Err(error) => Err(said.failed(&error.to_string())),
    }
}

/// The tree by links to its parts, without the tombstone: `bao` refuses a tree that has one, and puts its own there.
fn link_tree(data: &Path, to: &Path) -> Result<()> {
    let core = to.join("core");
    files::make_folder(&core)?;
    link_each(data, to, |name| name == "core" || volume::is_foreign(name))?;
    link_each(&data.join("core"), &core, |name| name == "_migration")
}

fn link_each(from: &Path, to: &Path, without: impl Fn(&str) -> bool) -> Result<()> {
    for entry in fs::read_dir(from).map_err(files::io("listing", from))? {
        let entry = entry.map_err(files::io("listing", from))?;
        let name = entry.file_name();
        if !name.to_str().is_some_and(&without) {
            let link = to.join(&name);
            symlink(entry.path(), &link).map_err(files::io("linking", &link))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_links_show_the_tree_without_the_tombstone_and_the_raft_files() {
        let work = tempfile::tempdir().unwrap();
        let (data, to) = (work.path().join("data"), work.path().join("source"));
        for file in [
            "core/_keyring",
            "core/_migration",
            "core/wal/_one",
            "logical/u/_x",
            "raft/raft.db",
            "vault.db",
            "_top",
        ] {
            let file = data.join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, "x").unwrap();
        }
        link_tree(&data, &to).unwrap();
        for there in ["core/_keyring", "core/wal/_one", "logical/u/_x", "_top"] {
            assert!(to.join(there).exists(), "{there}");
        }
        for gone in ["core/_migration", "raft", "vault.db"] {
            assert!(!to.join(gone).exists(), "{gone}");
        }
        // What the migration writes there is not in the tree.
        fs::write(to.join("core/_lock"), "x").unwrap();
        assert!(!data.join("core/_lock").exists());
    }
}
