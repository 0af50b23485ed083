//! The claim on a release: a Lease in its namespace, so that one process at a time migrates it.

mod claimant;
mod holder;

pub use self::claimant::Claimant;
pub use self::holder::Holder;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use kube::api::{DeleteParams, PostParams, Preconditions};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use self::claimant::start_of;
use self::holder::{LASTS, PROCESS, Verdict, epoch_of, holder_of, judge};
use super::client::{Cluster, absent_ok, call};
use super::secrets::labels;
use crate::platform::{Error, Result};

/// Between two renewals.
const RENEW: Duration = Duration::from_secs(10);
/// Between two looks at a claim that may have run out.
const LOOK: Duration = Duration::from_secs(2);
/// After a takeover, until the process that had the claim has noticed: a renewal, and its deadline.
const SETTLE: Duration = Duration::from_secs(15);
/// Tries against others who write at the same moment.
const TRIES: u32 = 5;

/// How a claim stands, as far as is known here.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Standing {
    Held,
    /// Somebody else has it.
    Lost(String),
}

/// Why a claim does not hold.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// Another process has it.
    #[error("{0}")]
    Held(Box<Holder>),
    /// Another process took it from this one.
    #[error("the claim on the release was taken by {holder}")]
    Lost {
        /// Who has it, as far as is known.
        holder: String,
    },
    /// The API server could not be asked, or said no.
    #[error(transparent)]
    Cluster(#[from] Error),
}

type Claimed<T> = std::result::Result<T, ClaimError>;

/// The Lease of a release, and who asks for it.
#[derive(Clone)]
struct Claiming {
    cluster: Cluster,
    release: String,
    name: String,
    claimant: Claimant,
}

/// A claim that is held, and renewed in the background until it is dropped.
pub struct Claim {
    inner: Arc<Inner>,
    renewing: tokio::task::JoinHandle<()>,
}

struct Inner {
    claiming: Claiming,
    /// The epoch, and when the Lease was last known to be this process' for a whole [`LASTS`]. Held by whoever writes.
    last: tokio::sync::Mutex<Last>,
    epoch: Mutex<u64>,
    standing: watch::Sender<Standing>,
}

struct Last {
    renewed: Instant,
}

impl fmt::Debug for Claim {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Claim")
            .field("lease", &self.inner.claiming.name)
            .field("claimant", &self.inner.claiming.claimant)
            .field("epoch", &self.epoch())
            .finish_non_exhaustive()
    }
}

/// The name of a release's Lease.
pub fn lease_name(release: &str) -> String {
    format!("baoctl-{release}")
}

/// Who holds the claim on a release now, for whoever only looks; it may be gone, which only time tells.
pub async fn holder(cluster: &Cluster, release: &str) -> Result<Option<Holder>> {
    let claiming = Claiming::new(cluster, release, Claimant::named(""));
    let lease = claiming.read().await?;
    Ok(lease
        .filter(|lease| holder_of(lease).is_some())
        .map(|lease| claiming.holder(&lease)))
}

impl Claiming {
    fn new(cluster: &Cluster, release: &str, claimant: Claimant) -> Self {
        Self {
            cluster: cluster.clone(),
            release: release.to_owned(),
            name: lease_name(release),
            claimant,
        }
    }

    async fn read(&self) -> Result<Option<Lease>> {
        let doing = format!("reading Lease {}", self.name);
        let leases = self.cluster.api::<Lease>();
        absent_ok(call(doing, leases.get(&self.name)).await)
    }

    fn holder(&self, lease: &Lease) -> Holder {
        let spec = lease.spec.clone().unwrap_or_default();
        Holder {
            identity: spec.holder_identity.unwrap_or_default(),
            since: spec.acquire_time.map(|at| at.0),
            seen: spec.renew_time.map(|at| at.0),
            lease: self.name.clone(),
            namespace: self.cluster.namespace().to_owned(),
        }
    }

    /// The Lease as this process' own, over the one that was read, whose version the API server compares.
    fn taken(&self, over: Option<&Lease>) -> Lease {
        let now = MicroTime(Timestamp::now());
        let mut metadata = over.map_or_else(
            || ObjectMeta {
                name: Some(self.name.clone()),
                labels: Some(labels(&self.release)),
                ..ObjectMeta::default()
            },
            |lease| lease.metadata.clone(),
        );
        let annotations = metadata.annotations.get_or_insert_default();
        annotations.remove(PROCESS);
        if let Some(process) = &self.claimant.process {
            annotations.insert(PROCESS.to_owned(), process.to_string());
        }
        let epoch = over.map_or(0, epoch_of).saturating_add(1);
        Lease {
            metadata,
            spec: Some(LeaseSpec {
                holder_identity: Some(self.claimant.identity.clone()),
                lease_duration_seconds: i32::try_from(LASTS.as_secs()).ok(),
                acquire_time: Some(now.clone()),
                renew_time: Some(now),
                lease_transitions: i32::try_from(epoch).ok(),
                ..LeaseSpec::default()
            }),
        }
    }

