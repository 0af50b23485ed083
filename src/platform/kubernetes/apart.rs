//! A configuration whose server no client reaches, and the way back from it, see [`crate::platform::Flip::apart`].
//!
//! It listens on the loopback of its pod, where a port-forward arrives, and has the raw endpoint. Each value that is changed
//! for it carries the one that it stands for, so that the text alone tells what it was, to any process on any machine.

use std::fmt::Write;
use std::ops::Range;

use hcl_edit::Span;
use hcl_edit::structure::Attribute;

use super::config::{label, parse, plain};
use crate::platform::{Error, Result};

const INSTEAD: &str = " /* until the child namespaces are moved, instead of ";
const END: &str = " */";
/// What stands for a value that was not there.
const NOTHING: &str = "nothing";
const RAW: &str = "raw_storage_endpoint";

/// Whether a text is one that [`apart`] made.
pub(super) fn stands_apart(text: &str) -> bool {
    text.contains(INSTEAD)
}

/// The same configuration out of clients' reach.
pub(super) fn apart(text: &str) -> Result<String> {
    let body = parse(text)?;
    let mut changes: Vec<(Range<usize>, String)> = Vec::new();
    let mut change = |attribute: &Attribute, to: &str| {
        let span = attribute.value.span().ok_or_else(|| {
            Error::Refused(format!(
                "{} has no place in its text",
                attribute.key.as_str()
            ))
        })?;
        let was = format!("{to}{INSTEAD}{}{END}", &text[span.clone()]);
        changes.push((span, was));
        Ok::<_, Error>(())
    };
    for listener in body
        .get_blocks("listener")
        .filter(|it| label(it, 0) == "tcp")
    {
        // One without an address is on the loopback already.
        if let Some(address) = listener.body.get_attribute("address") {
            let port = plain(&address.value);
            let port = port.rsplit_once(':').map_or("8200", |(_, port)| port);
            change(address, &format!("\"127.0.0.1:{port}\""))?;
        }
    }
    let raw = body.get_attribute(RAW);
    if let Some(raw) = raw {
        change(raw, "true")?;
    }
    let mut new = text.to_owned();
    changes.sort_by_key(|(span, _)| std::cmp::Reverse(span.start));
    for (span, to) in changes {
        new.replace_range(span, &to);
    }
    if raw.is_none() {
        if !new.ends_with('\n') {
            new.push('\n');
        }
        let _ = writeln!(new, "{RAW} = true{INSTEAD}{NOTHING}{END}");
    }
    Ok(new)
}

/// The configuration as it was before [`apart`]; any other stays as it is.
pub(super) fn within_reach(text: &str) -> String {
    let mut lines = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let Some((before, rest)) = line.split_once(INSTEAD) else {
            lines.push_str(line);
            continue;
        };
        let (was, after) = rest.split_once(END).unwrap_or((rest, ""));
        if was == NOTHING {
            continue;
        }
        let key = before.find('=').map_or(0, |at| at + 1);
        lines.push_str(&before[..key]);
        lines.push(' ');
        lines.push_str(was);
        lines.push_str(after);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"ui = true
listener "tcp" {
  address = "[::]:8200" # for all
  cluster_address = "[::]:8201"
}
listener "unix" {
  address = "/run/bao.sock"
}
storage "raft" {
  path = "/data"
}"#;

    #[test]
    fn a_server_apart_listens_on_its_loopback_alone_and_has_the_raw_endpoint() {
        let new = apart(TEXT).unwrap();
        assert!(stands_apart(&new) && !stands_apart(TEXT));
        let body = parse(&new).unwrap();
        assert_eq!(plain(&body.get_attribute(RAW).unwrap().value), "true");
        let addresses: Vec<String> = body
            .get_blocks("listener")
            .map(|it| plain(&it.body.get_attribute("address").unwrap().value))
            .collect();
        assert_eq!(addresses, ["127.0.0.1:8200", "/run/bao.sock"]);
        assert!(new.contains("[::]:8201"), "{new}");
    }

    #[test]
    fn the_text_itself_leads_back() {
        for text in [
            format!("{TEXT}\n"),
            format!("{TEXT}\n{RAW} = false\n"),
            TEXT.replace(
                "  address = \"[::]:8200\" # for all",
                "\taddress = \"{{ GetPrivateIP }}:8300\"",
            ),
        ] {
            let there = apart(&text).unwrap();
            assert_ne!(there, text);
            let back = within_reach(&there);
            assert_eq!(back.trim_end(), text.trim_end());
            assert_eq!(within_reach(&text), text);
        }
    }
}
