//! How many members there are at each point of a runbook, and what that means for its actions.

use super::model::Runbook;
use super::places::{Place, Places};
use super::validate::{Findings, Placed};
use crate::action::{ActionSpec, Key, Members};

pub(super) fn validate(
    runbook: &Runbook,
    places: &Places,
    actions: &[Placed],
    findings: &mut Findings,
) {
    odd(places.replicas, "replicas", runbook.replicas, findings);
    // The last flip so far, as its place and the members that it makes.
    let mut flip: Option<(Place, u32)> = None;
    // The last copy so far, as its place and whether it has a graft.
    let mut copy: Option<(Place, bool)> = None;
    let mut opened = Opened::default();
    for it in actions {
        opened.take(it, flip.map_or(1, |(_, members)| members), findings);
        match (it.action, flip) {
            (ActionSpec::RehearseFlip { replicas }, _) => {
                odd(it.at, "replicas", *replicas, findings);
            }
            (ActionSpec::Flip { replicas }, earlier) => {
                odd(it.at, "replicas", *replicas, findings);
                if let Some((at, more)) = earlier.filter(|(_, earlier)| earlier > replicas) {
                    let message = format!(
                        "`flip` to {replicas} after the one to {more} in line {}: members are added, never taken away",
                        at.line
                    );
                    findings.error(it.at, message);
                }
                flip = Some((it.at, *replicas));
            }
            (ActionSpec::AwaitVoters { voters }, earlier) => {
                odd(it.at, "voters", *voters, findings);
                if let Some((at, members)) = earlier.filter(|(_, members)| members < voters) {
                    let message = format!(
                        "{voters} voters never come about: the `flip` in line {} makes {members}",
                        at.line
                    );
                    findings.error(it.at, message);
                }
            }
            (
                ActionSpec::Join {}
                | ActionSpec::Unseal {
                    members: Members::Followers,
                    ..
                },
                Some((at, 1)),
            ) => {
                let message = format!(
                    "`{}` has no effect here: the `flip` in line {} makes one member, which has no followers",
                    it.kind(),
                    at.line
                );
                findings.warn(it.at, message);
            }
            (ActionSpec::FinalCopy { graft }, _) => copy = Some((it.at, *graft)),
            (ActionSpec::Restore { .. }, Some((_, members @ 2..))) => {
                if let Some((at, false)) = copy {
                    let message = format!(
                        "`final-copy` needs `graft: true`: it is restored into {members} members in line {}, which would not find each other again",
                        it.at.line
                    );
                    findings.error(at, message);
                }
            }
            (ActionSpec::MoveNamespaces { .. }, Some((_, members @ 2..))) => {
                let message = format!(
                    "`move-namespaces` needs one member, not {members}: another one would be unsealed on what is not yet moved"
                );
                findings.error(it.at, message);
            }
            _ => {}
        }
    }
    if let Some((at, last)) = flip.filter(|(_, last)| *last != runbook.replicas) {
        let message = format!(
            "the last `flip` is to {last}, and `replicas` in line {} says {}",
            places.replicas.line, runbook.replicas
        );
        findings.error(at, message);
    }
}

/// What the actions so far make of a cluster of several members.
#[derive(Default)]
struct Opened {
    /// The throwaway cluster's followers have found their leader, are open, and vote.
    joined: bool,
    followers: bool,
    voters: u32,
    /// The data was brought, to so many, and nothing was opened with the old key since.
    sealed: Option<u32>,
}

impl Opened {
    fn take(&mut self, it: &Placed, members: u32, findings: &mut Findings) {
        match it.action {
            ActionSpec::Init {} => *self = Self::default(),
            ActionSpec::Restore { .. } => {
                self.whole(it.at, members, findings);
                self.sealed = Some(members);
            }
            ActionSpec::OperatorMigrate {} => self.sealed = Some(members),
            ActionSpec::Join {} | ActionSpec::AwaitVoters { .. } if self.sealed.is_some() => {
                let message = format!(
                    "`{}` comes before anything is opened with the old key since the data was brought: `unseal` with `key: old` first",
                    it.kind()
                );
                findings.error(it.at, message);
            }
            ActionSpec::Join {} => self.joined = true,
            ActionSpec::AwaitVoters { voters } => self.voters = *voters,
            ActionSpec::Unseal {
                members: which,
                key: Key::Old,
            } => {
                if let Some(sealed @ 2..) = self.sealed
                    && *which == Members::First
                {
                    let message = format!(
                        "one of {sealed} members finds no majority, and nothing is served: `members: all`"
                    );
                    findings.error(it.at, message);
                }
                self.sealed = None;
            }
            ActionSpec::Unseal { members: which, .. } => self.followers |= *which != Members::First,
            _ => {}
        }
    }

    /// A restore goes to a leader, and whoever is no voter by then misses it.
    fn whole(&self, at: Place, members: u32, findings: &mut Findings) {
        if members < 2 {
            return;
        }
        let needs = [
            (self.joined, "join".to_owned()),
            (
                self.followers,
                "unseal: {members: followers, key: throwaway}".to_owned(),
            ),
            (
                self.voters == members,
                format!("await-voters: {{voters: {members}}}"),
            ),
        ];
        if let Some((_, need)) = needs.iter().find(|(there, _)| !there) {
            let message = format!(
                "`restore` into {members} members needs `{need}` between `init` and it: one that is no voter by then misses the data"
            );
            findings.error(at, message);
        }
    }
}

fn odd(at: Place, what: &str, number: u32, findings: &mut Findings) {
    if number.is_multiple_of(2) {
        let message =
            format!("`{what}: {number}` is even: a majority needs an odd number of voters");
        findings.error(at, message);
    }
}
