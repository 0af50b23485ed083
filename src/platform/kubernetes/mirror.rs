//! The journal's copy in Secrets of the release's namespace.
//!
//! The journal's bytes stand one after another in `baoctl-<release>-journal-1`, `-2` and so on, 512 KiB in each but the last. Each
//! write names the version that it replaces, and whoever takes over writes once into the last one first: so what an earlier
//! holder still sends is refused by the API server.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{DeleteParams, PostParams, Preconditions};
use uuid::Uuid;

use super::client::{Cluster, absent_ok, call};
use super::lease::{Claim, ClaimError};
use super::secrets::labels;
use crate::journal::{Mirror, MirrorError};
use crate::platform::{Error, Result};

/// Bytes of the journal in one Secret, whose own limit is 1 MiB.
const PART: usize = 512 * 1024;
/// The Secret's key.
const KEY: &str = "journal";
/// The run whose journal it is.
const RUN: &str = "baoctl/run";
/// The epoch of the claim of whoever wrote last.
const EPOCH: &str = "baoctl/epoch";
/// Tries against others who write at the same moment.
const TRIES: u32 = 5;

/// The journal of a run as the cluster has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copied {
    /// The run.
    pub run: String,
    /// Its journal, as far as the cluster has it; the last line may be torn.
    pub bytes: Vec<u8>,
}

/// What there is, part by part.
struct Parts {
    run: String,
    parts: Vec<Secret>,
}

impl Parts {
    fn bytes(&self) -> Vec<u8> {
        self.parts.iter().flat_map(content).copied().collect()
    }

    fn length(&self) -> usize {
        self.parts.iter().map(|part| content(part).len()).sum()
    }
}

fn content(part: &Secret) -> &[u8] {
    let data = part.data.as_ref().and_then(|data| data.get(KEY));
    data.map_or(&[], |bytes| bytes.0.as_slice())
}

fn annotation<'a>(part: &'a Secret, name: &str) -> Option<&'a str> {
    let all = part.metadata.annotations.as_ref()?;
    all.get(name).map(String::as_str)
}

fn epoch_of(part: &Secret) -> u64 {
    annotation(part, EPOCH)
        .and_then(|epoch| epoch.parse().ok())
        .unwrap_or_default()
}

/// The Secrets of a release's journal.
#[derive(Clone)]
struct Place {
    cluster: Cluster,
    release: String,
}

impl Place {
    fn name(&self, number: usize) -> String {
        format!("baoctl-{}-journal-{number}", self.release)
    }

    async fn get(&self, number: usize) -> Result<Option<Secret>> {
        let name = self.name(number);
        let secrets = self.cluster.api::<Secret>();
        absent_ok(call(format!("reading Secret {name}"), secrets.get(&name)).await)
    }

    /// All parts of the run that the first one is of.
    async fn read(&self) -> Result<Option<Parts>> {
        let Some(first) = self.get(1).await? else {
            return Ok(None);
        };
        let run = annotation(&first, RUN).unwrap_or_default().to_owned();
        let mut parts = vec![first];
        while let Some(next) = self.get(parts.len() + 1).await? {
            // What an earlier run left behind the end.
            if annotation(&next, RUN) != Some(&run) {
                break;
            }
            parts.push(next);
        }
        Ok(Some(Parts { run, parts }))
    }

    /// A part with these bytes, over the one that was read, whose version the API server compares.
    fn part(
        &self,
        number: usize,
        run: &str,
        epoch: u64,
        bytes: Vec<u8>,
        over: Option<&Secret>,
    ) -> Secret {
        let annotations = [
            (RUN.to_owned(), run.to_owned()),
            (EPOCH.to_owned(), epoch.to_string()),
        ];
        Secret {
            metadata: ObjectMeta {
                name: Some(self.name(number)),
                resource_version: over.and_then(|over| over.metadata.resource_version.clone()),
                labels: Some(labels(&self.release)),
                annotations: Some(annotations.into()),
                ..ObjectMeta::default()
            },
            type_: Some("Opaque".to_owned()),
            data: Some(BTreeMap::from([(KEY.to_owned(), ByteString(bytes))])),
            ..Secret::default()
        }
    }

