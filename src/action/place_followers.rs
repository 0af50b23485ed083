//! Has what each follower needs at its start where it will run, while clients are still served: binding a volume and pulling an
//! image take longer than all the rest of an outage, and a follower that no node has room for is better known before it.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::cluster::holds_no_raft;
use super::{Action, Context, Evidence, Observation, Outcome, Placed, Result};
use crate::armed::Armed;
use crate::event::Level;

/// See [`super::ActionSpec::PlaceFollowers`].
pub struct PlaceFollowers;

#[async_trait]
impl Action for PlaceFollowers {
    fn title(&self, _: &Context) -> String {
        "have volumes and image of each follower where it will run".to_owned()
    }

    async fn describe(&self, ctx: &Context) -> Result<Vec<String>> {
        if ctx.platform.flip_starts_members() {
            return Ok(Vec::new());
        }
        let calls = ctx.followers().into_iter().map(|member| {
            format!(
                "{member}: make its claims where they are absent; run a helper pod with them and the server's image on the node where \
                 it would run; look at its volume; remove the pod"
            )
        });
        Ok(calls.collect())
    }

    async fn observe(&self, ctx: &Context) -> Result<Observation> {
        if ctx.platform.flip_starts_members() {
            let why = "processes of this machine need no place";
            return Ok(Observation::NotApplicable(why.to_owned()));
        }
        let placed = ctx.find::<Placed>();
        Ok(placed.map_or(Observation::Pending, |placed| {
            Observation::Done(evidence(&placed))
        }))
    }

    async fn apply(&self, ctx: &Context, armed: Armed) -> Result<Outcome> {
        let mut nodes = BTreeMap::new();
        for member in ctx.followers() {
            if ctx.platform.instance(&member).await?.is_some() {
                continue;
            }
            ctx.meter.waiting(&format!("a place for {member}"));
            match ctx.platform.place_follower(&member, &armed).await? {
                Some(node) => {
                    nodes.insert(member, node);
                }
                None => ctx.note(
                    Level::Warn,
                    format!(
                        "{member} is placed by where the other members run by then (`topologySpreadConstraints`), and no place is held for \
                         it: its volumes are bound and its image is pulled when it starts, in the outage"
                    ),
                ),
            }
        }
        for member in nodes.keys() {
            holds_no_raft(ctx, member).await?;
        }
        Ok(evidence(&Placed { nodes }).into())
    }

    fn describe_undo(&self, _: &Context) -> Result<Vec<String>> {
        Ok(vec![
            "remove helper pods; the followers' claims stay".to_owned(),
        ])
    }

    async fn undo(&self, ctx: &Context, armed: Armed) -> Result<String> {
        ctx.platform.remove_leftovers(&armed).await?;
        Ok("no helper pod is left; the followers' claims stay".to_owned())
    }
}

fn evidence(placed: &Placed) -> Evidence {
    let nodes = placed.nodes.iter();
    let each: Vec<String> = nodes
        .map(|(member, node)| format!("{member} on {node}"))
        .collect();
    let words = match each.as_slice() {
        [] => "no follower was placed".to_owned(),
        each => format!("{}: volumes bound, image there", each.join(", ")),
    };
    Evidence::new(words).with(placed)
}
