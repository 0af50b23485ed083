//! Lists what the source held and the new cluster lacks.
//!
//! By path: the two were encrypted with different keys, so that nobody can say whether what is there has the same value.

use std::collections::HashSet;
use std::fmt::Write;
use std::io::BufReader;
use std::time::Duration;

use async_trait::async_trait;

use super::back_up::open;
use super::cluster::{await_active, bring_up, current_keys};
use super::compare_tables::{namespaces, tables};
use super::final_copy::{Files, whole};
use super::paths::{Mounted, Versioned};
use super::{Action, Context, Evidence, Lost, Observation, Outcome, Result, Tables, blocking};
use crate::armed::Armed;
use crate::bao::Mount;
use crate::storage::{ArchiveReader, DigestLines, DigestSource, save_private};

/// See [`super::ActionSpec::ListLost`].
pub struct ListLost;

/// The list, in the run's folder.
pub const LOST: &str = "lost.txt";

fn evidence(lost: &Lost) -> Evidence {
    Evidence::new(lost.words()).with(lost)
}

#[async_trait]
impl Action for ListLost {
    fn title(&self, _: &Context) -> String {
        "list what the new cluster lacks".to_owned()
    }

    async fn describe(&self, ctx: &Context) -> Result<Vec<String>> {
        Ok(vec![
            "each member that is down or sealed: start, PUT sys/unseal".to_owned(),
            "leader: GET sys/mounts, sys/auth, sys/audit; LIST sys/policies/acl and the metadata of each versioned mount".to_owned(),
            "leader: PUT sys/wrapping/wrap, for a second; GET sys/storage/raft/snapshot".to_owned(),
            format!("compare the paths with those of the source; write {}", ctx.file(LOST).display()),
        ])
    }

    async fn observe(&self, ctx: &Context) -> Result<Observation> {
        let lost = ctx.find::<Lost>();
        Ok(lost.map_or(Observation::Pending, |lost| {
            Observation::Done(evidence(&lost))
        }))
    }

    async fn apply(&self, ctx: &Context, armed: Armed) -> Result<Outcome> {
        whole(ctx).await?;
        let keys = current_keys(ctx).await?;
        bring_up(ctx, &ctx.platform.members(), &keys, &armed).await?;
        let node = ctx.node(&await_active(ctx, Duration::from_mins(1)).await?)?;
        let was: Tables = ctx.fact()?;
        let mut is = tables(node.as_ref(), &keys.token).await?;
        if !was.namespaces.is_empty() {
            is.namespaces = namespaces(node.as_ref(), &keys.token).await?;
        }
        let named = Versioned::list(ctx, node.as_ref(), &keys.token, &is).await?;
        // One that has applied nothing since its start answers 500 `nothing new to snapshot`.
        node.touch(&keys.token, &armed).await?;
        let snapshot = ctx.file("lost.snap");
        node.snapshot_save(&keys.token, &snapshot, ctx.meter.as_ref())
            .await?;
        let (manifest, before) = (Files::of(ctx).manifest, Versioned::load(ctx));
        let file = ctx.file(LOST);
        let lost = blocking(move || -> Result<Lost> {
            let mut list = List::default();
            list.tables(&was, &is);
            list.named(&was, before.as_ref(), &named);
            let (mut there, now) = (HashSet::new(), Mounted::of(&is));
            ArchiveReader::open(&snapshot)?.for_each(|key, _| {
                there.extend(now.path_of(key).map(|(_, path)| path));
                Ok(())
            })?;
            let _ = std::fs::remove_file(&snapshot);
            let (then, mut key) = (Mounted::of(&was), String::new());
            let mut keys = DigestLines::new(BufReader::new(open(&manifest)?));
            while keys.next_digest(&mut key)?.is_some() {
                if let Some((mount, path)) =
                    then.path_of(&key).filter(|(_, path)| !there.contains(path))
                {
                    list.path(mount, &path);
                }
            }
            save_private(&file, list.text.as_bytes())?;
            Ok(Lost { file, ..list.lost })
        })
        .await?;
        Ok(evidence(&lost).into())
    }
}

/// The list as it grows, one thing a line.
#[derive(Default)]
struct List {
    text: String,
    lost: Lost,
}

impl List {
    fn line(&mut self, line: &str) {
        // A name may hold anything.
        let _ = writeln!(
            self.text,
            "{}",
            line.replace('\\', r"\\").replace('\n', r"\n")
        );
    }

    fn thing(&mut self, thing: String) {
        self.line(&thing);
        self.lost.things.push(thing);
    }

    fn path(&mut self, mount: &str, path: &str) {
        self.line(path);
        *self.lost.paths.entry(mount.to_owned()).or_default() += 1;
    }