    /// Writes a part; `None` when somebody else wrote at the same moment.
    async fn write(&self, number: usize, part: &Secret) -> Result<Option<Secret>> {
        let name = self.name(number);
        let secrets = self.cluster.api::<Secret>();
        let parameters = PostParams::default();
        let written = if part.metadata.resource_version.is_some() {
            let doing = format!("updating Secret {name}");
            call(doing, secrets.replace(&name, &parameters, part)).await
        } else {
            let doing = format!("creating Secret {name}");
            call(doing, secrets.create(&parameters, part)).await
        };
        match written {
            Ok(part) => Ok(Some(part)),
            Err(Error::Cluster {
                status: Some(404 | 409),
                ..
            }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn remove(&self, number: usize, part: &Secret) -> Result<()> {
        let name = self.name(number);
        let parameters = DeleteParams {
            preconditions: Some(Preconditions {
                resource_version: part.metadata.resource_version.clone(),
                uid: part.metadata.uid.clone(),
            }),
            ..DeleteParams::default()
        };
        let secrets = self.cluster.api::<Secret>();
        let doing = format!("removing Secret {name}");
        absent_ok(call(doing, secrets.delete(&name, &parameters)).await).map(drop)
    }
}

/// The journal's copy of a release, read without a claim: for `status`, and to see what a new run would replace. To go on from it,
/// read it with [`ClusterMirror::read_back`], behind which nobody else writes.
pub async fn read_copy(cluster: &Cluster, release: &str) -> Result<Option<Copied>> {
    let place = Place {
        cluster: cluster.clone(),
        release: release.to_owned(),
    };
    Ok(place.read().await?.map(|parts| Copied {
        bytes: parts.bytes(),
        run: parts.run,
    }))
}

/// What to do with the copy of another run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Earlier {
    /// Refuse: it may be needed to go on.
    Keep,
    /// Replace it: that run is over, or the operator said so.
    Replace,
}

/// The mirror of a run, for the holder of a claim.
pub struct ClusterMirror {
    place: Place,
    claim: Arc<Claim>,
    run: String,
    /// What is known to be there. Held while writing.
    known: tokio::sync::Mutex<Option<Parts>>,
}

impl ClusterMirror {
    /// Makes the copy of a run this holder's: from here on the API server refuses what earlier ones still write.
    pub async fn open(
        cluster: &Cluster,
        release: &str,
        claim: Arc<Claim>,
        run: Uuid,
        earlier: Earlier,
    ) -> std::result::Result<Self, MirrorError> {
        let mirror = Self::of(cluster, release, claim, run.to_string());
        let found = mirror.place.read().await.map_err(unavailable)?;
        if let Some(other) = found.filter(|found| found.run != mirror.run) {
            if earlier == Earlier::Keep {
                return Err(MirrorError::Parted {
                    why: format!("they are of run {}", other.run),
                });
            }
            mirror.replace(other).await?;
        }
        mirror.adopt().await?;
        Ok(mirror)
    }

    /// The same for the run that the cluster has a copy of, whichever it is; `None` when it has none.
    pub async fn take_up(
        cluster: &Cluster,
        release: &str,
        claim: Arc<Claim>,
    ) -> std::result::Result<Option<Self>, MirrorError> {
        let mut mirror = Self::of(cluster, release, claim, String::new());
        let Some(found) = mirror.place.read().await.map_err(unavailable)? else {
            return Ok(None);
        };
        mirror.run = found.run;
        mirror.adopt().await?;
        Ok(Some(mirror))
    }

    /// Removes the copy: nobody goes on from it any more.
    pub async fn remove(&self) -> std::result::Result<(), MirrorError> {
        self.claim.check().await.map_err(refused)?;
        let parts = self.look().await?;
        // The first one last: without it the others are not found again.
        for (number, part) in (1..)
            .zip(parts.iter().flat_map(|it| &it.parts))
            .collect::<Vec<_>>()
            .into_iter()
            .rev()
        {
            self.place.remove(number, part).await.map_err(unavailable)?;
        }
        Ok(())
    }

    /// The journal as the cluster has it, behind which no earlier holder writes; for `journal::restore`.
    pub async fn read_back(&self) -> std::result::Result<Vec<u8>, MirrorError> {
        let found = self.place.read().await.map_err(unavailable)?;
        Ok(found.map_or_else(Vec::new, |parts| parts.bytes()))
    }

    fn of(cluster: &Cluster, release: &str, claim: Arc<Claim>, run: String) -> Self {
        Self {
            place: Place {
                cluster: cluster.clone(),
                release: release.to_owned(),
            },
            claim,
            run,
            known: tokio::sync::Mutex::default(),
        }
    }

    /// Puts an empty copy of this run in the place of another's. Killed in between, it leaves parts of the other one behind the end of
    /// this, which do not count.
    async fn replace(&self, other: Parts) -> std::result::Result<(), MirrorError> {
        self.claim.check().await.map_err(refused)?;
        let first = self.place.part(
            1,
            &self.run,
            self.claim.epoch(),
            Vec::new(),
            other.parts.first(),
        );
        let written = self.place.write(1, &first).await.map_err(unavailable)?;
        if written.is_none() {
            return Err(moved());
        }
        for (index, part) in other.parts.iter().enumerate().skip(1) {
            let removed = self.place.remove(index + 1, part).await;
            removed.map_err(unavailable)?;
        }
        Ok(())
    }

    /// Writes into the last part, so that no earlier holder's write fits any more. Where that part is full, the earlier one
    /// would go on in the next: that is made, empty, before it can.
    async fn adopt(&self) -> std::result::Result<(), MirrorError> {
        let mut known = self.known.lock().await;
        for _ in 0..TRIES {
            self.claim.check().await.map_err(refused)?;
            let found = self.place.read().await.map_err(unavailable)?;
            let Some(mut found) = found else {
                *known = None;
                return Ok(());
            };
            let newest = found.parts.iter().map(epoch_of).max().unwrap_or_default();
            if newest > self.claim.epoch() {
                // The claim holds, so nobody else has a newer one: the Lease was made anew since.
                self.claim.outdo(newest).await.map_err(refused)?;
            }
            let number = found.parts.len();
            let Some(last) = found.parts.last_mut() else {
                return Ok(());
            };
            let epoch = self.claim.epoch();
            let bytes = content(last).to_vec();
            let full = bytes.len() >= PART;
            let part = self.place.part(number, &self.run, epoch, bytes, Some(last));
            let written = self.place.write(number, &part).await;
            let Some(written) = written.map_err(unavailable)? else {
                continue;
            };
            *last = written;
            if full {
                let Some(next) = self.next(number + 1, Vec::new()).await? else {
                    continue;
                };
                found.parts.push(next);
            }
            *known = Some(found);
            return Ok(());
        }
        Err(moved())
    }

    /// Makes the next part, over whatever another run left there; `None` when somebody else wrote at the same moment.
    async fn next(
        &self,
        number: usize,
        bytes: Vec<u8>,
    ) -> std::result::Result<Option<Secret>, MirrorError> {
        let there = self.place.get(number).await.map_err(unavailable)?;
        if there
            .as_ref()
            .is_some_and(|there| annotation(there, RUN) == Some(&self.run))
        {
            return Ok(None);
        }
        let epoch = self.claim.epoch();
        let part = self
            .place
            .part(number, &self.run, epoch, bytes, there.as_ref());
        self.place.write(number, &part).await.map_err(unavailable)
    }

    /// What is there now, when it is this holder's still.
    async fn look(&self) -> std::result::Result<Option<Parts>, MirrorError> {
        self.claim.check().await.map_err(refused)?;
        let found = self.place.read().await.map_err(unavailable)?;
        if let Some(found) = &found {
            if found.run != self.run {
                return Err(MirrorError::Parted {
                    why: format!("they are of run {}", found.run),
                });
            }
            if found.parts.iter().map(epoch_of).max() > Some(self.claim.epoch()) {
                return Err(MirrorError::Lost {
                    holder: "somebody with a newer claim".to_owned(),
                });
            }
        }
        Ok(found)
    }

    /// Adds to what is there; `false` when it is not as it was known to be.
    async fn add(
        &self,
        parts: &mut Parts,
        mut more: &[u8],
    ) -> std::result::Result<bool, MirrorError> {
        while !more.is_empty() {
            let number = parts.parts.len();
            let last = parts.parts.last_mut();
            let last = last.filter(|last| content(last).len() < PART);
            let Some(last) = last else {
                let (now, later) = more.split_at(more.len().min(PART));
                let Some(made) = self.next(number + 1, now.to_vec()).await? else {
                    return Ok(false);
                };
                parts.parts.push(made);
                more = later;
                continue;
            };
            let mut bytes = content(last).to_vec();
            let (now, later) = more.split_at(more.len().min(PART - bytes.len()));
            bytes.extend_from_slice(now);
            let epoch = self.claim.epoch();
            let part = self.place.part(number, &self.run, epoch, bytes, Some(last));
            let written = self.place.write(number, &part).await;
            let Some(written) = written.map_err(unavailable)? else {
                return Ok(false);
            };
            *last = written;
            more = later;
        }
        Ok(true)
    }
}

/// What of `lines`, which begin at byte `at`, the copy lacks.
fn lacking<'a>(
    copy: &Parts,
    at: usize,
    lines: &'a [u8],
) -> std::result::Result<&'a [u8], MirrorError> {
    let length = copy.length();
    let Some(both) = length.checked_sub(at) else {
        return Err(MirrorError::Behind {
            held: length as u64,
        });
    };
    if both > lines.len() {
        return Err(MirrorError::Parted {
            why: format!("it goes on for {} bytes", both - lines.len()),
        });
    }
    let there = copy.parts.iter().flat_map(content).skip(at);
    if !there.eq(&lines[..both]) {
        return Err(MirrorError::Parted {
            why: format!("they differ from byte {at} on"),
        });
    }
    Ok(&lines[both..])
}

