//! How many members there are at each point of a runbook, and what that means for its actions.

use super::model::Runbook;
use super::places::{Place, Places};
use super::validate::{Findings, Placed};
use crate::action::{ActionSpec, Members};

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
    for it in actions {
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

fn odd(at: Place, what: &str, number: u32, findings: &mut Findings) {
    if number.is_multiple_of(2) {
        let message =
            format!("`{what}: {number}` is even: a majority needs an odd number of voters");
        findings.error(at, message);
    }
}
