//! Ordinary secrets, many at a time, until the tree has the size that is wanted.

use std::path::Path;

use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::{Value, json};

use super::golden::KvSample;
use super::server::Server;
use super::special::{PLAIN, VERSIONED};
use crate::bao::Node;
use crate::meter::{Meter, Unit};
use crate::platform::local::LocalPlatform;
use crate::platform::{Error, Result};

/// Requests under way at a time.
const AT_ONCE: usize = 48;
/// Samples to keep of the ordinary secrets.
const SAMPLES: u64 = 300;

/// Writes until the source's tree holds at least `wanted` files; the number it holds then, and samples.
pub(super) async fn fill(
    server: &Server<'_>,
    platform: &LocalPlatform,
    wanted: u64,
    meter: &dyn Meter,
) -> Result<(u64, Vec<KvSample>)> {
    let keep_every = (wanted / SAMPLES).max(1);
    let mut samples = Vec::new();
    let (mut next, mut shown) = (0, 0);
    loop {
        let held = count(&platform.tree(server.node.name(), meter).await?).await?;
        meter.advance(Unit::Entries, held.saturating_sub(shown));
        shown = shown.max(held);
        if held >= wanted {
            return Ok((held, samples));
        }
        // Of three writes two are plain with a file each and one is versioned with two: four files.
        let missing = (wanted - held).min(5_000);
        let until = next + (missing * 3 / 4).max(3);
        let written: Vec<KvSample> = stream::iter(next..until)
            .map(|number| write(server, number))
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await?;
        next = until;
        let kept = written.into_iter().enumerate();
        samples.extend(
            kept.filter(|(index, _)| (*index as u64).is_multiple_of(keep_every))
                .map(|(_, sample)| sample),
        );
    }
}

async fn write(server: &Server<'_>, number: u64) -> Result<KvSample> {
    let value = json!({
        "user": format!("user-{number}"),
        "password": format!("{number:x}").repeat(usize::try_from(number % 40).unwrap_or_default() + 1),
    });
    let name = format!("team-{}/app-{number}", number % 64);
    let (path, body, pointer) = if number.is_multiple_of(3) {
        let path = format!("{VERSIONED}/data/{name}");
        (path, json!({"data": value}), "/data/data")
    } else {
        (format!("{PLAIN}/{name}"), Value::clone(&value), "/data")
    };
    server.put(&path, &body).await?;
    Ok(KvSample {
        path,
        version: None,
        pointer: pointer.to_owned(),
        value: Some(value),
    })
}

/// Files of the tree.
async fn count(data: &Path) -> Result<u64> {
    let data = data.to_owned();
    let counted = tokio::task::spawn_blocking(move || -> std::io::Result<u64> {
        let mut files = 0;
        let mut folders = vec![data];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder)? {
                let entry = entry?;
                if entry.file_type()?.is_dir() {
                    folders.push(entry.path());
                } else {
                    files += 1;
                }
            }
        }
        Ok(files)
    });
    counted
        .await
        .map_err(std::io::Error::other)
        .and_then(|counted| counted)
        .map_err(|error| Error::Refused(format!("the source's tree cannot be counted: {error}")))
}
