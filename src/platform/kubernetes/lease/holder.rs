//! What a Lease says of who holds the claim, and whether that still counts.

use std::fmt;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::jiff::Timestamp;

use super::claimant::Process;

/// How long a claim lasts without being renewed.
pub(super) const LASTS: Duration = Duration::from_secs(30);
/// What identifies the holder's process, for another process of the same machine.
pub(super) const PROCESS: &str = "baoctl/process";

/// Who holds the claim on a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// `user@host pid N run UUID`.
    pub identity: String,
    /// Since when, by its own clock.
    pub since: Option<Timestamp>,
    /// When it was last there, by its own clock.
    pub seen: Option<Timestamp>,
    pub(super) lease: String,
    pub(super) namespace: String,
}

impl Holder {
    /// Whether it may be there still: it was seen less than the Lease's time ago, as far as two clocks agree.
    pub fn may_be_there(&self) -> bool {
        let age = |seen: Timestamp| Timestamp::now().as_second() - seen.as_second();
        let lasts = i64::try_from(LASTS.as_secs()).unwrap_or(i64::MAX);
        self.seen.is_some_and(|seen| age(seen) < lasts)
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = |at: Option<Timestamp>| {
            at.map_or_else(|| "an unknown time".to_owned(), |at| format!("{at:.0}"))
        };
        write!(
            formatter,
            "the release is being migrated by {}, since {}, last seen {} (Lease {} in namespace {}); wait for it to end or \
             stop it. When its machine is gone, `baoctl resume --from-cluster` takes the run over",
            self.identity,
            time(self.since),
            time(self.seen),
            self.lease,
            self.namespace
        )
    }
}

/// What stands in the way of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing.
    Free,
    /// A holder who was there a moment ago, by its own clock, which may be wrong.
    Alive,
    /// A holder of whom only waiting can tell whether it is there.
    Unknown,
}

/// Judges a Lease. `unchanged` is how long it was seen here as it is: the only time that counts, as clocks differ.
pub(super) fn judge(
    lease: &Lease,
    here: Option<&Process>,
    unchanged: Duration,
    now: Timestamp,
    start_of: impl Fn(u32) -> Option<u64>,
) -> Verdict {
    let spec = lease.spec.clone().unwrap_or_default();
    if holder_of(lease).is_none() {
        return Verdict::Free;
    }
    let holder = lease.metadata.annotations.as_ref();
    let holder = holder
        .and_then(|all| all.get(PROCESS))
        .and_then(|it| Process::parse(it));
    if holder.is_some_and(|holder| holder.is_gone(here, start_of)) {
        return Verdict::Free;
    }
    let lasts = spec
        .lease_duration_seconds
        .and_then(|seconds| u64::try_from(seconds).ok())
        .map_or(LASTS, Duration::from_secs);
    if unchanged >= lasts {
        return Verdict::Free;
    }
    let age = spec
        .renew_time
        .map(|at| now.as_millisecond() - at.0.as_millisecond());
    // A wrong clock can only make this refuse, never take.
    match age.map(u64::try_from) {
        Some(Ok(age)) if Duration::from_millis(age) < lasts => Verdict::Alive,
        _ => Verdict::Unknown,
    }
}

pub(super) fn holder_of(lease: &Lease) -> Option<&str> {
    let holder = lease.spec.as_ref()?.holder_identity.as_deref()?;
    (!holder.is_empty()).then_some(holder)
}

pub(super) fn epoch_of(lease: &Lease) -> u64 {
    let transitions = lease.spec.as_ref().and_then(|spec| spec.lease_transitions);
    transitions
        .and_then(|count| u64::try_from(count).ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::coordination::v1::LeaseSpec;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};

    use super::super::lease_name;
    use super::*;

    const HERE: &str = "boot-1 pid:[1] 10 500";

    fn lease(holder: &str, process: Option<&str>, renewed: &str) -> Lease {
        Lease {
            metadata: ObjectMeta {
                annotations: process.map(|it| [(PROCESS.to_owned(), it.to_owned())].into()),
                ..ObjectMeta::default()
            },
            spec: Some(LeaseSpec {
                holder_identity: Some(holder.to_owned()),
                lease_duration_seconds: Some(30),
                renew_time: Some(MicroTime(renewed.parse().unwrap())),
                lease_transitions: Some(3),
                ..LeaseSpec::default()
            }),
        }
    }

    /// As it looks at 12:00:00 by this machine's clock.
    fn judged(lease: &Lease, unchanged: u64, running: Option<u64>) -> Verdict {
        let here = Process::parse(HERE);
        let now = "2026-01-01T12:00:00Z".parse().unwrap();
        let unchanged = Duration::from_secs(unchanged);
        judge(lease, here.as_ref(), unchanged, now, |_| running)
    }

    #[test]
    fn a_lease_that_nobody_has_is_free() {
        let unheld = lease("", None, "2026-01-01T12:00:00Z");
        assert_eq!(judged(&unheld, 0, None), Verdict::Free);
        assert_eq!(judged(&Lease::default(), 0, None), Verdict::Free);
    }

    #[test]
    fn no_clock_gives_a_claim_away() {
        // Just renewed; long ago, or a clock that is behind; a clock that is ahead.
        for (renewed, verdict) in [
            ("2026-01-01T11:59:45Z", Verdict::Alive),
            ("2026-01-01T11:00:00Z", Verdict::Unknown),
            ("2020-01-01T00:00:00Z", Verdict::Unknown),
            ("2026-01-01T13:00:00Z", Verdict::Unknown),
        ] {
            let held = lease("a", None, renewed);
            assert_eq!(judged(&held, 0, None), verdict, "{renewed}");
            assert_eq!(judged(&held, 29, None), verdict, "{renewed}");
            // Watched for as long as it lasts, and nobody renewed it.
            assert_eq!(judged(&held, 30, None), Verdict::Free, "{renewed}");
        }
    }

    #[test]
    fn a_process_of_this_machine_that_is_gone_holds_nothing() {
        let fresh = "2026-01-01T11:59:59Z";
        let verdict = |process, running| judged(&lease("a", Some(process), fresh), 0, running);
        assert_eq!(verdict("boot-1 pid:[1] 7 90", None), Verdict::Free);
        // Its number was given to another process since.
        assert_eq!(verdict("boot-1 pid:[1] 7 90", Some(91)), Verdict::Free);
        assert_eq!(verdict("boot-1 pid:[1] 7 90", Some(90)), Verdict::Alive);
        // Another machine, another container, or an earlier boot: its numbers say nothing here.
        assert_eq!(verdict("boot-2 pid:[1] 7 90", None), Verdict::Alive);
        assert_eq!(verdict("boot-1 pid:[2] 7 90", None), Verdict::Alive);
        assert_eq!(verdict("nonsense", None), Verdict::Alive);
    }

    #[test]
    fn a_refusal_says_who_since_when_and_what_to_do() {
        let holder = Holder {
            identity: "me@laptop pid 7 run x".to_owned(),
            since: Some("2026-01-01T11:00:00Z".parse().unwrap()),
            seen: None,
            lease: lease_name("openbao"),
            namespace: "bao".to_owned(),
        };
        assert_eq!(
            holder.to_string(),
            "the release is being migrated by me@laptop pid 7 run x, since 2026-01-01T11:00:00Z, last seen an unknown time \
             (Lease baoctl-openbao in namespace bao); wait for it to end or stop it. When its machine is gone, `baoctl resume \
             --from-cluster` takes the run over"
        );
    }
}
