//! Removes the source's data from the volume: what is of it, and how that is known.

use std::collections::BTreeMap;

use async_trait::async_trait;
use indicatif::HumanBytes;

use super::unserved;
use crate::action::context::blocking;
use crate::action::final_copy::Files;
use crate::action::{
    Action, Context, Error, Evidence, FinalCopied, Observation, Outcome, Result, Source, tombstone,
};
use crate::armed::Armed;
use crate::meter::Silent;
use crate::platform::{StorageKind, TOMBSTONE, is_of_store};
use crate::storage::key::{path_of_key, split};
use crate::storage::{Digest, DigestList, DigestSource, Phase};

/// Removes the files of the tree as they were sealed, and the tombstone last.
pub struct RemoveTree;

/// Names of files that are told, of each sort.
const MOST: usize = 20;

/// What stands where the file tree stood.
#[derive(Debug)]
struct Tree {
    /// What that was.
    name: &'static str,
    /// Files that are as they were sealed, with their bytes in all. Those of a store are known by their names, as long as the tombstone
    /// stands beside them: nothing opens it since.
    known: Vec<String>,
    bytes: u64,
    /// This run's tombstone, where it stands.
    tombstone: Option<String>,
    /// What is not of the sealed tree, and is kept.
    others: Vec<String>,
    /// The tombstones of stores among which nobody can tell the source's from copies of it: all is kept.
    alike: Vec<String>,
}

impl Tree {
    async fn look(ctx: &Context) -> Result<Self> {
        let first = ctx.first()?;
        let of_store = of_a_store(ctx)?;
        let sealed = if of_store {
            BTreeMap::new()
        } else {
            files(ctx).await?
        };
        let tombstone = tombstone::file(ctx);
        // Once it is gone another one is that of a copy.
        let stands = ctx.platform.tree_entry(&first, tombstone::KEY).await?;
        let mark = stands
            .filter(|it| *it == tombstone)
            .map(|it| Digest::of(&it));
        let found = ctx
            .platform
            .volume_files(&first, ctx.meter.as_ref())
            .await?;
        if of_store {
            return Ok(Self::of_store(found, mark));
        }
        let place = path_of_key(tombstone::KEY)?;
        let stands = mark.is_some_and(|mark| found.get(&place) == Some(&mark));
        let known = |path: &str, digest: &Digest| sealed.get(path) == Some(digest);
        Ok(Self::of("file tree", found, stands.then_some(place), known))
    }

    /// What is told from the rest by its name: the files in the folder of this tombstone.
    fn of_store(found: BTreeMap<String, Digest>, mark: Option<Digest>) -> Self {
        let depth = |path: &str| path.matches('/').count();
        let is_mark = |path: &str, digest| split(path).1 == TOMBSTONE && Some(digest) == mark;
        let marks = found
            .iter()
            .filter(|(path, digest)| is_mark(path, **digest));
        let marks: Vec<String> = marks.map(|(path, _)| path.clone()).collect();
        let least = marks.iter().map(|it| depth(it)).min();
        let mut alike: Vec<String> = marks
            .into_iter()
            .filter(|it| Some(depth(it)) == least)
            .collect();
        let tombstone = if alike.len() == 1 { alike.pop() } else { None };
        let store = tombstone.as_deref().map(|it| split(it).0.to_owned());
        let known = |path: &str, _: &Digest| {
            let (folder, name) = split(path);
            store.as_deref() == Some(folder) && is_of_store(name)
        };
        Self {
            alike,
            ..Self::of("store", found, tombstone, known)
        }
    }

    fn of(
        name: &'static str,
        mut found: BTreeMap<String, Digest>,
        tombstone: Option<String>,
        is_known: impl Fn(&str, &Digest) -> bool,
    ) -> Self {
        let mut tree = Self {
            name,
            known: Vec::new(),
            bytes: 0,
            tombstone: tombstone.filter(|path| found.remove(path).is_some()),
            others: Vec::new(),
            alike: Vec::new(),
        };
        for (path, digest) in found {
            if is_known(&path, &digest) {
                tree.bytes += digest.bytes;
                tree.known.push(path);
            } else {
                tree.others.push(path);
            }
        }
        tree
    }

