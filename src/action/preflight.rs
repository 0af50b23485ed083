//! Looks at everything that the later actions rely on, and notes what the source is.

use async_trait::async_trait;

use indicatif::HumanBytes;

use super::{Action, Checks, Context, Error, Evidence, Observation, Outcome, Result};
use crate::armed::Armed;
use crate::check;
use crate::event::{CheckStatus, Finding};

/// See [`super::ActionSpec::Preflight`].
pub struct Preflight;

#[async_trait]
impl Action for Preflight {
    fn title(&self, _: &Context) -> String {
        "check everything that the run relies on".to_owned()
    }

    async fn describe(&self, ctx: &Context) -> Result<Vec<String>> {
        if let Some(from) = &ctx.snapshot {
            return Ok(vec![
                format!("read {} to its end: sums, order, entries", from.path.display()),
                "open its sealed sums, its keyring and its cluster's identity with the unseal shares"
                    .to_owned(),
                "every member: look at its volume and its process; GET sys/seal-status".to_owned(),
                "try the change of the release without carrying it out".to_owned(),
            ]);
        }
        let first = ctx.first()?;
        Ok(vec![
            format!(
                "{first}: GET sys/seal-status, sys/mounts, sys/auth, sys/audit, auth/token/lookup-self; LIST sys/policies/acl; \
                 PUT sys/capabilities-self"
            ),
            format!("{first}: manifest of the file tree, made beside the data"),
            "every member: look at its volume and its process".to_owned(),
            "try the change of the release without carrying it out".to_owned(),
        ])
    }

    /// All of it only looks, so that a dry run does it too.
    async fn observe(&self, ctx: &Context) -> Result<Observation> {
        let checked = check::all(ctx).await?;
        let of = checked.findings.len();
        let failed: Vec<Finding> = checked
            .findings
            .iter()
            .filter(|finding| finding.status == CheckStatus::Fail)
            .cloned()
            .collect();
        match checked.source {
            Some(source) if failed.is_empty() => {
                let evidence = Evidence::new(format!(
                    "{}; {} entries, {}",
                    check::passed(&checked.findings),
                    source.entries,
                    HumanBytes(source.bytes)
                ))
                .with(&source)
                .with(&ctx.platform.release().await?)
                .with(&Checks(checked.findings));
                Ok(Observation::Done(match &checked.snapshot {
                    Some(snapshot) => evidence.with(snapshot),
                    None => evidence,
                }))
            }
            _ => Err(Error::Preflight { failed, of }),
        }
    }

    async fn apply(&self, _: &Context, _: Armed) -> Result<Outcome> {
        Err(Error::refused("preflight only looks"))
    }
}
