//! The paths of a server's entries, as its clients know them.

use std::collections::{BTreeMap, BTreeSet};

use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Context, Result, Tables, blocking};
use crate::bao::{Mount, Node};
use crate::event::Level;
use crate::storage::save_private;

/// What every server mounts and allows by itself.
pub(super) const FRESH_MOUNTS: [&str; 4] = ["auth/token/", "cubbyhole/", "identity/", "sys/"];
pub(super) const FRESH_POLICIES: [&str; 2] = ["default", "root"];
/// What every server writes below its own mounts, or what goes with a token.
const OF_ITSELF: [&str; 6] = [
    "cubbyhole/",
    "identity/casesensitivity",
    "identity/oidc_provider/assignment/allow_all",
    "identity/oidc_provider/provider/default",
    "identity/oidc_tokens/named_keys/default",
    "identity/oidc_tokens/public_keys/",
];

/// The mounts of a server and of its child namespaces, by what the keys of their entries begin with.
pub(super) struct Mounted(BTreeMap<String, Row>);

/// A mount.
struct Row {
    /// Its path with its namespace's, for example `a/kv/`.
    path: String,
    /// How much of it is the namespace's.
    namespace: usize,
    is_versioned: bool,
}

/// Whether a mount keeps the names of its secrets encrypted: only its API tells them.
fn is_versioned(mount: &Mount) -> bool {
    let version = mount
        .options
        .as_ref()
        .and_then(|options| options.get("version"));
    mount.kind == "kv" && version.is_some_and(|version| version == "2")
}

impl Mounted {
    pub(super) fn of(tables: &Tables) -> Self {
        let mut rows = BTreeMap::new();
        for scope in tables.scopes() {
            for (of, before, mounts) in
                [("logical", "", scope.mounts), ("auth", "auth/", scope.auth)]
            {
                rows.extend(mounts.iter().map(|(path, mount)| {
                    let row = Row {
                        path: format!("{}{before}{path}", scope.path),
                        namespace: scope.path.len(),
                        is_versioned: is_versioned(mount),
                    };
                    (format!("{}{of}/{}", scope.prefix, mount.uuid), row)
                }));
            }
        }
        Self(rows)
    }

    fn find(&self, key: &str) -> Option<(&str, bool, String)> {
        let parts = if key.starts_with("namespaces/") { 3 } else { 1 };
        let id = key.match_indices('/').nth(parts)?.0;
        let row = self.0.get(&key[..id])?;
        let path = format!("{}{}", row.path, &key[id + 1..]);
        let within = &path[row.namespace..];
        let own = OF_ITSELF.iter().any(|own| within.starts_with(own));
        (!own).then_some((&row.path, row.is_versioned, path))
    }

    /// The mount that an entry is of, for example `kv/`; none where it is the server's own.
    pub(super) fn mount_of(&self, key: &str) -> Option<&str> {
        self.find(key).map(|(mount, ..)| mount)
    }

    /// The same with the entry's path, for example `kv/app/db`; none where clients know it by another name.
    pub(super) fn path_of(&self, key: &str) -> Option<(&str, String)> {
        let (mount, is_versioned, path) = self.find(key)?;
        (!is_versioned).then_some((mount, path))
    }
}

/// The secrets of the mounts that keep their names encrypted.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct Versioned {
    /// The run that listed them.
    pub run: Uuid,
    /// By mount.
    pub secrets: BTreeMap<String, BTreeSet<String>>,
    /// Mounts that could not be listed, with the server's words.
    pub unlisted: BTreeMap<String, String>,
}

/// Where those of the source are kept once it is sealed.
pub const SOURCE_PATHS: &str = "source.paths";

impl Versioned {
    /// The mounts that keep them so.
    pub(super) fn mounts(tables: &Tables) -> impl Iterator<Item = String> {
        tables.scopes().flat_map(|scope| {
            let versioned = scope.mounts.iter().filter(|(_, mount)| is_versioned(mount));
            versioned.map(move |(path, _)| format!("{}{path}", scope.path))
        })
    }