    /// What is mounted, allowed and audited no more.
    fn tables(&mut self, was: &Tables, is: &Tables) {
        for was in was.scopes() {
            let Some(is) = is.scopes().find(|it| it.path == was.path) else {
                // With all that is mounted and allowed in it.
                self.thing(format!("namespace {}", was.path));
                continue;
            };
            for (what, was_there, is_there) in [
                ("mount", was.mounts, is.mounts),
                ("auth method", was.auth, is.auth),
            ] {
                let kept = |path, mount: &Mount| {
                    let now = is_there.get(path);
                    now.is_some_and(|now: &Mount| now.kind == mount.kind)
                };
                for (path, _) in was_there.iter().filter(|(path, mount)| !kept(*path, mount)) {
                    self.thing(format!("{what} {}{path}", was.path));
                }
            }
            for policy in was.policies.iter().filter(|it| !is.policies.contains(it)) {
                self.thing(was.policy(policy));
            }
        }
        for path in was.audit.keys().filter(|it| !is.audit.contains_key(*it)) {
            self.thing(format!("audit device {path}"));
        }
    }

    /// The secrets of versioned mounts, whose names no entry tells.
    fn named(&mut self, was: &Tables, before: Option<&Versioned>, now: &Versioned) {
        for mount in Versioned::mounts(was) {
            let (Some(before), false) = (
                before.and_then(|it| it.secrets.get(&mount)),
                now.unlisted.contains_key(&mount),
            ) else {
                self.thing(format!(
                    "nobody knows which secrets of {mount}: they could not be listed"
                ));
                continue;
            };
            let there = now.secrets.get(&mount);
            for path in before
                .iter()
                .filter(|path| there.is_none_or(|there| !there.contains(*path)))
            {
                self.path(&mount, path);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::action::Namespace;

    fn versioned(secrets: &[&str]) -> Versioned {
        let secrets = secrets.iter().map(|path| (*path).to_owned()).collect();
        Versioned {
            secrets: [("kv/".to_owned(), secrets)].into(),
            ..Versioned::default()
        }
    }

    fn mounts(paths: &[&str]) -> BTreeMap<String, Mount> {
        let mount: Mount = serde_json::from_str(r#"{"type": "kv"}"#).unwrap();
        let row = |path: &&str| ((*path).to_owned(), mount.clone());
        paths.iter().map(row).collect()
    }

    /// One namespace that is there lacks something, another one is not there.
    #[test]
    fn a_namespace_is_told_by_what_it_lacks_or_as_a_whole() {
        let child = |paths: &[&str], policies: &[&str]| Namespace {
            uuid: String::new(),
            id: String::new(),
            mounts: mounts(paths),
            auth: BTreeMap::new(),
            policies: policies.iter().map(|it| (*it).to_owned()).collect(),
        };
        let (a, b) = ("a/".to_owned(), "a/b/".to_owned());
        let was = Tables {
            mounts: mounts(&["kv/"]),
            namespaces: [
                (a.clone(), child(&["kv/", "more/"], &["app", "web"])),
                (b, child(&["kv/"], &["app"])),
            ]
            .into(),
            ..Tables::default()
        };
        let is = Tables {
            mounts: mounts(&["kv/"]),
            namespaces: [(a, child(&["kv/"], &["web"]))].into(),
            ..Tables::default()
        };
        let mut list = List::default();
        list.tables(&was, &is);
        assert_eq!(
            list.text,
            "mount a/more/\npolicy app in a/\nnamespace a/b/\n"
        );
    }

    /// A token that may not list, or another machine than the one that listed.
    #[test]
    fn what_could_not_be_listed_is_not_told_to_be_there() {
        let mount: Mount =
            serde_json::from_str(r#"{"type": "kv", "options": {"version": "2"}}"#).unwrap();
        let was = Tables {
            mounts: [("kv/".to_owned(), mount)].into(),
            ..Tables::default()
        };
        let told = |before: Option<&Versioned>, now: &Versioned| {
            let mut list = List::default();
            list.named(&was, before, now);
            list.text
        };
        let (both, one) = (versioned(&["kv/a", "kv/b\n"]), versioned(&["kv/a"]));
        assert_eq!(told(Some(&both), &one), "kv/b\\n\n");
        assert_eq!(told(Some(&both), &both), "");
        let mut denied = versioned(&[]);
        denied.unlisted.insert("kv/".to_owned(), "403".to_owned());
        for (before, now) in [(None, &both), (Some(&both), &denied)] {
            assert!(told(before, now).contains("nobody knows which secrets of kv/"));
        }
    }
}
