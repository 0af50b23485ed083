//! The server's configuration: what it says, and the same text with its storage stanza turned to raft.

use std::collections::BTreeMap;
use std::fmt::Write;

use hcl_edit::Span;
use hcl_edit::expr::Expression;
use hcl_edit::structure::{Block, Body};

use crate::bao::AuditDevice;
use crate::platform::{AUTOPILOT_LOOKS, Error, Flip, Result, StorageKind};

/// The port of a listener that names none.
const API_PORT: u16 = 8200;
/// Stanzas that bind the data to something outside it, or initialise the server by themselves.
const FOREIGN: [&str; 3] = ["seal", "initialize", "ha_storage"];

/// What the configuration says that matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ServerConfig {
    /// The storage stanza's kind as written, for example `file`.
    pub(super) storage: String,
    /// The folder of the data.
    pub(super) path: String,
    /// The audit stanzas as the server reports them.
    pub(super) audit: BTreeMap<String, AuditDevice>,
    /// Stanzas that cannot be carried over, for example `seal "awskms"`.
    pub(super) foreign: Vec<String>,
    /// The port of the first TCP listener.
    pub(super) port: u16,
    /// Whether that listener speaks TLS.
    pub(super) tls: bool,
    /// The file with that listener's certificate.
    pub(super) certificate: Option<String>,
    /// `cluster_addr`, where it is written there.
    pub(super) cluster_addr: Option<String>,
    /// `api_addr`, where it is written there.
    pub(super) api_addr: Option<String>,
    /// `node_id` of a raft stanza.
    pub(super) node_id: Option<String>,
    /// Whether a raft stanza says where a leader may be found.
    pub(super) joins: bool,
    /// `max_entry_size` of a raft stanza, in bytes.
    pub(super) max_entry_size: Option<u64>,
}

impl ServerConfig {
    /// Reads the text; an error names line and column, never the text itself.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let body = parse(text)?;
        let storage = storage_of(&body)?;
        let listener = body
            .get_blocks("listener")
            .find(|block| label(block, 0) == "tcp");
        let inside = |block: &Block, name: &str| value(&block.body, name);
        Ok(Self {
            storage: label(storage, 0),
            path: inside(storage, "path").unwrap_or_default(),
            audit: body.get_blocks("audit").map(audit).collect(),
            foreign: body
                .blocks()
                .filter(|block| FOREIGN.contains(&block.ident.as_str()))
                .map(|block| format!("{} {:?}", block.ident.as_str(), label(block, 0)))
                .collect(),
            port: listener
                .and_then(|block| inside(block, "address"))
                .and_then(|address| address.rsplit_once(':')?.1.parse().ok())
                .unwrap_or(API_PORT),
            tls: !listener
                .and_then(|block| inside(block, "tls_disable"))
                .is_some_and(|value| matches!(value.as_str(), "1" | "true")),
            certificate: listener.and_then(|block| inside(block, "tls_cert_file")),
            cluster_addr: value(&body, "cluster_addr"),
            api_addr: value(&body, "api_addr"),
            node_id: inside(storage, "node_id"),
            joins: storage.body.get_blocks("retry_join").next().is_some(),
            max_entry_size: inside(storage, "max_entry_size").and_then(|it| it.parse().ok()),
        })
    }

    /// What a change of the storage must leave as it is, and is another in `after`.
    pub(super) fn others(&self, after: &Self) -> Vec<String> {
        let listener = |config: &Self| (config.port, config.tls, config.certificate.clone());
        [
            (
                self.audit == after.audit,
                "the audit stanzas are others: the restored server would loop for ever",
            ),
            (
                listener(self) == listener(after),
                "the listener's port, TLS or certificate is another",
            ),
            (self.path == after.path, "the folder of the data is another"),
            (
                self.foreign == after.foreign,
                "the stanzas for seal and initialisation are others",
            ),
        ]
        .into_iter()
        .filter(|(same, _)| !same)
        .map(|(_, what)| what.to_owned())
        .collect()
    }

    /// The storage as the contract knows it.
    pub(super) fn kind(&self) -> Result<StorageKind> {
        match self.storage.as_str() {
            "file" => Ok(StorageKind::File),
            "pebbledb" => Ok(StorageKind::Pebbledb),
            "raft" => Ok(StorageKind::Raft),
            other => Err(Error::Refused(format!(
                "the release is configured for {other:?} storage; only `file` and `pebbledb` can be moved to raft"
            ))),
        }
    }
}