    fn is_gone(&self) -> bool {
        self.known.is_empty() && self.tombstone.is_none()
    }

    /// What goes, and how that is known.
    fn removed(&self) -> String {
        let how = if self.name == "store" {
            "known by the names that Pebble gives, in a folder that no server has opened since it was sealed"
        } else {
            "each as it was sealed"
        };
        format!(
            "{} files of the {}, {}, {how}: {}",
            self.known.len(),
            self.name,
            HumanBytes(self.bytes),
            some(&self.known)
        )
    }

    fn kept(&self) -> String {
        if !self.alike.is_empty() {
            return format!(
                "nobody can say which of these is the tombstone of the source's own store, and which that of a copy: {}. All {} files \
                 are kept; move the copies off the volume and run `baoctl cleanup` again",
                self.alike.join(", "),
                self.others.len()
            );
        }
        match self.others.len() {
            0 => String::new(),
            others => format!(
                "{others} files that are not of the sealed {} are kept: {}",
                self.name,
                some(&self.others)
            ),
        }
    }
}

/// The first names of a list, and how many more there are.
fn some(names: &[String]) -> String {
    let told = names[..names.len().min(MOST)].join(", ");
    match names.len().saturating_sub(MOST) {
        0 => told,
        more => format!("{told} and {more} more"),
    }
}

/// The files of the tree as they were sealed: from the manifest of the run, or from the tree while it is whole. None where an
/// earlier cleanup removed both.
async fn sealed(ctx: &Context) -> Result<DigestList> {
    let copied: FinalCopied = ctx.fact()?;
    let path = Files::of(ctx).manifest;
    let fits = |list: &DigestList| Some(list.sha256()) == copied.manifest_digest;
    let loaded = blocking(move || DigestList::load(&path)).await.ok();
    if let Some(list) = loaded.filter(fits) {
        return Ok(list);
    }
    let first = ctx.first()?;
    if !ctx.platform.volume(&first).await?.file_tree {
        return Ok(DigestList::default());
    }
    let list = ctx
        .platform
        .tree_manifest(&first, Phase::Sealed, &Silent)
        .await?;
    if fits(&list) {
        return Ok(list);
    }
    Err(Error::refused(format!(
        "the manifest of the sealed tree is not in {}, and the tree is not as it was sealed: nobody can say which of its files are \
         the run's; nothing was removed",
        Files::of(ctx).manifest.display()
    )))
}

/// Whether the source kept its data in a store of `pebbledb`.
fn of_a_store(ctx: &Context) -> Result<bool> {
    Ok(ctx.fact::<Source>()?.storage == StorageKind::Pebbledb)
}

/// The files of the tree as they were sealed, by their path on the volume.
async fn files(ctx: &Context) -> Result<BTreeMap<String, Digest>> {
    let list = sealed(ctx).await?;
    let (mut files, mut digests, mut key) = (BTreeMap::new(), list.digests(), String::new());
    while let Some(digest) = digests.next_digest(&mut key)? {
        files.insert(path_of_key(&key)?, digest);
    }
    Ok(files)
}

#[async_trait]
impl Action for RemoveTree {
    fn title(&self, ctx: &Context) -> String {
        format!(
            "remove the old file tree from the volume of {}",
            ctx.first().unwrap_or_default()
        )
    }

    async fn describe(&self, ctx: &Context) -> Result<Vec<String>> {
        let (first, tree) = (ctx.first()?, Tree::look(ctx).await?);
        let mut calls = Vec::new();
        if !tree.known.is_empty() {
            calls.push(format!("{first}: remove {}", tree.removed()));
        }
        if tree.tombstone.is_some() {
            calls.push(format!("{first}: remove the entry {}", tombstone::KEY));
        }
        calls.extend(Some(tree.kept()).filter(|kept| !kept.is_empty()));
        Ok(calls)
    }

