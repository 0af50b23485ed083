//! What each call sends, and what it makes of a good answer.

use std::collections::BTreeMap;

use secrecy::ExposeSecret;
use serde_json::json;

use super::*;
use crate::bao::Health;

/// A request in one line: method, path with query, token, body.
fn shown(request: &Request) -> String {
    let token = request
        .headers
        .get("x-vault-token")
        .map_or("no token", |token| token.to_str().unwrap());
    let query = request
        .url
        .query()
        .map(|query| format!("?{query}"))
        .unwrap_or_default();
    format!(
        "{} {}{query} [{token}] {}",
        request.method,
        request.url.path(),
        String::from_utf8_lossy(&request.body)
    )
}

async fn sent(server: &MockServer) -> String {
    shown(&only(server).await)
}

fn seal_status() -> Value {
    json!({
        "type": "shamir", "initialized": true, "sealed": true, "t": 3, "n": 5, "progress": 2,
        "nonce": "5f3a", "version": "2.6.2", "build_date": "2026-01-01T00:00:00Z",
        "migration": false, "recovery_seal": false, "storage_type": "file"
    })
}

#[tokio::test]
async fn seal_status_needs_no_token_and_ignores_what_it_does_not_know() {
    let (server, node) = saying(200, seal_status()).await;
    let status = node.seal_status().await.unwrap();
    assert_eq!(sent(&server).await, "GET /v1/sys/seal-status [no token] ");
    assert!(status.sealed && status.initialized && !status.migration);
    assert_eq!((status.t, status.n, status.progress), (3, 5, 2));
    assert_eq!(
        (status.kind.as_str(), status.storage_type.as_str()),
        ("shamir", "file")
    );
    assert_eq!(status.cluster_id, None);
}

#[tokio::test]
async fn each_status_of_health_is_an_answer() {
    for (status, health) in [
        (200, Health::Active),
        (429, Health::Standby),
        (501, Health::Uninitialized),
        (503, Health::Sealed),
        (472, Health::Other(472)),
        (473, Health::Other(473)),
        (500, Health::Other(500)),
    ] {
        let (server, node) = answering(ResponseTemplate::new(status)).await;
        assert_eq!(node.health().await.unwrap(), health);
        assert_eq!(sent(&server).await, "GET /v1/sys/health [no token] ");
    }
}

#[tokio::test]
async fn leader_reads_the_address_of_another_node() {
    let body = json!({"ha_enabled": true, "leader_address": "http://10.0.0.2:8200",
        "raft_applied_index": 42});
    let (server, node) = saying(200, body).await;
    let leader = node.leader().await.unwrap();
    assert_eq!(sent(&server).await, "GET /v1/sys/leader [no token] ");
    assert!(!leader.is_self);
    assert_eq!(leader.leader_address, "http://10.0.0.2:8200");
    assert_eq!(leader.raft_applied_index, 42);
}

#[tokio::test]
async fn init_asks_for_shares_and_hands_them_out() {
    let body = json!({"keys": ["6f6e65"], "keys_base64": ["b25l", "dHdv"], "root_token": "s.root"});
    let (server, node) = saying(200, body).await;
    let keys = node.init(5, 3, &armed()).await.unwrap();
    assert_eq!(
        sent(&server).await,
        r#"PUT /v1/sys/init [no token] {"secret_shares":5,"secret_threshold":3}"#
    );
    let shares: Vec<&str> = keys
        .shares
        .iter()
        .map(ExposeSecret::expose_secret)
        .collect();
    assert_eq!(shares, ["b25l", "dHdv"]);
    assert_eq!(keys.root_token.expose_secret(), "s.root");
}

#[tokio::test]
async fn unseal_sends_a_share_in_the_body_and_a_reset_sends_none() {
    let (server, node) = saying(200, seal_status()).await;
    let status = node.unseal(&"b25l".into(), LONG, &armed()).await.unwrap();
    // A 200 may still say that the node is sealed.
    assert!(status.sealed);
    let request = only(&server).await;
    assert_eq!(
        shown(&request),
        r#"PUT /v1/sys/unseal [no token] {"key":"b25l","reset":false}"#
    );
    assert_eq!(request.headers["content-type"], "application/json");

    let (server, node) = saying(200, seal_status()).await;
    node.reset_unseal(&armed()).await.unwrap();
    assert_eq!(
        sent(&server).await,
        r#"PUT /v1/sys/unseal [no token] {"reset":true}"#
    );
}

#[tokio::test]
async fn seal_takes_a_token_and_no_answer() {
    let (server, node) = answering(ResponseTemplate::new(204)).await;
    node.seal(&token(), &armed()).await.unwrap();
    assert_eq!(
        sent(&server).await,
        "PUT /v1/sys/seal [s.token-of-the-run] {}"
    );
}

