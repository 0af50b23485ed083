//! Making a source server with sample data.

use secrecy::{ExposeSecret, SecretString};

use super::golden::Golden;
use super::server::{Server, unseal};
use super::{children, fill, special};
use crate::armed::Armed;
use crate::bao::Node;
use crate::meter::{Meter, Unit};
use crate::platform::local::{LocalPlatform, binary};
use crate::platform::{Error, Platform, Result, SecretData, SecretName};

/// How much to make.
#[derive(Debug, Clone, Copy)]
pub struct SampleOptions {
    /// Files that the tree shall hold at least.
    pub entries: u64,
    /// Unseal shares.
    pub shares: u32,
    /// Shares needed to unseal.
    pub threshold: u32,
    /// Also a value over raft's default `max_entry_size`.
    pub large: bool,
    /// Also child namespaces, nested ones too.
    pub namespaces: bool,
}

impl Default for SampleOptions {
    fn default() -> Self {
        Self {
            entries: 2_000,
            shares: 5,
            threshold: 3,
            large: false,
            namespaces: false,
        }
    }
}

/// Starts the first member, initialises it, keeps its keys in the Secret of the release and
/// fills it. What it holds is returned and kept in [`LocalPlatform::golden_file`].
pub async fn make_source(
    platform: &LocalPlatform,
    options: SampleOptions,
    meter: &dyn Meter,
) -> Result<Golden> {
    // No journal: a server that this run has made itself has nothing to lose.
    let armed = Armed::for_own_server();
    let first = first_member(platform).await?;
    meter.waiting("the first start of the source");
    platform.replace(&first, &armed).await?;
    let node = platform.http_node(&first)?;
    let keys = node.init(options.shares, options.threshold, &armed).await?;
    keep_keys(platform, &keys.shares, &keys.root_token, &armed).await?;
    unseal(platform, &node, &keys.shares, &armed).await?;

    let server = Server {
        node,
        token: keys.root_token,
        armed: &armed,
    };
    meter.total(Unit::Entries, options.entries);
    let mut golden = special::make(&server, options.large).await?;
    if options.namespaces {
        golden.namespaces = children::make(&server).await?;
    }
    let (entries, samples) = fill::fill(&server, platform, options.entries, meter).await?;
    golden.entries = entries;
    golden.kv.extend(samples);
    golden.save(&platform.golden_file())?;
    Ok(golden)
}

/// The source, of which nothing may exist yet.
pub(super) async fn first_member(platform: &LocalPlatform) -> Result<String> {
    let first = platform
        .members()
        .into_iter()
        .next()
        .ok_or_else(|| Error::Refused("the release has no member".to_owned()))?;
    binary::check_serves(platform.version().await?, platform.topology().source())?;
    let volume = platform.volume(&first).await?;
    let holds = volume.file_tree || volume.store || volume.raft_files;
    if holds || platform.instance(&first).await?.is_some() {
        return Err(Error::Refused(format!(
            "{} holds a server's data already; name a new work folder",
            platform.work_dir().display()
        )));
    }
    Ok(first)
}

/// Keeps shares and token where the release's auto-unseal hook would read them.
pub(super) async fn keep_keys(
    platform: &LocalPlatform,
    shares: &[SecretString],
    token: &SecretString,
    armed: &Armed,
) -> Result<()> {
    let lines: Vec<&str> = shares.iter().map(ExposeSecret::expose_secret).collect();
    let data = SecretData::from([
        (
            "unseal-key".to_owned(),
            SecretString::from(lines.join("\n")),
        ),
        ("root-token".to_owned(), token.clone()),
    ]);
    platform
        .write_secret(SecretName::Unseal, &data, armed)
        .await
}