    /// Lists them through a server's API, as far as the token may see them.
    pub(super) async fn list(
        ctx: &Context,
        node: &dyn Node,
        token: &SecretString,
        tables: &Tables,
    ) -> Result<Self> {
        let mut found = Self {
            run: ctx.run,
            ..Self::default()
        };
        for mount in Self::mounts(tables) {
            ctx.meter
                .waiting(&format!("the names of the secrets in {mount}"));
            match below(node, token, &mount).await {
                Ok(secrets) => drop(found.secrets.insert(mount, secrets)),
                Err(error) if error.status().is_some() => {
                    ctx.note(
                        Level::Warn,
                        format!("the secrets in {mount} are not listed: {error}"),
                    );
                    found.unlisted.insert(mount, error.to_string());
                }
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }

    /// Keeps them in the run's folder: their names are too many for the journal.
    pub(super) async fn save(&self, ctx: &Context) -> Result<()> {
        let text = serde_json::to_vec(self).unwrap_or_default();
        let path = ctx.file(SOURCE_PATHS);
        blocking(move || save_private(&path, &text)).await
    }

    /// Those that this run kept on this machine.
    pub(super) fn load(ctx: &Context) -> Option<Self> {
        let text = std::fs::read(ctx.file(SOURCE_PATHS)).ok()?;
        let found: Self = serde_json::from_slice(&text).ok()?;
        (found.run == ctx.run).then_some(found)
    }
}

async fn below(node: &dyn Node, token: &SecretString, mount: &str) -> Result<BTreeSet<String>> {
    let (mut secrets, mut ahead) = (BTreeSet::new(), vec![String::new()]);
    while let Some(folder) = ahead.pop() {
        for name in node
            .list(token, &format!("{mount}metadata/{folder}"))
            .await?
        {
            let path = format!("{folder}{name}");
            if name.ends_with('/') {
                ahead.push(path);
            } else {
                secrets.insert(format!("{mount}{path}"));
            }
        }
    }
    Ok(secrets)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::Namespace;

    fn mount(kind: &str, uuid: &str, version: Option<&str>) -> Mount {
        let version = version.map(|version| [("version".to_owned(), version.to_owned())].into());
        Mount {
            kind: kind.to_owned(),
            uuid: uuid.to_owned(),
            accessor: String::new(),
            local: false,
            options: version,
        }
    }

    #[test]
    fn an_entry_has_the_path_that_clients_know() {
        let row = |path: &str, mount| (path.to_owned(), mount);
        let child = Namespace {
            uuid: "n".to_owned(),
            id: "x".to_owned(),
            mounts: [
                row("kv/", mount("kv", "5", Some("1"))),
                row("identity/", mount("ns_identity", "6", None)),
                row("new/", mount("kv", "7", Some("2"))),
            ]
            .into(),
            auth: [row("approle/", mount("approle", "8", None))].into(),
            policies: Vec::new(),
        };
        let tables = Tables {
            mounts: [
                row("kv/", mount("kv", "1", Some("1"))),
                row("new/", mount("kv", "2", Some("2"))),
                row("identity/", mount("identity", "3", None)),
            ]
            .into(),
            auth: [row("approle/", mount("approle", "4", None))].into(),
            namespaces: [("a/b/".to_owned(), child)].into(),
            ..Tables::default()
        };
        let mounted = Mounted::of(&tables);
        let path = |key| {
            mounted
                .path_of(key)
                .map(|(mount, path)| format!("{mount} {path}"))
        };
        assert_eq!(path("logical/1/app/db").unwrap(), "kv/ kv/app/db");
        assert_eq!(
            path("auth/4/role/x").unwrap(),
            "auth/approle/ auth/approle/role/x"
        );
        assert_eq!(
            path("namespaces/n/logical/5/app/db").unwrap(),
            "a/b/kv/ a/b/kv/app/db"
        );
        assert_eq!(
            path("namespaces/n/auth/8/role/x").unwrap(),
            "a/b/auth/approle/ a/b/auth/approle/role/x"
        );
        // Its names are encrypted, but it holds something.
        assert_eq!(
            (
                path("logical/2/versions/x"),
                mounted.mount_of("logical/2/versions/x")
            ),
            (None, Some("new/"))
        );
        // An entity of somebody's, and what every server has.
        assert_eq!(
            path("logical/3/packer/buckets/7").unwrap(),
            "identity/ identity/packer/buckets/7"
        );
        for own in [
            "logical/3/oidc_provider/provider/default",
            "logical/9/x",
            "sys/policy/app",
            "core/mounts",
            "logical",
            "namespaces/n/logical/6/oidc_provider/provider/default",
            "namespaces/n/sys/policy/app",
            "namespaces/m/logical/5/app/db",
            "namespaces/n",
        ] {
            assert_eq!((path(own), mounted.mount_of(own)), (None, None), "{own}");
        }
        assert_eq!(
            Versioned::mounts(&tables).collect::<Vec<_>>(),
            ["new/", "a/b/new/"]
        );
    }
}
