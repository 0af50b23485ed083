//! What changes a release: one trait, one file per driver.

use std::fmt::Debug;

use async_trait::async_trait;

use super::access::Right;
use super::form::Form;
use super::helm_driver::HelmDriver;
use super::manifests::Manifests;
use super::manual::Manual;
use super::platform::{KubernetesPlatform, Options};
use crate::meter::Meter;
use crate::platform::{Aim, Before, Error, Flip, Result};

/// Who changes the release, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DriverKind {
    /// `helm upgrade` and `helm rollback`.
    #[default]
    Helm,
    /// Server-side apply of what is generated from the objects in the cluster.
    Manifests,
    /// A person, while the run waits.
    Manual,
}

impl DriverKind {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Helm, Self::Manifests, Self::Manual];

    /// As the command line and the journal name it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Helm => "helm",
            Self::Manifests => "manifests",
            Self::Manual => "manual",
        }
    }

    /// The one of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.name() == name)
    }
}

/// A change that was worked out, and tried as far as it can be without carrying it out.
#[derive(Debug)]
pub(super) struct Proposal {
    /// The release afterwards.
    pub(super) form: Form,
    /// What would be done, one line each.
    pub(super) calls: Vec<String>,
}

/// What a driver must do. All of it may be called again after a crash, also in another process on another machine.
#[async_trait]
pub(super) trait Driver: Debug + Send + Sync {
    /// The rights that it needs beside those of every run.
    fn rights(&self) -> &'static [Right];

    /// What going back to the release needs that is so `now`.
    async fn before(&self, at: &KubernetesPlatform, now: &Form) -> Result<Before>;

    /// Works the change to raft out and tries it; changes nothing.
    async fn propose(&self, at: &KubernetesPlatform, flip: &Flip) -> Result<Proposal>;

    /// What is left to a person, `None` where the driver acts itself.
    async fn by_hand(
        &self,
        _at: &KubernetesPlatform,
        _aim: Aim<'_>,
        _before: &Before,
    ) -> Result<Option<String>> {
        Ok(None)
    }

    /// Whether all that [`Driver::propose`] tells is left to a person.
    fn left_to_you(&self) -> bool {
        false
    }

    /// Why [`Flip::apart`] is not for this driver, where it is not.
    fn not_apart(&self) -> Option<&'static str> {
        None
    }

    /// Changes the release to raft; nothing to do when it is so. Replicas that were noted while members are kept away are
    /// forgotten with the change, not without one.
    async fn flip(
        &self,
        at: &KubernetesPlatform,
        flip: &Flip,
        before: &Before,
        meter: &dyn Meter,
    ) -> Result<()>;

    /// Makes the release again what it was; nothing to do when it is so.
    async fn revert(
        &self,
        at: &KubernetesPlatform,
        before: &Before,
        meter: &dyn Meter,
    ) -> Result<()>;
}

/// The driver that the options name.
pub(super) fn driver(options: &Options, context: &str) -> Result<Box<dyn Driver>> {
    Ok(match options.driver {
        DriverKind::Helm => Box::new(HelmDriver::new(options, context)?),
        DriverKind::Manifests => Box::new(Manifests {
            force: options.force_conflicts,
        }),
        DriverKind::Manual => Box::new(Manual),
    })
}

/// The release as it was, for a driver that nobody else keeps the history for.
pub(super) fn recorded(before: &Before) -> Result<Form> {
    Form::recorded(before)?.ok_or_else(|| {
        Error::Refused(
            "the record of the release as it was has no content: this run was begun with the driver helm".to_owned(),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_driver_is_known_by_its_name_again() {
        for kind in DriverKind::ALL {
            assert_eq!(DriverKind::named(kind.name()), Some(kind));
        }
        assert_eq!(DriverKind::named("flux"), None);
    }

    #[test]
    fn a_run_of_helm_has_no_content_to_go_back_to() {
        let of_helm = Before {
            revision: "3".to_owned(),
            content: None,
        };
        assert!(recorded(&of_helm).unwrap_err().to_string().contains("helm"));
    }
}
