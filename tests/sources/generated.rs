//! What is generated from the program and committed is what the program generates: `make generated` writes it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

fn baoctl(args: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_baoctl"))
        .args(args)
        .output()
        .unwrap();
    assert!(output.status.success(), "{args:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn committed(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn completions_are_committed() {
    for (shell, file) in [
        ("bash", "baoctl.bash"),
        ("zsh", "_baoctl"),
        ("fish", "baoctl.fish"),
    ] {
        let fresh = baoctl(&["completions", shell]);
        assert!(fresh.contains("migrate-raft"));
        assert!(
            fresh == committed(&format!("completions/{file}")),
            "completions/{file} is out of date: `make generated`"
        );
    }
}

#[test]
fn manual_pages_are_committed() {
    let folder = tempfile::tempdir().unwrap();
    baoctl(&["man", "--out", folder.path().to_str().unwrap()]);
    let names = |folder: &Path| -> BTreeSet<String> {
        fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    };
    let fresh = names(folder.path());
    let committed_pages = names(&Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/man"));
    assert_eq!(fresh, committed_pages, "`make generated`");
    assert!(fresh.contains("baoctl-migrate-raft.1"));
    for name in fresh {
        let page = fs::read_to_string(folder.path().join(&name)).unwrap();
        assert!(
            page == committed(&format!("docs/man/{name}")),
            "docs/man/{name} is out of date: `make generated`"
        );
    }
}

/// Every exit code that the help names, and no other, is in the README.
#[test]
fn the_readme_tells_the_exit_codes_of_the_help() {
    let help = baoctl(&["--help"]);
    let readme = committed("README.md");
    for code in ["0", "1", "2", "3", "4", "5", "6", "7"] {
        assert!(
            help.contains(&format!("\n  {code}  ")),
            "{code} in:\n{help}"
        );
        assert!(readme.contains(&format!("| {code} |")), "{code}");
    }
}