/// How a member finds its leader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Peers {
    /// The members' API addresses as they see each other.
    pub(super) addresses: Vec<String>,
    /// The CA's file inside the container, with TLS.
    pub(super) ca_file: Option<String>,
    /// The name that the members' certificate bears, where that is not their host name.
    pub(super) server_name: Option<String>,
    /// Whether the release has Services that find the leader by labels, which a server on raft has to set itself. On file
    /// storage it may not, so that no configuration has that stanza before.
    pub(super) register: bool,
}

/// The text with a raft stanza in place of its storage stanza, and with service registration where that is needed: all else
/// stays byte for byte. A text that is on raft
/// already is given back as it is.
pub(super) fn on_raft(text: &str, flip: &Flip, peers: &Peers) -> Result<String> {
    let body = parse(text)?;
    let storage = storage_of(&body)?;
    if label(storage, 0) == "raft" {
        return Ok(text.to_owned());
    }
    let span = storage
        .span()
        .ok_or_else(|| Error::Refused("the storage stanza has no place in its text".to_owned()))?;
    let path = value(&storage.body, "path").ok_or_else(|| {
        Error::Refused("the storage stanza of the server's configuration has no path".to_owned())
    })?;
    let indent: String = text[..span.start]
        .chars()
        .rev()
        .take_while(|it| *it == ' ' || *it == '\t')
        .collect();
    let stanza = stanza(&path, flip, peers);
    let mut new = String::with_capacity(text.len() + stanza.len());
    new.push_str(&text[..span.start]);
    new.push_str(&stanza.replace('\n', &format!("\n{indent}")));
    new.push_str(&text[span.end..]);
    if peers.register && body.get_blocks("service_registration").next().is_none() {
        if !new.ends_with('\n') {
            new.push('\n');
        }
        new.push_str("service_registration \"kubernetes\" {}\n");
    }
    Ok(new)
}

fn stanza(path: &str, flip: &Flip, peers: &Peers) -> String {
    let mut text = format!(
        "storage \"raft\" {{\n  path = {}\n  performance_multiplier = \"{}\"\n  autopilot_reconcile_interval = {}",
        quoted(path),
        flip.performance_multiplier,
        quoted(AUTOPILOT_LOOKS)
    );
    if let Some(size) = flip.max_entry_size {
        let _ = write!(text, "\n  max_entry_size = \"{size}\"");
    }
    for address in &peers.addresses {
        let _ = write!(
            text,
            "\n  retry_join {{\n    leader_api_addr = {}",
            quoted(address)
        );
        if let Some(file) = &peers.ca_file {
            let _ = write!(text, "\n    leader_ca_cert_file = {}", quoted(file));
        }
        if let Some(name) = &peers.server_name {
            let _ = write!(text, "\n    leader_tls_servername = {}", quoted(name));
        }
        text.push_str("\n  }");
    }
    text.push_str("\n}");
    text
}

pub(super) fn parse(text: &str) -> Result<Body> {
    hcl_edit::parser::parse_body(text).map_err(|error| {
        Error::Refused(format!(
            "the server's configuration cannot be read at line {} column {}",
            error.location().line(),
            error.location().column()
        ))
    })
}

fn storage_of(body: &Body) -> Result<&Block> {
    let mut found = body
        .blocks()
        .filter(|block| matches!(block.ident.as_str(), "storage" | "backend"));
    match (found.next(), found.next()) {
        (Some(storage), None) => Ok(storage),
        (None, _) => Err(Error::Refused(
            "the server's configuration has no storage stanza".to_owned(),
        )),
        (Some(_), Some(_)) => Err(Error::Refused(
            "the server's configuration has more than one storage stanza".to_owned(),
        )),
    }
}

pub(super) fn label(block: &Block, index: usize) -> String {
    block
        .labels
        .get(index)
        .map_or_else(String::new, |label| label.as_str().to_owned())
}

fn value(body: &Body, name: &str) -> Option<String> {
    Some(plain(&body.get_attribute(name)?.value))
}

/// A value as the server's own reader turns it into text.
pub(super) fn plain(value: &Expression) -> String {
    value.as_str().map_or_else(
        || value.to_string().trim().trim_matches('"').to_owned(),
        str::to_owned,
    )
}