#[tokio::test]
async fn tables_come_out_of_the_data_and_not_of_the_old_top_level() {
    let row = json!({"type": "kv", "uuid": "5f", "accessor": "kv_1", "local": true,
        "options": {"version": "2"}, "config": {"max_lease_ttl": 0}});
    let body = json!({"request_id": "r", "secret/": row, "data": {"secret/": row}});
    let (server, node) = saying(200, body.clone()).await;
    let mounts = node.mounts(&token()).await.unwrap();
    assert_eq!(
        sent(&server).await,
        "GET /v1/sys/mounts [s.token-of-the-run] "
    );
    assert_eq!(mounts.len(), 1);
    let mount = &mounts["secret/"];
    assert_eq!(
        (mount.kind.as_str(), mount.uuid.as_str(), mount.local),
        ("kv", "5f", true)
    );
    assert_eq!(mount.options.as_ref().unwrap()["version"], "2");

    let (server, node) = saying(200, body).await;
    assert_eq!(node.auth_methods(&token()).await.unwrap(), mounts);
    assert_eq!(
        sent(&server).await,
        "GET /v1/sys/auth [s.token-of-the-run] "
    );

    let device = json!({"type": "file", "path": "file/", "options": {"file_path": "stdout"}});
    let (server, node) = saying(200, json!({"data": {"file/": device}})).await;
    let devices = node.audit_devices(&token()).await.unwrap();
    assert_eq!(
        sent(&server).await,
        "GET /v1/sys/audit [s.token-of-the-run] "
    );
    assert_eq!(devices["file/"].kind, "file");
    assert_eq!(devices["file/"].options["file_path"], "stdout");
}

#[tokio::test]
async fn policies_are_listed_and_sorted() {
    let (server, node) = saying(200, json!({"data": {"keys": ["root", "app", "default"]}})).await;
    assert_eq!(
        node.policies(&token()).await.unwrap(),
        ["app", "default", "root"]
    );
    assert_eq!(
        sent(&server).await,
        "GET /v1/sys/policies/acl?list=true [s.token-of-the-run] "
    );
}

#[tokio::test]
async fn lookup_self_tells_what_is_left_and_never_the_token() {
    let body = json!({"data": {"id": "s.token-of-the-run", "type": "service", "policies": ["baoctl"], "ttl": 3599,
        "expire_time": "2026-01-01T01:00:00Z", "renewable": true, "num_uses": 0, "orphan": true}});
    let (server, node) = saying(200, body).await;
    let own = node.lookup_self(&token()).await.unwrap();
    assert_eq!(
        sent(&server).await,
        "GET /v1/auth/token/lookup-self [s.token-of-the-run] "
    );
    assert_eq!(own.left(), Some(Duration::from_secs(3599)));
    assert_eq!((own.kind.as_str(), own.num_uses), ("service", 0));
    assert!(own.renewable && own.orphan);
    assert!(!format!("{own:?}").contains("token-of-the-run"));

    // As a root token has it.
    let body = json!({"data": {"type": "service", "policies": ["root"], "ttl": 0, "expire_time": null,
        "num_uses": 0, "orphan": true}});
    let (_server, node) = saying(200, body).await;
    assert_eq!(node.lookup_self(&token()).await.unwrap().left(), None);
}

#[tokio::test]
async fn capabilities_are_asked_for_all_paths_at_once() {
    let found = json!({"sys/seal": ["sudo", "update"], "sys/audit": ["deny"]});
    let body = json!({"sys/seal": ["sudo", "update"], "request_id": "r", "data": found});
    let (server, node) = saying(200, body).await;
    let paths = ["sys/seal", "sys/audit"];
    let has = node.capabilities(&token(), &paths).await.unwrap();
    assert_eq!(
        sent(&server).await,
        r#"PUT /v1/sys/capabilities-self [s.token-of-the-run] {"paths":["sys/seal","sys/audit"]}"#
    );
    assert_eq!(has["sys/seal"], ["sudo", "update"]);
    assert_eq!(has["sys/audit"], ["deny"]);
}

#[tokio::test]
async fn a_root_token_is_generated_with_as_many_shares_as_are_needed() {
    let server = MockServer::start().await;
    let begun = json!({"nonce": "53b6", "started": true, "otp": "JYRL6R", "complete": false, "encoded_token": ""});
    let going =
        json!({"nonce": "53b6", "progress": 1, "complete": false, "encoded_token": "", "otp": ""});
    // `s.root`, each of its bytes XORed with one of the pad.
    let done =
        json!({"nonce": "53b6", "progress": 2, "complete": true, "encoded_token": "OXcgI1km"});
    for (path, key, answer) in [
        ("/v1/sys/generate-root/attempt", "", begun),
        ("/v1/sys/generate-root/update", "b25l", going),
        ("/v1/sys/generate-root/update", "dHdv", done),
    ] {
        Mock::given(wiremock::matchers::path(path))
            .and(wiremock::matchers::body_string_contains(key))
            .respond_with(ResponseTemplate::new(200).set_body_json(answer))
            .mount(&server)
            .await;
    }
    let node = node(&server.uri(), patient());
    let shares = ["b25l", "dHdv", "unused"].map(SecretString::from);
    let root = node.generate_root(&shares, &armed()).await.unwrap();
    assert_eq!(root.expose_secret(), "s.root");
    let came = server.received_requests().await.unwrap();
    let came: Vec<String> = came.iter().map(shown).collect();
    assert_eq!(
        came,
        [
            r"PUT /v1/sys/generate-root/attempt [no token] {}",
            r#"PUT /v1/sys/generate-root/update [no token] {"key":"b25l","nonce":"53b6"}"#,
            r#"PUT /v1/sys/generate-root/update [no token] {"key":"dHdv","nonce":"53b6"}"#,
        ]
    );
    let few = node.generate_root(&shares[..1], &armed()).await;
    let error = few.unwrap_err().to_string();
    assert!(error.contains("more shares are wanted"), "{error}");
}

