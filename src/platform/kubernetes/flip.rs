//! The change of the release to raft, tried or done, and the way back: what is the same whoever changes it.

use k8s_openapi::api::core::v1::Service;
use kube::api::ListParams;
use similar::TextDiff;

use super::apart::{apart, stands_apart, within_reach};
use super::client::call;
use super::config::{Peers, ServerConfig, on_raft};
use super::form::Form;
use super::platform::KubernetesPlatform;
use super::pods::spec_replicas;
use crate::meter::Meter;
use crate::platform::{Before, Error, Flip, FlipPlan, Result, StorageKind};

/// The label by which a Service selects the leader, and the one that names its release.
const ACTIVE: &str = "openbao-active";
const INSTANCE: &str = "app.kubernetes.io/instance";

impl KubernetesPlatform {
    /// The members' addresses as they see each other.
    fn peers(&self, config: &ServerConfig, register: bool) -> Peers {
        let scheme = if config.tls { "https" } else { "http" };
        let layout = &self.layout;
        Peers {
            register,
            addresses: (0..self.options.members)
                .map(|it| {
                    format!(
                        "{scheme}://{}.{}:{}",
                        layout.member(it),
                        layout.service,
                        config.port
                    )
                })
                .collect(),
            ca_file: layout.ca_file.clone().filter(|_| config.tls),
            server_name: layout.common_host().filter(|_| config.tls),
        }
    }

    /// A configuration's text with raft in place of its storage. With `register` the servers label their pods, by which a
    /// Service finds the leader.
    pub(super) async fn raft_text(
        &self,
        text: &str,
        flip: &Flip,
        register: bool,
    ) -> Result<String> {
        let live = self.server_config().await?;
        let text = on_raft(&within_reach(text), flip, &self.peers(&live, register))?;
        if flip.apart { apart(&text) } else { Ok(text) }
    }

    /// Whether a Service that is there selects the leader by its labels.
    pub(super) async fn leader_selected(&self) -> Result<bool> {
        let services = self.cluster.api::<Service>();
        let all = call("listing Services", services.list(&ListParams::default())).await?;
        Ok(all.items.iter().any(|it| self.selects_leader(it)))
    }

    /// Whether a Service selects the leader of this release by its labels.
    pub(super) fn selects_leader(&self, service: &Service) -> bool {
        let selector = service
            .spec
            .as_ref()
            .and_then(|spec| spec.selector.as_ref());
        selector.is_some_and(|selector| {
            selector.contains_key(ACTIVE) && selector.get(INSTANCE) == Some(&self.options.release)
        })
    }

    /// The release as it is now.
    pub(super) async fn form(&self) -> Result<Form> {
        Ok(Form::of(
            &self.stateful_set().await?,
            self.config_text().await?,
        ))
    }

    /// Tries the flip, and refuses one that would change more than the storage or that no cluster comes of.
    pub(super) async fn try_flip(&self, flip: &Flip) -> Result<FlipPlan> {
        let set = self.stateful_set().await?;
        let now = Form::of(&set, self.config_text().await?);
        let proposal = self.driver.propose(self, flip).await?;
        let found = now.faults_on_raft(&proposal.form, flip);
        if !found.is_empty() {
            return Err(Error::Refused(format!(
                "the change to raft would not do, or would change more than that: {}",
                found.join("; ")
            )));
        }
        let mut calls = proposal.calls;
        calls.push(format!(
            "leave {} as it runs until it is replaced",
            self.layout.member(0)
        ));
        for ordinal in spec_replicas(&set)..flip.replicas {
            calls.push(format!(
                "StatefulSet {} starts {}",
                self.layout.set,
                self.layout.member(ordinal)
            ));
        }
        Ok(FlipPlan {
            calls,
            diff: diff(&now.config, ("now", &proposal.form.config, "raft")),
            left_to_you: self.driver.left_to_you(),
        })
    }

    /// Whether the release is as the flip makes it.
    pub(super) async fn is_flipped(&self, flip: &Flip, before: &Before) -> Result<bool> {
        let now = self.form().await?;
        if let Some(was) = Form::recorded(before)? {
            return Ok(was.faults_on_raft(&now, flip).is_empty());
        }
        let kind = ServerConfig::parse(&now.config)?.kind()?;
        Ok(kind == StorageKind::Raft
            && now.replicas == flip.replicas
            && stands_apart(&now.config) == flip.apart)
    }

    /// Makes the release again what it was, and waits until no more members exist than that has.
    pub(super) async fn do_revert(&self, before: &Before, meter: &dyn Meter) -> Result<()> {
        self.driver.revert(self, before, meter).await?;
        self.release_replicas().await?;
        let set = self.stateful_set().await?;
        self.until_scaled_away(spec_replicas(&set)).await
    }
}

/// The difference between two configurations, with what each is called.
fn diff(before: &str, (now, after, then): (&str, &str, &str)) -> String {
    TextDiff::from_lines(before, after)
        .unified_diff()
        .header(
            &format!("server configuration ({now})"),
            &format!("server configuration ({then})"),
        )
        .to_string()
}
