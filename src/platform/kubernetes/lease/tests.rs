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
fn this_process_knows_itself() {
    let Some(this) = Process::this() else {
        return;
    };
    assert_eq!(Process::parse(&this.to_string()), Some(this.clone()));
    assert!(!this.is_gone(Some(&this), start_of));
    let earlier = Process {
        start: this.start + 1,
        ..this.clone()
    };
    assert!(earlier.is_gone(Some(&this), start_of));
    assert!(!earlier.is_gone(None, start_of));
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
