//! `baoctl runbook`.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde_json::json;

use super::Exit;
use super::exit::fail;
use crate::runbook::{self, Finding, Loaded};
use crate::ui;

/// List, show and check runbooks
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List the built-in runbooks
    List,
    /// Print a built-in runbook, to read or to begin your own with
    Show {
        /// Its name
        name: String,
    },
    /// Check a runbook file; every finding has its line and column
    ///
    /// An error ends with exit code 2: no run begins with such a file. A warning alone ends with 0.
    Validate {
        /// The file
        file: PathBuf,
        /// Print one JSON object instead of text
        #[arg(long)]
        json: bool,
    },
    /// Print the JSON schema of runbooks, for editors
    Schema,
}

pub(super) fn run(args: Args) -> Exit {
    match args.command {
        Verb::List => {
            for (name, _) in runbook::EMBEDDED {
                match Loaded::resolve(name) {
                    Ok(loaded) => ui::line(&format!("{name:<20} {}", loaded.runbook.title)),
                    Err(error) => return fail(error, &[], Exit::Failed),
                }
            }
            Exit::Done
        }
        Verb::Show { name } => match Loaded::resolve(&name) {
            Ok(loaded) => {
                ui::text(&loaded.text);
                Exit::Done
            }
            Err(error) => fail(error, &["baoctl runbook list"], Exit::Usage),
        },
        Verb::Validate { file, json } => validate(&file, json),
        Verb::Schema => {
            ui::text(&format!("{:#}\n", runbook::schema()));
            Exit::Done
        }
    }
}

fn validate(file: &Path, json: bool) -> Exit {
    match (Loaded::file(file), json) {
        (Ok(loaded), false) => {
            for warning in &loaded.warnings {
                ui::line(&warning.to_string());
            }
            ui::line(&format!(
                "{}: `{}` is valid, {} steps",
                file.display(),
                loaded.runbook.name,
                loaded.runbook.steps.len()
            ));
            Exit::Done
        }
        (Ok(loaded), true) => told(true, &loaded.warnings, Exit::Done),
        (Err(runbook::Error::Invalid(findings)), true) => told(false, &findings, Exit::Usage),
        (Err(error), _) => fail(
            error,
            &["baoctl runbook schema", "baoctl runbook show migrate-raft"],
            Exit::Usage,
        ),
    }
}

fn told(valid: bool, findings: &[Finding], exit: Exit) -> Exit {
    ui::line(&json!({"version": 1, "valid": valid, "findings": findings}).to_string());
    exit
}
