//! What the operator's token must be good for until the end of the run.

use std::time::Duration;

use secrecy::SecretString;

use super::Result;
use crate::bao::{Node, TokenDetails};

/// Where the least policy stands, for hints.
pub const POLICY: &str = "docs/policy.hcl";
/// What must be left of a token when a run begins: backups and the proof are ahead, and the outage.
pub const FOR_A_RUN: Duration = Duration::from_hours(1);
/// What must be left of it when the source is sealed: nobody can renew it before the new cluster serves.
pub const FOR_THE_OUTAGE: Duration = Duration::from_mins(30);

/// The calls that a run makes with the token, by path, and the capabilities that each needs; `docs/policy.hcl` says what for.
const NEEDS: [(&str, &[&str]); 11] = [
    ("auth/token/lookup-self", &["read"]),
    ("sys/capabilities-self", &["update"]),
    ("sys/mounts", &["read"]),
    ("sys/auth", &["read"]),
    ("sys/audit", &["read", "sudo"]),
    ("sys/policies/acl", &["list"]),
    ("sys/seal", &["update", "sudo"]),
    ("sys/wrapping/wrap", &["update"]),
    ("sys/storage/raft/configuration", &["read"]),
    ("sys/storage/raft/autopilot/state", &["read"]),
    ("sys/storage/raft/snapshot", &["read"]),
];

/// Why a token does not last as long as it is needed, and what to do; `None` when it does.
pub fn short_of(token: &TokenDetails, needed: Duration) -> Option<(String, String)> {
    let another = format!(
        "give one that does: `bao token create -orphan -policy=baoctl -ttl=12h`, with the policy in {POLICY}"
    );
    if token.num_uses != 0 {
        return Some((
            format!("the token is good for {} more calls", token.num_uses),
            format!("a run makes as many as it takes; {another}"),
        ));
    }
    let left = token.left().filter(|left| *left < needed)?;
    let renew = if token.renewable {
        "renew it (`bao token renew`), or "
    } else {
        ""
    };
    Some((
        format!(
            "the token expires in {} minutes, and {} are needed",
            left.as_secs() / 60,
            needed.as_secs() / 60
        ),
        format!("{renew}{another}"),
    ))
}

/// What the token may not do that a run does, each as `path (capabilities)`. Errors are those of the call.
pub async fn denied(node: &dyn Node, token: &SecretString) -> Result<Vec<String>> {
    let has = node
        .capabilities(token, &NEEDS.map(|(path, _)| path))
        .await?;
    let lacks = |(path, needs): &(&str, &[&str])| {
        let granted = has.get(*path).map_or(&[][..], Vec::as_slice);
        let grants = |name: &str| granted.iter().any(|granted| granted == name);
        let missing: Vec<&str> = needs.iter().copied().filter(|need| !grants(need)).collect();
        (!grants("root") && !missing.is_empty()).then(|| format!("{path} ({})", missing.join(", ")))
    };
    Ok(NEEDS.iter().filter_map(lacks).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token() -> TokenDetails {
        TokenDetails {
            kind: "service".to_owned(),
            policies: vec!["baoctl".to_owned()],
            ttl: 3600,
            expire_time: Some("2026-01-01T00:00:00Z".to_owned()),
            renewable: true,
            num_uses: 0,
            orphan: true,
        }
    }

    #[test]
    fn a_token_must_outlast_the_run() {
        assert_eq!(short_of(&token(), FOR_A_RUN), None);
        let mut late = token();
        late.ttl = 1799;
        let (why, next) = short_of(&late, FOR_THE_OUTAGE).unwrap();
        assert_eq!(why, "the token expires in 29 minutes, and 30 are needed");
        assert!(next.starts_with("renew it"), "{next}");
        late.renewable = false;
        let (_, next) = short_of(&late, FOR_THE_OUTAGE).unwrap();
        assert!(next.starts_with("give one"), "{next}");
        // Rounded down to nothing, and about to go.
        late.ttl = 0;
        assert!(short_of(&late, FOR_THE_OUTAGE).is_some());
        late.expire_time = None;
        assert_eq!(short_of(&late, FOR_THE_OUTAGE), None);
        late.num_uses = 400;
        assert!(short_of(&late, FOR_THE_OUTAGE).is_some());
    }

    #[test]
    fn the_policy_grants_what_is_needed_and_nothing_else() {
        let text = include_str!("../../docs/policy.hcl");
        let mut granted = Vec::new();
        for line in text.lines().filter(|line| line.starts_with("path ")) {
            let quoted: Vec<&str> = line.split('"').skip(1).step_by(2).collect();
            granted.push((quoted[0], quoted[1..].to_vec()));
        }
        let needed = NEEDS.map(|(path, needs)| (path, needs.to_vec()));
        assert_eq!(granted, needed);
    }
}