    async fn observe(&self, ctx: &Context) -> Result<Observation> {
        // It was none of a source.
        if ctx.fact::<FinalCopied>()?.manifest_digest.is_none() {
            return Ok(Observation::NotApplicable(
                "a snapshot was restored, and no tree moved".to_owned(),
            ));
        }
        let tree = Tree::look(ctx).await?;
        Ok(if tree.is_gone() {
            let gone = if tree.alike.is_empty() {
                format!("no file of the sealed {} is left. ", tree.name)
            } else {
                String::new()
            };
            Observation::Done(Evidence::new(gone + &tree.kept()))
        } else {
            Observation::Pending
        })
    }

    async fn apply(&self, ctx: &Context, armed: Armed) -> Result<Outcome> {
        if let Some(why) = unserved(ctx).await? {
            return Err(Error::refused(format!("{why}: the file tree stays")));
        }
        let (first, tree) = (ctx.first()?, Tree::look(ctx).await?);
        if !tree.known.is_empty() && !of_a_store(ctx)? {
            // A part of the tree tells nobody what is of it.
            let (list, manifest) = (sealed(ctx).await?, Files::of(ctx).manifest);
            blocking(move || list.save(&manifest)).await?;
        }
        ctx.platform
            .remove_volume_files(&first, &tree.known, &armed)
            .await?;
        // As long as any of it stands, no server must start on it.
        if let Some(tombstone) = &tree.tombstone {
            ctx.platform
                .remove_volume_files(&first, std::slice::from_ref(tombstone), &armed)
                .await?;
        }
        Ok(Evidence::new(format!(
            "{} files of the {} removed, {}. {}",
            tree.known.len(),
            tree.name,
            HumanBytes(tree.bytes),
            tree.kept()
        ))
        .into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volume(paths: &[&str], mark: Digest) -> BTreeMap<String, Digest> {
        let digest = |path: &str| match split(path).1 {
            TOMBSTONE => mark,
            name => Digest::of(name.as_bytes()),
        };
        let files = paths.iter();
        files
            .map(|path| ((*path).to_owned(), digest(path)))
            .collect()
    }

    #[test]
    fn of_a_store_goes_what_is_the_stores_and_of_its_copy_nothing() {
        let mark = Digest::of(b"moved");
        let own = format!("pebbledb/{TOMBSTONE}");
        let copied = format!("backup/pebbledb/{TOMBSTONE}");
        let beside = [
            "backup/pebbledb/000002.log",
            "backup/pebbledb/CURRENT",
            "pebbledb/2026-11-28.log",
            "pebbledb/000002.log",
            "pebbledb/CURRENT",
        ];
        let found = volume(&[&beside[..], &[&*own, &*copied]].concat(), mark);
        let tree = Tree::of_store(found, Some(mark));
        assert_eq!(tree.tombstone.as_deref(), Some(&*own));
        assert_eq!(tree.known, ["pebbledb/000002.log", "pebbledb/CURRENT"]);
        assert_eq!(tree.others.len(), 4, "{tree:?}");
        let told = tree.removed();
        assert!(
            told.ends_with(": pebbledb/000002.log, pebbledb/CURRENT"),
            "{told}"
        );

        // With its own gone, that of the copy is none.
        let left = volume(&["backup/pebbledb/CURRENT", &copied], mark);
        let tree = Tree::of_store(left, None);
        assert!(tree.is_gone() && tree.others.len() == 2, "{tree:?}");

        // Two that nobody can tell apart are both kept.
        let twin = format!("a-copy/{TOMBSTONE}");
        let found = volume(&[&beside[..], &[&*own, &*twin]].concat(), mark);
        let tree = Tree::of_store(found, Some(mark));
        assert!(tree.is_gone() && tree.others.len() == 7, "{tree:?}");
        let told = tree.kept();
        assert!(told.contains(&own) && told.contains(&twin), "{told}");
    }
}
