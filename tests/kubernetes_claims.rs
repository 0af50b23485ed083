//! The claim on a release and the journal's copy, on a real cluster.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use baoctl::journal::{Mirror, MirrorError};
use baoctl::platform::kubernetes::{
    Claim, ClaimError, Claimant, Cluster, ClusterMirror, Earlier, holder, read_copy,
};
use futures_util::future::join_all;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::api::{DeleteParams, ObjectMeta, PostParams};
use uuid::Uuid;

/// A namespace of its own, and a cluster that is reached in it.
async fn cluster() -> (Cluster, String) {
    let kubeconfig = std::env::var("BAOCTL_E2E_KUBECONFIG").unwrap();
    let name = format!("claims-{}", &Uuid::new_v4().to_string()[..8]);
    let cluster = Cluster::connect(Some(Path::new(&kubeconfig)), None, &name)
        .await
        .unwrap();
    let namespace = Namespace {
        metadata: ObjectMeta {
            name: Some(name.clone()),
            ..ObjectMeta::default()
        },
        ..Namespace::default()
    };
    let namespaces = cluster.all::<Namespace>();
    namespaces
        .create(&PostParams::default(), &namespace)
        .await
        .unwrap();
    (cluster, name)
}

async fn gone(cluster: &Cluster, name: &str) {
    let namespaces = cluster.all::<Namespace>();
    namespaces
        .delete(name, &DeleteParams::background())
        .await
        .unwrap();
}

