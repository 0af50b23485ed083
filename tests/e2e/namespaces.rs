//! A source with child namespaces, one within the other, each with local mounts and auth methods.

use std::time::Duration;

use serde_json::{Value, json};

use crate::cases::{FAST, RESUME};
use crate::cluster::until;
use crate::operator::in_action;
use crate::release::{PLAIN, Release};
use crate::table::Figures;

const PATHS: [&str; 3] = ["sales/", "sales/emea/", "research/"];

/// What one of them has, beside what every namespace has.
struct Namespace {
    path: &'static str,
    mounts: Value,
    auth: Value,
    /// A role of the local auth method, with an identifier to log in with.
    login: Value,
}

fn seed(release: &Release) -> Vec<Namespace> {
    let api = release.api(&release.member(0));
    PATHS.map(|path| make(release, &api, path)).into()
}

fn make(release: &Release, api: &crate::api::Api, path: &'static str) -> Namespace {
    let whole = path.trim_end_matches('/');
    let (parent, name) = whole.rsplit_once('/').unwrap_or(("", whole));
    let slash = if parent.is_empty() { "" } else { "/" };
    api.put(&format!("{parent}{slash}sys/namespaces/{name}"), &json!({}));
    let put = |to: &str, body: Value| api.put(&format!("{path}{to}"), &body);
    put("sys/mounts/secret", json!({"type": "kv"}));
    put("sys/mounts/near", json!({"type": "kv", "local": true}));
    put("sys/auth/near", json!({"type": "approle", "local": true}));
    let policy = "path \"secret/*\" { capabilities = [\"read\"] }";
    put("sys/policies/acl/app", json!({"policy": policy}));
    put("auth/near/role/app", json!({"token_policies": ["app"]}));
    for mount in ["secret", "near"] {
        put(&format!("{mount}/app"), json!({"of": path}));
    }
    let role = get(release, 0, &format!("{path}auth/near/role/app/role-id"));
    let secret = put("auth/near/role/app/secret-id", json!({}));
    Namespace {
        path,
        mounts: get(release, 0, &format!("{path}sys/mounts")),
        auth: get(release, 0, &format!("{path}sys/auth")),
        login: json!({"role_id": role["role_id"], "secret_id": secret["data"]["secret_id"]}),
    }
}

#[track_caller]
fn get(release: &Release, member: u32, path: &str) -> Value {
    let (code, answer) = release.api(&release.member(member)).get(path);
    assert_eq!(code, 200, "{path} of member {member}: {answer}");
    answer["data"].clone()
}

fn verify(release: &Release, namespaces: &[Namespace]) {
    for it in namespaces {
        let path = it.path;
        for member in 0..3 {
            assert_eq!(
                get(release, member, &format!("{path}sys/mounts")),
                it.mounts
            );
            assert_eq!(get(release, member, &format!("{path}sys/auth")), it.auth);
            for mount in ["secret", "near"] {
                let value = get(release, member, &format!("{path}{mount}/app"));
                assert_eq!(value, json!({"of": path}));
            }
            let mut api = release.api(&release.member(member));
            let said = api.put(&format!("{path}auth/near/login"), &it.login);
            api.set_token(said["auth"]["client_token"].as_str().unwrap());
            assert_eq!(api.get(&format!("{path}secret/app")).0, 200);
        }
    }
    let raw = release.api(&release.member(0)).get("sys/raw/core/mounts").0;
    assert_eq!(raw, 404, "the raw endpoint is off again");
}

/// The listener of the release as its configuration has it.
fn addresses(release: &Release) -> String {
    let maps = release.kubectl(&["get", "configmaps", "-o", "jsonpath={.items[*].data}"]);
    assert!(!maps.contains("127.0.0.1"), "{maps}");
    maps
}

/// Killed while their tables are moved, and once more after that; then every voter is restarted twice.
pub fn moved() -> Figures {
    let release = Release::install("namespaces", PLAIN);
    let namespaces = seed(&release);
    let listens = addresses(&release).matches("[::]:8200").count();
    let mut command = &FAST[..];
    for after in [Duration::from_millis(700), Duration::from_secs(4)] {
        let said = release.killed(
            &release.agreed(command),
            in_action("move-namespaces", after),
        );
        assert_eq!(said.code, -1, "{}", said.text);
        command = &RESUME;
    }
    let said = release.run(&release.agreed(&RESUME)).expect(0);
    let outage = said.expect_parity();
    release.verify();
    release.helm_agrees();
    verify(&release, &namespaces);
    assert_eq!(addresses(&release).matches("[::]:8200").count(), listens);
    for _ in 0..2 {
        release.hook_unseals();
        until("one leader", 60, || {
            let leads = |member: &&String| release.api_answers(member) == Some(200);
            release.members().iter().filter(leads).count() == 1
        });
        release.verify();
        verify(&release, &namespaces);
    }
    Figures {
        outage: Some(outage),
        client: None,
    }
}
