//! The declarative runbooks: YAML model, loading and validation with line and column, JSON schema, and those built in.

mod changed;
mod embedded;
mod error;
mod load;
mod members;
mod model;
mod nearest;
mod order;
mod own;
mod parts;
mod places;
mod raw;
mod schema;
mod validate;

pub use changed::diff;
pub use embedded::{EMBEDDED, Loaded};
pub use error::{Error, Finding, Result, Severity};
pub use model::{Runbook, Step, VERSION};
pub use order::BRING_DATA;
pub use schema::schema;