#[async_trait]
impl Mirror for ClusterMirror {
    async fn push(&self, at: u64, lines: &[u8]) -> std::result::Result<(), MirrorError> {
        let at = usize::try_from(at).unwrap_or(usize::MAX);
        let mut known = self.known.lock().await;
        for _ in 0..TRIES {
            // Taken out while writing: dropped in between, what is there is looked at anew.
            let mut parts = match known.take() {
                Some(parts) => parts,
                None => self.look().await?.unwrap_or_else(|| Parts {
                    run: self.run.clone(),
                    parts: Vec::new(),
                }),
            };
            let more = lacking(&parts, at, lines)?;
            if self.add(&mut parts, more).await? {
                *known = Some(parts);
                return Ok(());
            }
        }
        Err(moved())
    }

    async fn check(&self) -> std::result::Result<(), MirrorError> {
        self.claim.check().await.map_err(refused)
    }

    async fn lost(&self) -> MirrorError {
        MirrorError::Lost {
            holder: self.claim.lost().await,
        }
    }
}

fn moved() -> MirrorError {
    MirrorError::Unavailable {
        why: "the Secrets of the journal change all the time; see who writes them".to_owned(),
    }
}

#[allow(clippy::needless_pass_by_value)] // for `map_err`
fn unavailable(error: Error) -> MirrorError {
    MirrorError::Unavailable {
        why: error.to_string(),
    }
}

fn refused(error: ClaimError) -> MirrorError {
    match error {
        ClaimError::Held(holder) => MirrorError::Lost {
            holder: holder.identity,
        },
        ClaimError::Lost { holder } => MirrorError::Lost { holder },
        ClaimError::Cluster(error) => unavailable(error),
    }
}
