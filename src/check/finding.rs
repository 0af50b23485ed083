//! How checks report, and the order they are made in.

use crate::action::{Context, Result, Snapshot, Source};
use crate::event::{CheckStatus, Event, Finding};
use crate::platform::Flip;

/// All findings, and the source when enough of it could be seen.
#[derive(Debug, Default)]
pub struct Checked {
    /// In the order they were made.
    pub findings: Vec<Finding>,
    /// What the later actions need to know of the source.
    pub source: Option<Source>,
    /// The same of the snapshot that is there in its place.
    pub snapshot: Option<Snapshot>,
}

/// Collects a group's findings and tells each at once.
pub(super) struct Group<'a> {
    name: &'static str,
    ctx: &'a Context,
    checked: &'a mut Checked,
}

impl<'a> Group<'a> {
    pub(super) const fn new(
        name: &'static str,
        ctx: &'a Context,
        checked: &'a mut Checked,
    ) -> Self {
        Self { name, ctx, checked }
    }

    pub(super) fn pass(&mut self, id: &'static str, message: impl Into<String>) {
        self.tell(id, CheckStatus::Pass, message.into(), String::new());
    }

    pub(super) fn warn(
        &mut self,
        id: &'static str,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.tell(id, CheckStatus::Warn, message.into(), hint.into());
    }

    pub(super) fn fail(
        &mut self,
        id: &'static str,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.tell(id, CheckStatus::Fail, message.into(), hint.into());
    }

    fn tell(&mut self, id: &'static str, status: CheckStatus, message: String, hint: String) {
        let finding = Finding {
            id: id.to_owned(),
            group: self.name.to_owned(),
            status,
            message,
            hint,
        };
        self.ctx.observer.observe(&Event::Check(finding.clone()));
        self.checked.findings.push(finding);
    }
}

/// How many passed, and how many of the findings warn, where none failed.
pub fn passed(findings: &[Finding]) -> String {
    let warnings = findings
        .iter()
        .filter(|finding| finding.status == CheckStatus::Warn)
        .count();
    let passed = findings.len() - warnings;
    match warnings {
        0 => format!("all {passed} checks passed"),
        1 => format!("{passed} checks passed, 1 warning"),
        _ => format!("{passed} checks passed, {warnings} warnings"),
    }
}

/// An action of the runbook lacks something, for which a run would refuse to begin.
pub fn lacking(ctx: &Context, why: String, checked: &mut Checked) {
    let mut group = Group::new("runbook", ctx, checked);
    group.fail("runbook-lacks", why, "a run would refuse to begin");
}

/// Makes every check. An error is a check that could not be made at all.
pub async fn all(ctx: &Context) -> Result<Checked> {
    let mut checked = Checked::default();
    super::release::place(ctx, &mut checked).await?;
    if let Some(from) = &ctx.snapshot {
        super::snapshot::check(ctx, from, &mut checked).await?;
        return Ok(checked);
    }
    super::release::check(ctx, &mut checked).await?;
    let server = super::server::check(ctx, &mut checked).await?;
    let data = super::data::check(ctx, server.as_ref(), &mut checked).await?;
    super::room::check(ctx, data.bytes, &mut checked).await?;
    let storage = ctx.platform.release().await?.storage;
    checked.source = server.map(|status| Source {
        version: status.version,
        storage,
        shares: status.n,
        threshold: status.t,
        cluster_id: status.cluster_id.unwrap_or_default(),
        entries: data.entries,
        bytes: data.bytes,
        max_entry_size: data.max_entry_size,
        namespaces: data.namespaces,
    });
    if checked.source.is_some() {
        super::room::upload(ctx, data.bytes, &mut checked).await?;
        let flip = Flip::new(ctx.replicas, data.max_entry_size);
        super::release::rehearse(ctx, &flip, &mut checked).await?;
    }
    Ok(checked)
}
