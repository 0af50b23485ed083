//! Tokens that are not root: of which kind, with which policy, and for how long.

use crate::place::{MIGRATE, Place, RESUME, assert_compared, files, wait};
use baoctl::bao::{Health, Node};
use baoctl::platform::{Platform, SecretName};
use secrecy::ExposeSecret;
use serde_json::{Value, json};

const POLICY: &str = include_str!("../../docs/policy.hcl");
const FIRST: &str = "openbao-0";

/// A source, and what its administrator does with it.
struct Source {
    place: Place,
    root: String,
}

impl Source {
    fn new() -> Self {
        let place = Place::with_source(&["--entries", "100"]);
        let keys = place.keys(SecretName::Unseal).unwrap();
        let root = keys.token.expose_secret().to_owned();
        let source = Self { place, root };
        source.policy("baoctl", POLICY);
        source
    }

    #[track_caller]
    fn write(&self, path: &str, body: &Value) -> Value {
        let leader = self.place.leader();
        let (status, answer) = self.place.ask("POST", &leader, path, &self.root, body);
        assert!((200..300).contains(&status), "{path}: {status} {answer}");
        answer
    }

    fn policy(&self, name: &str, text: &str) {
        self.write(
            &format!("sys/policies/acl/{name}"),
            &json!({"policy": text}),
        );
    }

    /// A token with no policy but the named one, not even `default`.
    fn token(&self, policy: &str, more: &Value) -> String {
        let mut body = json!({"policies": [policy], "no_default_policy": true, "no_parent": true, "ttl": "2h"});
        for (name, value) in more.as_object().unwrap() {
            body[name] = value.clone();
        }
        token_of(&self.write("auth/token/create", &body))
    }

    fn login(&self, policy: &str) -> String {
        self.write("sys/auth/operators", &json!({"type": "userpass"}));
        let user = json!({"password": "of-the-operator", "token_policies": [policy],
            "token_no_default_policy": true, "token_ttl": "2h"});
        self.write("auth/operators/users/operator", &user);
        let password = json!({"password": "of-the-operator"});
        token_of(&self.write("auth/operators/login/operator", &password))
    }

    /// A file with the shares of the source and a token.
    fn keys_file(&self, token: &str) -> String {
        let keys = self.place.keys(SecretName::Unseal).unwrap();
        let shares: Vec<&str> = keys
            .shares
            .iter()
            .map(ExposeSecret::expose_secret)
            .collect();
        let file = self.place.path("keys.json");
        let text = json!({"unseal_keys_b64": shares, "token": token}).to_string();
        std::fs::write(&file, text).unwrap();
        file.display().to_string()
    }
}

fn token_of(answer: &Value) -> String {
    answer["auth"]["client_token"].as_str().unwrap().to_owned()
}

/// With nothing but what `docs/policy.hcl` allows: a whole run, and every voter knows the token afterwards.
fn migrated(runbook: &str, source: &Source, token: &str) {
    let file = source.keys_file(token);
    let mut args = MIGRATE.to_vec();
    args.extend(["--json", "--runbook", runbook, "--keys-file", &file]);
    let said = source.place.run(&args);
    said.expect_code(0);
    assert_compared(&said.summary());
    let members = source.place.platform().members();
    assert_eq!(members.len(), 3);
    for member in members {
        let path = "auth/token/lookup-self";
        let status = source.place.send("GET", &member, path, token, &Value::Null);
        assert_eq!(status, 200, "{member}");
        assert!(!said.out.contains(token), "the token is shown");
    }
}

#[test]
fn an_orphan_with_the_policy_migrates_and_each_line_of_it_is_needed() {
    let source = Source::new();
    migrated("migrate-raft", &source, &source.token("baoctl", &json!({})));
    // `sys/policies/acl` is listed, the others are read or called.
    let place = &source.place;
    let calls = [
        ("GET", "auth/token/lookup-self"),
        ("PUT", "sys/capabilities-self"),
        ("GET", "sys/mounts"),
        ("GET", "sys/auth"),
        ("GET", "sys/audit"),
        ("GET", "sys/policies/acl?list=true"),
        ("PUT", "sys/seal"),
        ("PUT", "sys/wrapping/wrap"),
        ("GET", "sys/storage/raft/configuration"),
        ("GET", "sys/storage/raft/autopilot/state"),
        ("GET", "sys/storage/raft/snapshot"),
    ];
    let granted = POLICY.lines().filter(|line| line.starts_with("path "));
    assert_eq!(granted.clone().count(), calls.len());
    for (line, (method, call)) in granted.zip(calls) {
        let path = call.split('?').next().unwrap();
        assert!(line.contains(&format!("\"{path}\"")), "{line}");
        let without_sudo = line.replace(", \"sudo\"", "");
        let needs_sudo = without_sudo != line;
        for less in std::iter::once("").chain(needs_sudo.then_some(&*without_sudo)) {
            source.policy("less", &POLICY.replace(line, less));
            let token = source.token("less", &json!({}));
            let body = json!({"paths": ["sys/seal"]});
            let status = place.send(method, &place.leader(), call, &token, &body);
            assert_eq!(status, 403, "{call} with `{less}`");
        }
    }
}