    /// Writes the Lease; `None` when somebody else wrote at the same moment.
    async fn write(&self, lease: &Lease) -> Result<Option<Lease>> {
        let leases = self.cluster.api::<Lease>();
        let parameters = PostParams::default();
        let written = if lease.metadata.resource_version.is_some() {
            let doing = format!("updating Lease {}", self.name);
            call(doing, leases.replace(&self.name, &parameters, lease)).await
        } else {
            let doing = format!("creating Lease {}", self.name);
            call(doing, leases.create(&parameters, lease)).await
        };
        match written {
            Ok(lease) => Ok(Some(lease)),
            Err(Error::Cluster {
                status: Some(404 | 409),
                ..
            }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Takes the Lease when nobody has it, waiting for as long as it takes to see whether somebody has.
    async fn acquire(&self) -> Claimed<Lease> {
        let mut seen: Option<(Option<String>, Instant)> = None;
        loop {
            let read = self.read().await?;
            if let Some(lease) = &read {
                let version = lease.metadata.resource_version.clone();
                let since = match &seen {
                    Some((known, since)) if *known == version => *since,
                    // It changed while it was watched: somebody is there.
                    Some(_) if holder_of(lease).is_some() => {
                        return Err(ClaimError::Held(Box::new(self.holder(lease))));
                    }
                    _ => {
                        let now = Instant::now();
                        seen = Some((version, now));
                        now
                    }
                };
                let here = self.claimant.process.as_ref();
                match judge(lease, here, since.elapsed(), Timestamp::now(), start_of) {
                    Verdict::Free => {}
                    Verdict::Alive if since.elapsed() < LOOK => {
                        return Err(ClaimError::Held(Box::new(self.holder(lease))));
                    }
                    Verdict::Alive | Verdict::Unknown => {
                        sleep(LOOK).await;
                        continue;
                    }
                }
            }
            if let Some(lease) = self.write(&self.taken(read.as_ref())).await? {
                return Ok(lease);
            }
            // Somebody was quicker: their claim is looked at from the beginning.
            seen = None;
        }
    }

    /// Takes the Lease from whoever has it.
    async fn take(&self) -> Claimed<Lease> {
        for _ in 0..TRIES {
            let read = self.read().await?;
            let had = read
                .as_ref()
                .is_some_and(|lease| holder_of(lease).is_some());
            let Some(lease) = self.write(&self.taken(read.as_ref())).await? else {
                continue;
            };
            if had {
                sleep(SETTLE).await;
            }
            return Ok(lease);
        }
        Err(ClaimError::Cluster(Error::Refused(format!(
            "Lease {} changes all the time; see who writes it",
            self.name
        ))))
    }
}

impl Claim {
    /// Claims a release that nobody has. A holder that was there within its last 30 s is refused at once; with one that may be
    /// gone it takes up to 30 s to see.
    pub async fn acquire(cluster: &Cluster, release: &str, claimant: Claimant) -> Claimed<Self> {
        let claiming = Claiming::new(cluster, release, claimant);
        let began = Instant::now();
        let lease = claiming.acquire().await?;
        Ok(Self::of(claiming, &lease, began))
    }

    /// Takes a release over from whoever has it, and gives that process the time to notice: 15 s.
    pub async fn take_over(cluster: &Cluster, release: &str, claimant: Claimant) -> Claimed<Self> {
        let claiming = Claiming::new(cluster, release, claimant);
        let began = Instant::now();
        let lease = claiming.take().await?;
        let claim = Self::of(claiming, &lease, began);
        claim.check().await?;
        Ok(claim)
    }

    fn of(claiming: Claiming, lease: &Lease, began: Instant) -> Self {
        let inner = Arc::new(Inner {
            claiming,
            last: tokio::sync::Mutex::new(Last { renewed: began }),
            epoch: Mutex::new(epoch_of(lease)),
            standing: watch::Sender::new(Standing::Held),
        });
        let renewed = inner.clone();
        let renewing = tokio::spawn(async move {
            loop {
                sleep(RENEW).await;
                // A failure is told by the next check, which asks anew; only another holder ends it.
                let _ = renewed.renew(0).await;
                if matches!(&*renewed.standing.borrow(), Standing::Lost(_)) {
                    return;
                }
            }
        });
        Self { inner, renewing }
    }

    /// Grows with each claim on the release.
    pub fn epoch(&self) -> u64 {
        *self
            .inner
            .epoch
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The one who claims.
    pub fn claimant(&self) -> &Claimant {
        &self.inner.claiming.claimant
    }

    /// Asks the API server whether the claim holds, and renews it.
    pub async fn check(&self) -> Claimed<()> {
        self.inner.renew(0).await
    }

    /// Makes the epoch larger than `epoch`: where the Lease was removed, what others wrote under an older one is larger.
    pub(super) async fn outdo(&self, epoch: u64) -> Claimed<()> {
        self.inner.renew(epoch.saturating_add(1)).await
    }

    /// Comes back, with the new holder, once the claim is known to be lost.
    pub async fn lost(&self) -> String {
        let mut standing = self.inner.standing.subscribe();
        loop {
            if let Standing::Lost(holder) = &*standing.borrow_and_update() {
                return holder.clone();
            }
            if standing.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Removes the Lease. Nothing may act by the claim after that.
    pub async fn remove(&self) -> Claimed<()> {
        self.renewing.abort();
        self.inner.remove().await
    }

    /// Gives the release back, so that the next process need not wait. Nothing may act by the claim after that.
    pub async fn release(&self) -> Claimed<()> {
        self.renewing.abort();
        self.inner.release().await
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        // A Lease that is not given back runs out by itself.
        self.renewing.abort();
    }
}

impl Inner {
    fn lose(&self, holder: String) -> ClaimError {
        self.standing.send_replace(Standing::Lost(holder.clone()));
        ClaimError::Lost { holder }
    }

    /// Reads and renews the Lease, with at least this epoch.
    async fn renew(&self, at_least: u64) -> Claimed<()> {
        let mut known = self.last.lock().await;
        let began = Instant::now();
        match self.renewed(at_least).await {
            Ok(()) => {
                known.renewed = began;
                Ok(())
            }
            // It may be anybody's by now, and nobody can say whose.
            Err(ClaimError::Cluster(error)) if known.renewed.elapsed() >= LASTS => {
                Err(ClaimError::Lost {
                    holder: format!(
                        "somebody, perhaps: the claim ran out, as it could not be renewed for {}s ({error})",
                        known.renewed.elapsed().as_secs()
                    ),
                })
            }
            Err(error) => Err(error),
        }
    }

    async fn renewed(&self, at_least: u64) -> Claimed<()> {
        for _ in 0..TRIES {
            let mut lease = self.own().await?;
            if let Some(spec) = &mut lease.spec {
                spec.renew_time = Some(MicroTime(Timestamp::now()));
                let epoch = spec.lease_transitions.unwrap_or_default();
                spec.lease_transitions =
                    Some(epoch.max(i32::try_from(at_least).unwrap_or(i32::MAX)));
            }
            let epoch = epoch_of(&lease);
            if self.claiming.write(&lease).await?.is_some() {
                *self.epoch.lock().unwrap_or_else(PoisonError::into_inner) = epoch;
                return Ok(());
            }
        }
        Err(ClaimError::Cluster(Error::Refused(format!(
            "Lease {} changes all the time; see who writes it",
            self.claiming.name
        ))))
    }

    /// The Lease, when it is this process'.
    async fn own(&self) -> Claimed<Lease> {
        if let Standing::Lost(holder) = &*self.standing.borrow() {
            return Err(ClaimError::Lost {
                holder: holder.clone(),
            });
        }
        let Some(lease) = self.claiming.read().await? else {
            let name = &self.claiming.name;
            return Err(self.lose(format!("somebody who removed the Lease {name}")));
        };
        let epoch = *self.epoch.lock().unwrap_or_else(PoisonError::into_inner);
        match holder_of(&lease) {
            // A renewal whose answer was lost may have raised it.
            Some(holder)
                if holder == self.claiming.claimant.identity && epoch_of(&lease) >= epoch =>
            {
                Ok(lease)
            }
            Some(holder) => Err(self.lose(holder.to_owned())),
            None => Err(self.lose("somebody who gave it back already".to_owned())),
        }
    }

    async fn remove(&self) -> Claimed<()> {
        let _last = self.last.lock().await;
        let lease = self.own().await?;
        let params = DeleteParams::default().preconditions(Preconditions {
            uid: lease.metadata.uid,
            resource_version: lease.metadata.resource_version,
        });
        let name = &self.claiming.name;
        let leases = self.claiming.cluster.api::<Lease>();
        let doing = format!("deleting Lease {name}");
        absent_ok(call(doing, leases.delete(name, &params)).await)?;
        Ok(())
    }

    async fn release(&self) -> Claimed<()> {
        let _last = self.last.lock().await;
        for _ in 0..TRIES {
            let mut lease = self.own().await?;
            if let Some(spec) = &mut lease.spec {
                spec.holder_identity = None;
            }
            if self.claiming.write(&lease).await?.is_some() {
                return Ok(());
            }
        }
        Ok(())
    }
}
