//! From a transport's failure to what the caller needs to know: was the call carried out?

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use crate::bao::Error;

/// A call as it is named in errors: the node, the method and the path, never a query or a body.
#[derive(Debug)]
pub(super) struct Call {
    /// The node's name.
    pub node: String,
    /// Method and path, for example `PUT sys/unseal`.
    pub name: String,
    /// The deadline it runs under.
    pub deadline: Duration,
    /// The token or share that the request carries.
    pub secret: Option<SecretString>,
}

impl Call {
    /// Names what the request carries, so that no error repeats it.
    pub fn carrying(mut self, secret: &SecretString) -> Self {
        self.secret = Some(secret.clone());
        self
    }

    /// Sorts a transport error by what it says about the outcome.
    pub fn transport(&self, error: &reqwest::Error) -> Error {
        // A connect timeout is both; nothing was sent, which is the stronger statement.
        if error.is_connect() || error.is_builder() {
            return self.unreachable(chain(error));
        }
        if error.is_timeout() {
            return self.timeout(self.deadline);
        }
        self.broken(chain(error))
    }

    /// The deadline passed.
    pub fn timeout(&self, after: Duration) -> Error {
        Error::Timeout {
            node: self.node.clone(),
            call: self.name.clone(),
            after,
        }
    }

    /// No connection came about.
    pub fn unreachable(&self, why: impl Into<String>) -> Error {
        Error::Unreachable {
            node: self.node.clone(),
            call: self.name.clone(),
            why: why.into(),
        }
    }

    /// The connection broke.
    pub fn broken(&self, why: impl Into<String>) -> Error {
        Error::Broken {
            node: self.node.clone(),
            call: self.name.clone(),
            why: why.into(),
        }
    }

    /// The answer is not what was expected.
    pub fn malformed(&self, why: impl Into<String>) -> Error {
        Error::Malformed {
            node: self.node.clone(),
            call: self.name.clone(),
            why: why.into(),
        }
    }

    /// The server said no, in these words; they may quote what was sent.
    pub fn status(&self, status: u16, mut errors: Vec<String>) -> Error {
        if let Some(secret) = &self.secret
            && !secret.expose_secret().is_empty()
        {
            for error in &mut errors {
                *error = error.replace(secret.expose_secret(), "[redacted]");
            }
        }
        Error::Status {
            node: self.node.clone(),
            call: self.name.clone(),
            status,
            errors,
        }
    }

    /// A standby pointed elsewhere.
    pub fn redirected(&self) -> Error {
        Error::Redirected {
            node: self.node.clone(),
            call: self.name.clone(),
        }
    }
}

/// The innermost reasons of an error; the outer ones repeat the address.
fn chain(error: &reqwest::Error) -> String {
    let mut reasons = Vec::new();
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        reasons.push(inner.to_string());
        source = inner.source();
    }
    reasons.dedup();
    if reasons.is_empty() {
        return "no further reason".to_owned();
    }
    reasons.join(": ")
}