#[test]
fn a_token_of_an_auth_method_migrates() {
    let source = Source::new();
    migrated("migrate-raft-fast", &source, &source.login("baoctl"));
}

#[test]
fn a_batch_token_migrates() {
    let source = Source::new();
    let token = source.token("baoctl", &json!({"type": "batch"}));
    migrated("migrate-raft-fast", &source, &token);
}

/// A run whose token was revoked goes on with another one.
#[test]
fn a_token_that_goes_on_the_way_is_replaced() {
    let source = Source::new();
    let [first, second] = [(); 2].map(|()| source.token("baoctl", &json!({})));
    let file = source.keys_file(&first);
    let mut args = MIGRATE.to_vec();
    args.extend(["--runbook", "migrate-raft-fast", "--keys-file", &file]);
    args.extend(["--until", "restore"]);
    source.place.run(&args).expect_code(0);
    source.write("auth/token/revoke", &json!({"token": first}));
    let mut args = RESUME.to_vec();
    args.extend(["--keys-file", &file]);
    source.place.run(&args).expect_code(4).expect_words(&[
        "403",
        "--keys-file FILE",
        "docs/policy.hcl",
        "the cluster serves the old data",
    ]);
    source.keys_file(&second);
    args.push("--json");
    let said = source.place.run(&args);
    said.expect_code(0);
    assert_compared(&said.summary());
}

/// Whatever a token lacks is told before anything is changed.
#[test]
fn a_token_that_will_not_do_is_refused_before_the_outage() {
    let source = Source::new();
    let needed = |line: &&str| !line.contains("sys/wrapping/wrap") && !line.contains("sys/audit");
    let less: Vec<&str> = POLICY.lines().filter(needed).collect();
    source.policy("less", &less.join("\n"));
    let tells_nothing = |line: &&str| !line.contains("sys/capabilities-self");
    let mute: Vec<&str> = POLICY.lines().filter(tells_nothing).collect();
    source.policy("mute", &mute.join("\n"));
    source.policy(
        "nothing",
        "path \"sys/health\" { capabilities = [\"deny\"] }",
    );
    let cases: [(String, &[&str]); 7] = [
        (
            source.token("less", &json!({})),
            &[
                "keys-policy: fail",
                "sys/audit (read, sudo); sys/wrapping/wrap (update)",
                "bao policy write baoctl docs/policy.hcl",
            ],
        ),
        (
            source.token("mute", &json!({})),
            &[
                "keys-policy: fail",
                "ask what it may do: openbao-0: PUT sys/capabilities-self: 403",
            ],
        ),
        (
            source.token("nothing", &json!({})),
            &["keys-token: fail", "403", "docs/policy.hcl"],
        ),
        (
            source.token("baoctl", &json!({"ttl": "20m"})),
            &[
                "keys-token: fail",
                "19 minutes, and 60 are needed",
                "bao token renew",
            ],
        ),
        (
            source.token("baoctl", &json!({"ttl": "20m", "type": "batch"})),
            &["keys-token: fail", "bao token create -orphan"],
        ),
        (
            source.token("baoctl", &json!({"num_uses": 500})),
            &["keys-token: fail", "is good for"],
        ),
        ("s.nobody-knows-this-one".to_owned(), &["keys-token: fail"]),
    ];
    let tree = source.place.work().join("nodes").join(FIRST).join("data");
    for (token, words) in cases {
        let file = source.keys_file(&token);
        let before = files(&tree);
        let mut args = MIGRATE.to_vec();
        args.extend(["--keys-file", &file]);
        let said = source.place.run(&args);
        said.expect_code(5).expect_words(words);
        said.expect_words(&["nothing on the server"]);
        assert!(!format!("{}{}", said.out, said.err).contains(&token));
        // Each call takes one of a token's uses, and the server writes that down.
        if !words.contains(&"is good for") {
            assert!(before == files(&tree), "the source was written to");
        }
        let health = wait(source.place.node(FIRST).health()).unwrap();
        assert_eq!(health, Health::Active);
    }
    let file = source.keys_file(&source.token("baoctl", &json!({"no_parent": false})));
    let said = source.place.run(&["check", "--keys-file", &file]);
    said.expect_code(0)
        .expect_words(&["keys-parent", "bao token create -orphan"]);
}