async fn claim(cluster: &Cluster, who: &str) -> Result<Claim, ClaimError> {
    Claim::acquire(cluster, "openbao", Claimant::named(who)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_who_claim_at_once_one_wins() {
    let (cluster, name) = cluster().await;
    for round in 0..3 {
        let names: Vec<String> = (0..20).map(|number| format!("{round}-{number}")).collect();
        let tried = join_all(names.iter().map(|who| claim(&cluster, who))).await;
        let mut won = Vec::new();
        for claimed in tried {
            match claimed {
                Ok(claim) => won.push(claim),
                Err(ClaimError::Held(held)) => assert!(held.to_string().contains("--from-cluster")),
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!(won.len(), 1);
        let winner = won.pop().unwrap();
        let held = holder(&cluster, "openbao").await.unwrap().unwrap();
        assert_eq!(held.identity, winner.claimant().to_string());
        assert_eq!(winner.epoch(), round + 1);
        winner.check().await.unwrap();
        winner.release().await.unwrap();
        assert_eq!(holder(&cluster, "openbao").await.unwrap(), None);
    }
    gone(&cluster, &name).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_takeover_ends_the_first_claim_and_its_mirror() {
    let (cluster, name) = cluster().await;
    let run = Uuid::new_v4();
    let first = Arc::new(claim(&cluster, "first").await.unwrap());
    let open = |claim: Arc<Claim>, run, earlier| {
        let cluster = cluster.clone();
        async move { ClusterMirror::open(&cluster, "openbao", claim, run, earlier).await }
    };
    let mirror = open(first.clone(), run, Earlier::Keep).await.unwrap();
    mirror.push(0, b"one\n").await.unwrap();
    mirror.push(4, b"two\n").await.unwrap();

    let second = Claim::take_over(&cluster, "openbao", Claimant::named("second"));
    let (second, lost) = tokio::join!(second, async {
        tokio::time::timeout(Duration::from_secs(14), first.lost()).await
    });
    assert_eq!(lost.unwrap(), "second", "it did not notice by itself");
    let second = Arc::new(second.unwrap());
    assert!(second.epoch() > first.epoch());
    assert!(matches!(first.check().await, Err(ClaimError::Lost { holder }) if holder == "second"));
    let other = ClusterMirror::take_up(&cluster, "openbao", second.clone())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(other.read_back().await.unwrap(), b"one\ntwo\n");
    // Refused by the API server, whose version of the Secret is another.
    let late = mirror.push(8, b"late\n").await;
    assert!(matches!(late, Err(MirrorError::Lost { .. })), "{late:?}");
    other.push(8, b"three\n").await.unwrap();
    assert_eq!(other.read_back().await.unwrap(), b"one\ntwo\nthree\n");
    // Whoever comes with an older file is told.
    let stale = other.push(0, b"one\n").await;
    assert!(matches!(stale, Err(MirrorError::Parted { .. })));
    let copied = read_copy(&cluster, "openbao").await.unwrap().unwrap();
    assert_eq!(copied.run, run.to_string());

    // Another run replaces it only when told to.
    let next = Uuid::new_v4();
    let kept = open(second.clone(), next, Earlier::Keep).await;
    assert!(matches!(kept, Err(MirrorError::Parted { .. })));
    let mirror = open(second.clone(), next, Earlier::Replace).await.unwrap();
    mirror.push(0, b"new\n").await.unwrap();
    assert_eq!(mirror.read_back().await.unwrap(), b"new\n");

    // A Lease that was removed and made anew begins to count at the beginning; the Secrets do not.
    let leases = cluster.api::<Lease>();
    leases
        .delete("baoctl-openbao", &DeleteParams::default())
        .await
        .unwrap();
    assert!(matches!(second.check().await, Err(ClaimError::Lost { .. })));
    let third = Arc::new(claim(&cluster, "third").await.unwrap());
    let mirror = open(third.clone(), next, Earlier::Keep).await.unwrap();
    assert!(third.epoch() > second.epoch());
    mirror.push(4, b"newer\n").await.unwrap();
    gone(&cluster, &name).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_of_several_secrets_comes_back_as_it_was() {
    let (cluster, name) = cluster().await;
    let run = Uuid::new_v4();
    let first = Arc::new(claim(&cluster, "first").await.unwrap());
    let mirror = ClusterMirror::open(&cluster, "openbao", first, run, Earlier::Keep)
        .await
        .unwrap();
    let mut journal = Vec::new();
    // The second one fills the first Secret to the byte.
    for length in [1000, 512 * 1024 - 1000] {
        let at = journal.len() as u64;
        let mut line: Vec<u8> = (0..length - 1)
            .map(|number: usize| b'a' + u8::try_from(number % 23).unwrap())
            .collect();
        line.push(b'\n');
        mirror.push(at, &line).await.unwrap();
        // As when its answer had been lost.
        mirror.push(at, &line).await.unwrap();
        journal.extend(line);
        assert!(mirror.read_back().await.unwrap() == journal);
        if journal.len() == 512 * 1024 {
            // Somebody takes over where a Secret is full.
            let claim = Claim::take_over(&cluster, "openbao", Claimant::named("next"))
                .await
                .unwrap();
            let next = ClusterMirror::take_up(&cluster, "openbao", Arc::new(claim))
                .await
                .unwrap()
                .unwrap();
            let late = mirror.push(journal.len() as u64, b"late\n").await;
            assert!(matches!(late, Err(MirrorError::Lost { .. })), "{late:?}");
            next.push(journal.len() as u64, b"in time\n").await.unwrap();
            journal.extend(b"in time\n");
            assert!(next.read_back().await.unwrap() == journal);
            break;
        }
    }
    let last = Arc::new(
        Claim::take_over(&cluster, "openbao", Claimant::named("last"))
            .await
            .unwrap(),
    );
    let mirror = ClusterMirror::take_up(&cluster, "openbao", last)
        .await
        .unwrap()
        .unwrap();
    let long = [vec![b'x'; 1_200_000], b"\n".to_vec()].concat();
    mirror.push(journal.len() as u64, &long).await.unwrap();
    journal.extend(long);
    assert!(mirror.read_back().await.unwrap() == journal);
    let secrets = cluster.api::<Secret>();
    let sizes: BTreeMap<String, usize> = secrets
        .list(&kube::api::ListParams::default().labels("app.kubernetes.io/managed-by=baoctl"))
        .await
        .unwrap()
        .into_iter()
        .map(|secret| {
            let data = secret.data.unwrap();
            (secret.metadata.name.unwrap(), data["journal"].0.len())
        })
        .collect();
    assert_eq!(sizes.len(), 4);
    assert!(sizes.values().all(|size| *size <= 512 * 1024), "{sizes:?}");
    gone(&cluster, &name).await;
}
