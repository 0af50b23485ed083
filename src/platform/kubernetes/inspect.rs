//! What is worth knowing of the cluster before a run.

use super::platform::KubernetesPlatform;
use crate::platform::{Remark, Result};

/// Every remark.
pub(super) async fn all(_platform: &KubernetesPlatform) -> Result<Vec<Remark>> {
    Ok(Vec::new())
}
