//! What a rehearsal does after the runbook's last step.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use uuid::Uuid;

use super::{KEEP, told};
use crate::action::cleanup::COPIES;
use crate::action::{KEEP_KEYS, Keys, UNSEAL_KEY};
use crate::bao::{Health, Node};
use crate::engine::Program;
use crate::event::Observer;
use crate::meter::Meter;
use crate::platform::local::{Golden, LocalPlatform, verify};
use crate::platform::{Error, Platform, Result, SecretName};
use crate::storage::save_private;

/// What a finished rehearsal has no more use for, beside the copies of the data.
const REMAINS: &str = "final.snap.values";

/// What a rehearsal found, by name.
type Facts = BTreeMap<String, String>;

/// After the last step: reads the sample back through every member, where the data was to come with it, then clears up.
pub(in crate::cli) async fn epilogue(
    platform: &LocalPlatform,
    observer: &Arc<dyn Observer>,
    program: &Program,
    run: Uuid,
) -> Result<Facts> {
    if platform.run_dir().join(KEEP).is_file() {
        let mut facts = prove(platform, observer, program).await?;
        facts.insert(
            "servers".to_owned(),
            format!("left running in {}", platform.work_dir().display()),
        );
        return Ok(facts);
    }
    // One that was killed while it cleared up has proved it, and its servers can't be asked again.
    let path = platform.run_dir().join(format!("proved-{run}.json"));
    let facts = if let Some(facts) = proved(&path) {
        facts
    } else {
        let facts = prove(platform, observer, program).await?;
        let text = serde_json::to_vec(&facts).unwrap_or_default();
        save_private(&path, &text).map_err(|error| Error::Refused(error.to_string()))?;
        facts
    };
    let head = ("rehearsal", "clear-up", "stop the servers");
    told(observer, head, async |_| {
        platform.kill_all().await?;
        for member in platform.members() {
            let node = platform.work_dir().join("nodes").join(&member);
            for copy in ["data", "laid-out"] {
                let _ = std::fs::remove_dir_all(node.join(copy));
            }
        }
        for name in COPIES.into_iter().chain([REMAINS]) {
            let _ = std::fs::remove_file(platform.run_dir().join(name));
        }
        Result::Ok(((), "report and journal are kept".to_owned()))
    })
    .await?;
    Ok(facts)
}

/// What an earlier process of this run proved, where it came so far.
fn proved(path: &Path) -> Option<Facts> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

/// Asks every member, and says what each of them knows.
async fn prove(
    platform: &LocalPlatform,
    observer: &Arc<dyn Observer>,
    program: &Program,
) -> Result<Facts> {
    let new_keys = program.has(KEEP_KEYS);
    if !new_keys && !platform.golden_file().is_file() {
        return Ok(Facts::new());
    }
    all_run(platform)?;
    let (name, said) = if new_keys {
        let title = "open every member with the new keys";
        told(observer, ("rehearsal", "new-keys", title), async |_| {
            let token = unseal_keys(platform).await?.token;
            for member in platform.members() {
                platform.http_node(&member)?.lookup_self(&token).await?;
            }
            Result::Ok(((), "each knows the new token".to_owned()))
        })
        .await?;
        let said = "in the unseal Secret, and every member knows them";
        ("new keys", said.to_owned())
    } else {
        let title = "read the sample data back through every member";
        let checked = told(observer, ("rehearsal", "read-back", title), async |meter| {
            let checked = read_back(platform, meter.as_ref()).await?;
            Result::Ok((checked, format!("{checked} things, as they were")))
        })
        .await?;
        let said = format!("{checked} things, through every member");
        ("sample data read back with the old token", said)
    };
    Ok(Facts::from([(name.to_owned(), said)]))
}

/// Refuses what a machine that went down leaves: no step starts a server after the last one.
fn all_run(platform: &LocalPlatform) -> Result<()> {
    let members = platform.members();
    let status = platform.status()?;
    let down: Vec<&str> = status
        .iter()
        .filter(|server| server.instance.is_none() && members.contains(&server.name))
        .map(|server| server.name.as_str())
        .collect();
    if down.is_empty() {
        return Ok(());
    }
    Err(Error::Refused(format!(
        "the migration ended well, but {} went down before the data was read back through every member: rehearse again",
        down.join(", ")
    )))
}

async fn unseal_keys(platform: &LocalPlatform) -> Result<Keys> {
    let secret = platform.secret(SecretName::Unseal).await?;
    secret.as_ref().and_then(Keys::from_secret).ok_or_else(|| {
        let why = format!("the unseal Secret has no `{UNSEAL_KEY}` after the migration");
        Error::Refused(why)
    })
}

async fn read_back(platform: &LocalPlatform, meter: &dyn Meter) -> Result<u64> {
    let keys = unseal_keys(platform).await?;
    let golden = Golden::load(&platform.golden_file())?;
    let mut checked = 0;
    for member in platform.members() {
        meter.waiting(&member);
        let node = platform.http_node(&member)?;
        let active = node.health().await? == Health::Active;
        checked += verify(&golden, &node, &keys.token, active).await?;
    }
    Ok(checked)
}
