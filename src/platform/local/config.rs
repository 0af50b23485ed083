//! The servers' configuration files.

use std::fmt::Write;
use std::path::Path;

use super::layout::NodeFiles;
use super::topology::{Applied, Member, Topology};
use crate::platform::{AUTOPILOT_LOOKS, StorageKind};

const API_ADDR: &str = "api_addr = ";

/// A member's configuration under `applied`.
pub(super) fn member(
    topology: &Topology,
    applied: &Applied,
    member: &Member,
    files: &NodeFiles,
) -> String {
    let placed = topology.placed(applied, member);
    let mut text = common(&placed, "");
    if applied.apart() {
        text.push_str("raw_storage_endpoint = true\n");
    }
    let data = files.data().display().to_string();
    match applied.storage {
        StorageKind::File => {
            let _ = write!(text, "\n{}", plain("storage", "file", &files.data()));
        }
        StorageKind::Pebbledb => {
            let _ = write!(text, "\n{}", plain("storage", "pebbledb", &files.store()));
        }
        StorageKind::Raft => {
            let flip = applied.flip.as_ref();
            let multiplier = flip.map_or(1, |flip| flip.performance_multiplier);
            let mut storage = raft("storage", &data, &member.name, multiplier);
            storage.push_str(&entry_size(applied));
            let _ = writeln!(
                storage,
                "  autopilot_reconcile_interval = {}",
                quoted(AUTOPILOT_LOOKS)
            );
            for peer in &topology.members {
                let _ = write!(
                    storage,
                    "  retry_join {{\n    leader_api_addr = {}\n  }}\n",
                    quoted(&peer.api())
                );
            }
            let _ = write!(text, "\n{storage}}}\n");
        }
    }
    for (path, device) in &topology.audit {
        let _ = write!(
            text,
            "\naudit {} {} {{\n  options = {{\n",
            quoted(&device.kind),
            quoted(path.trim_end_matches('/'))
        );
        for (name, value) in &device.options {
            let _ = writeln!(text, "    {name} = {}", quoted(value));
        }
        text.push_str("  }\n}\n");
    }
    text
}

/// What `bao operator migrate` is told: the peer that it makes is the member as its own configuration has it.
pub(super) fn migration(applied: &Applied, member: &Member, source: &Path, store: &Path) -> String {
    format!(
        "{}\n{}{}}}\n\ncluster_addr = {}\n",
        plain("storage_source", "file", source),
        raft(
            "storage_destination",
            &store.display().to_string(),
            &member.name,
            1
        ),
        entry_size(applied),
        quoted(&cluster_addr(member)),
    )
}

/// What `bao operator migrate` is told to make a tree of files of a store.
pub(super) fn laying_out(store: &Path, tree: &Path) -> String {
    format!(
        "{}\n{}",
        plain("storage_source", "pebbledb", store),
        plain("storage_destination", "file", tree)
    )
}

/// The scratch node's configuration: alone, without audit devices, open for `sys/raw` and, to whoever has the shares, for a
/// root token of its own.
pub(super) fn scratch(member: &Member, files: &NodeFiles) -> String {
    let data = files.data().display().to_string();
    format!(
        "{}raw_storage_endpoint = true\n\n{}}}\n",
        common(
            member,
            "  disable_unauthed_generate_root_endpoints = false\n"
        ),
        raft("storage", &data, &member.name, 1)
    )
}

/// Where a server listens that was started with this configuration.
pub(super) fn address(text: &str) -> Option<&str> {
    let line = text.lines().find_map(|line| line.strip_prefix(API_ADDR))?;
    line.strip_prefix('"')?.strip_suffix('"')
}

/// What every configuration begins with; `listener` adds lines to the listener's stanza.
fn common(member: &Member, listener: &str) -> String {
    format!(
        "ui = false\ndisable_mlock = true\n{API_ADDR}{}\ncluster_addr = {}\n\n\
         listener \"tcp\" {{\n  address = {}\n  cluster_address = {}\n  tls_disable = true\n{listener}}}\n",
        quoted(&member.api()),
        quoted(&cluster_addr(member)),
        quoted(&format!("127.0.0.1:{}", member.api_port)),
        quoted(&format!("127.0.0.1:{}", member.cluster_port)),
    )
}

/// Where the other members find it.
fn cluster_addr(member: &Member) -> String {
    format!("https://127.0.0.1:{}", member.cluster_port)
}

/// For values over raft's own limit, which it takes only when it is told to.
fn entry_size(applied: &Applied) -> String {
    let size = applied.flip.as_ref().and_then(|flip| flip.max_entry_size);
    size.map_or_else(String::new, |size| {
        format!("  max_entry_size = \"{size}\"\n")
    })
}

/// A stanza of a storage that is told its path alone.
fn plain(stanza: &str, kind: &str, path: &Path) -> String {
    let path = quoted(&path.display().to_string());
    format!("{stanza} \"{kind}\" {{\n  path = {path}\n}}\n")
}

/// A raft stanza left open for what is special.
fn raft(stanza: &str, data: &str, node_id: &str, multiplier: u32) -> String {
    format!(
        "{stanza} \"raft\" {{\n  path = {}\n  node_id = {}\n  performance_multiplier = \"{multiplier}\"\n",
        quoted(data),
        quoted(node_id)
    )
}

/// An HCL string.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            '\n' => quoted.push_str("\\n"),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}