/// One audit stanza: `audit "kind" "path" { options = { ... } }`, or with a block of options.
fn audit(block: &Block) -> (String, AuditDevice) {
    let path = if label(block, 1).is_empty() {
        value(&block.body, "path").unwrap_or_else(|| label(block, 0))
    } else {
        label(block, 1)
    };
    let mut options = BTreeMap::new();
    if let Some(object) = block
        .body
        .get_attribute("options")
        .and_then(|attribute| attribute.value.as_object())
    {
        for (key, value) in object {
            let name = key.as_ident().map_or_else(
                || key.as_expr().map(plain).unwrap_or_default(),
                |ident| ident.as_str().to_owned(),
            );
            options.insert(name, plain(value.expr()));
        }
    }
    for inner in block.body.get_blocks("options") {
        for attribute in inner.body.attributes() {
            options.insert(attribute.key.as_str().to_owned(), plain(&attribute.value));
        }
    }
    let device = AuditDevice {
        kind: label(block, 0),
        options,
    };
    (format!("{}/", path.trim_end_matches('/')), device)
}

/// An HCL string.
pub(super) fn quoted(text: &str) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"ui = true # kept

listener "tcp" {
  tls_disable = 1
  address = "[::]:8300"
  cluster_address = "[::]:8201"
}
  storage "file" {
    path = "/srv/bao"
  }
audit "file" "to-disk" {
  options = { file_path = "/srv/audit.log" }
}
service_registration "kubernetes" {}
"#;

    fn flip() -> Flip {
        Flip::new(3, Some(2_000_000))
    }

    fn peers(tls: bool) -> Peers {
        Peers {
            addresses: (0..3)
                .map(|it| format!("http://bao-{it}.bao-internal:8200"))
                .collect(),
            ca_file: tls.then(|| "/tls/ca.crt".to_owned()),
            server_name: tls.then(|| "bao.example".to_owned()),
            register: true,
        }
    }

    #[test]
    fn the_configuration_is_read() {
        let config = ServerConfig::parse(TEXT).unwrap();
        assert_eq!(config.storage, "file");
        assert_eq!(config.path, "/srv/bao");
        assert_eq!((config.port, config.tls), (8300, false));
        assert_eq!(config.audit["to-disk/"].kind, "file");
        assert_eq!(
            config.audit["to-disk/"].options["file_path"],
            "/srv/audit.log"
        );
        assert!(config.foreign.is_empty());
    }

    #[test]
    fn only_the_storage_stanza_changes() {
        let new = on_raft(TEXT, &flip(), &peers(false)).unwrap();
        let (before, after) = TEXT
            .split_once("storage \"file\" {\n    path = \"/srv/bao\"\n  }")
            .unwrap();
        assert!(new.starts_with(before), "{new}");
        assert!(new.ends_with(after), "{new}");
        let config = ServerConfig::parse(&new).unwrap();
        assert_eq!(config.storage, "raft");
        assert_eq!(config.path, "/srv/bao");
        assert_eq!(new.matches("retry_join").count(), 3);
        assert!(new.contains("max_entry_size = \"2000000\""));
        assert!(new.contains("autopilot_reconcile_interval = \"3s\""));
        assert!(new.contains("\n      leader_api_addr"), "{new}");
        assert!(!new.contains("leader_ca_cert_file"));
        assert_eq!(on_raft(&new, &flip(), &peers(false)).unwrap(), new);
    }

    #[test]
    fn labels_for_services_are_set_where_nothing_sets_them() {
        let text = TEXT.replace("service_registration \"kubernetes\" {}\n", "");
        let new = on_raft(&text, &flip(), &peers(false)).unwrap();
        assert!(
            new.ends_with("}\nservice_registration \"kubernetes\" {}\n"),
            "{new}"
        );
        let mut silent = peers(false);
        silent.register = false;
        let new = on_raft(&text, &flip(), &silent).unwrap();
        assert!(!new.contains("service_registration"));
    }

    #[test]
    fn peers_with_tls_name_ca_and_server() {
        let new = on_raft(TEXT, &flip(), &peers(true)).unwrap();
        assert!(new.contains("leader_ca_cert_file = \"/tls/ca.crt\""));
        assert!(new.contains("leader_tls_servername = \"bao.example\""));
        ServerConfig::parse(&new).unwrap();
    }

    #[test]
    fn what_cannot_be_carried_over_is_named() {
        let text = format!("{TEXT}\nseal \"awskms\" {{\n  region = \"x\"\n}}\n");
        let config = ServerConfig::parse(&text).unwrap();
        assert_eq!(config.foreign, ["seal \"awskms\""]);
    }

    #[test]
    fn a_text_that_cannot_be_read_is_not_quoted() {
        let error = ServerConfig::parse("storage \"file\" {\n  canary = = 1\n}")
            .unwrap_err()
            .to_string();
        assert!(error.contains("line 2"), "{error}");
        assert!(!error.contains("canary"), "{error}");
    }
}
