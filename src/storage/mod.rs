//! OpenBao's storage formats, streaming and without any policy on where the bytes come from or go to.

/// PLACEHOLDER until the storage branch lands.
#[derive(Debug, thiserror::Error)]
#[error("storage")]
pub struct Error;
/// PLACEHOLDER until the storage branch lands.
#[derive(Debug, Clone)]
pub struct Manifest;
