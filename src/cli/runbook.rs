//! `baoctl runbook`.

use std::path::PathBuf;

use clap::Subcommand;

use super::Exit;
use super::exit::fail;
use crate::runbook::{self, Loaded};
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
    Validate {
        /// The file
        file: PathBuf,
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
        Verb::Validate { file } => match Loaded::file(&file) {
            Ok(loaded) => {
                ui::line(&format!(
                    "{}: `{}` is valid, {} steps",
                    file.display(),
                    loaded.runbook.name,
                    loaded.runbook.steps.len()
                ));
                Exit::Done
            }
            Err(error) => fail(
                error,
                &["baoctl runbook schema", "baoctl runbook show migrate-raft"],
                Exit::Usage,
            ),
        },
        Verb::Schema => {
            ui::text(&format!("{:#}\n", runbook::schema()));
            Exit::Done
        }
    }
}