#[tokio::test]
async fn raft_peers_and_their_health() {
    let peer = json!({"node_id": "openbao-0", "address": "127.0.0.1:8201", "leader": true,
        "protocol_version": "3", "voter": true});
    let (server, node) = saying(
        200,
        json!({"data": {"config": {"index": 0, "servers": [peer]}}}),
    )
    .await;
    let peers = node.raft_configuration(&token()).await.unwrap().servers;
    assert_eq!(
        sent(&server).await,
        "GET /v1/sys/storage/raft/configuration [s.token-of-the-run] "
    );
    assert_eq!(peers.len(), 1);
    assert!(peers[0].leader && peers[0].voter);

    let state = json!({"id": "openbao-1", "healthy": true, "status": "non-voter", "last_index": 9});
    let (server, node) = saying(200, json!({"data": {"servers": {"openbao-1": state}}})).await;
    let states = node.autopilot(&token()).await.unwrap();
    assert_eq!(
        sent(&server).await,
        "GET /v1/sys/storage/raft/autopilot/state [s.token-of-the-run] "
    );
    assert_eq!(states["openbao-1"].status, "non-voter");
    assert_eq!(states["openbao-1"].last_index, 9);

    // Autopilot that has not looked yet names no server.
    let (_server, node) = saying(200, json!({"data": {"healthy": false}})).await;
    assert_eq!(node.autopilot(&token()).await.unwrap(), BTreeMap::new());
}

#[tokio::test]
async fn reads_carry_their_query_and_an_absent_path_is_none() {
    let body = json!({"data": {"data": {"a": 1}}});
    let (server, node) = saying(200, body.clone()).await;
    let answer = node.read(&token(), "secret/data/app").await.unwrap();
    assert_eq!(answer, Some(body.clone()));
    assert_eq!(
        sent(&server).await,
        "GET /v1/secret/data/app [s.token-of-the-run] "
    );
    let (server, node) = saying(200, body).await;
    node.read_with(&token(), "secret/data/app", &[("version", "2")])
        .await
        .unwrap();
    assert_eq!(
        sent(&server).await,
        "GET /v1/secret/data/app?version=2 [s.token-of-the-run] "
    );
    let (_server, node) = saying(404, json!({"errors": []})).await;
    assert_eq!(node.read(&token(), "secret/data/app").await.unwrap(), None);
    assert!(
        node.list(&token(), "secret/metadata")
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn a_write_sends_json_and_may_have_no_answer() {
    let (server, node) = answering(ResponseTemplate::new(204)).await;
    let body = json!({"data": {"a": "ä"}});
    let answer = node
        .write(&token(), "secret/data/app", &body, &armed())
        .await
        .unwrap();
    assert_eq!(answer, None);
    assert_eq!(
        sent(&server).await,
        r#"POST /v1/secret/data/app [s.token-of-the-run] {"data":{"a":"ä"}}"#
    );
}

#[tokio::test]
async fn a_raw_entry_is_measured_as_decrypted_and_its_key_is_escaped() {
    for (value, length) in [("", 0), ("YQ==", 1), ("YWJj", 3)] {
        let (server, node) = saying(200, json!({"data": {"value": value}})).await;
        let key = "logical/5f-3a/weird name?x#y%z+é";
        assert_eq!(node.raw_len(&token(), key).await.unwrap(), Some(length));
        assert_eq!(
            sent(&server).await,
            "GET /v1/sys/raw/logical/5f-3a/weird%20name%3Fx%23y%25z%2B%C3%A9?encoding=base64&compressed=false \
             [s.token-of-the-run] "
        );
    }
    let (_server, node) = saying(404, json!({"errors": []})).await;
    assert_eq!(node.raw_len(&token(), "core/x").await.unwrap(), None);
}

#[tokio::test]
async fn a_path_with_special_characters_is_escaped_in_every_kind_of_call() {
    let path = "secret/data/a b?c#d";
    let expected = "/v1/secret/data/a%20b%3Fc%23d";
    let (server, node) = saying(200, json!({"data": {"keys": []}})).await;
    node.read(&token(), path).await.unwrap();
    node.list(&token(), path).await.unwrap();
    node.write(&token(), path, &json!({}), &armed())
        .await
        .unwrap();
    let came = server.received_requests().await.unwrap();
    assert_eq!(came.len(), 3);
    assert!(came.iter().all(|request| request.url.path() == expected));
}
