//! Nothing that is secret gets into an error or a debug print, whatever a server says.

use serde_json::json;

use super::*;

const CANARY: &str = "s.Canary0123456789abcdefgh";

fn clean(what: &str, shown: &str) {
    assert!(!shown.contains("Canary"), "{what}: {shown}");
}

async fn all_are_clean(node: &HttpNode) {
    for (call, error) in errors_of_all(node, &CANARY.into()).await {
        clean(call, &error.to_string());
        clean(call, &format!("{error:?}"));
    }
}

#[tokio::test]
async fn a_server_that_quotes_the_token_or_the_share_is_not_quoted() {
    for status in [400, 403, 500, 503] {
        let said = json!({"errors": [
            format!("token {CANARY} is not known, {CANARY} again"),
            {"token": CANARY},
        ]});
        let server = MockServer::start().await;
        Mock::given(|request: &Request| quotes(request))
            .respond_with(ResponseTemplate::new(status).set_body_json(said))
            .mount(&server)
            .await;
        // These two carry no secret that a server could quote.
        Mock::given(any())
            .respond_with(ResponseTemplate::new(status))
            .mount(&server)
            .await;
        all_are_clean(&node(&server.uri(), patient())).await;
    }
}

fn quotes(request: &Request) -> bool {
    request.headers.contains_key("x-vault-token")
        || String::from_utf8_lossy(&request.body).contains(CANARY)
}

#[tokio::test]
async fn what_remains_of_the_servers_words_is_still_told() {
    let said = json!({"errors": [format!("token {CANARY} is not known"), {"a": CANARY}]});
    let (_server, node) = saying(403, said).await;
    let error = node.seal(&CANARY.into(), &armed()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "openbao-0: PUT sys/seal: 403: token [redacted] is not known; an error that is not a text"
    );
    // An empty share is nowhere in particular.
    let (_server, node) = saying(400, json!({"errors": ["'key' must be specified"]})).await;
    let error = node.unseal(&"".into(), LONG, &armed()).await.unwrap_err();
    assert!(
        error.to_string().ends_with("'key' must be specified"),
        "{error}"
    );
}

#[tokio::test]
async fn an_answer_that_does_not_parse_is_not_quoted() {
    for body in [
        format!(r#"{{"keys_base64":["{CANARY}",5],"root_token":"{CANARY}"}}"#),
        format!(r#"{{"keys_base64":"{CANARY}","data":"{CANARY}","type":5,"is_self":"{CANARY}"}}"#),
        format!(
            r#"{{"data":{{"keys":"{CANARY}","value":5,"config":"{CANARY}","servers":"{CANARY}"}}}}"#
        ),
        format!("{CANARY} <html>"),
    ] {
        let (_server, node) = answering(ResponseTemplate::new(200).set_body_string(body)).await;
        let token = CANARY.into();
        for error in [
            node.seal_status().await.map(drop),
            node.leader().await.map(drop),
            node.init(1, 1, &armed()).await.map(drop),
            node.unseal(&token, LONG, &armed()).await.map(drop),
            node.mounts(&token).await.map(drop),
            node.policies(&token).await.map(drop),
            node.raft_configuration(&token).await.map(drop),
            node.autopilot(&token).await.map(drop),
            node.raw_len(&token, "core/x").await.map(drop),
        ] {
            let error = error.unwrap_err();
            clean("parse", &format!("{error} {error:?}"));
        }
    }
    for status in [403, 502] {
        let page = format!("<html>{CANARY}</html>");
        let (_server, node) = answering(ResponseTemplate::new(status).set_body_string(page)).await;
        all_are_clean(&node).await;
    }
}

#[tokio::test]
async fn a_redirect_to_an_address_with_a_secret_is_not_quoted() {
    let to = ResponseTemplate::new(307).insert_header("location", format!("http://x/?t={CANARY}"));
    let (_server, node) = answering(to).await;
    all_are_clean(&node).await;
}

#[tokio::test]
async fn a_broken_transport_names_no_secret() {
    let (address, _) = bare(|mut stream| async move {
        use tokio::io::AsyncWriteExt;
        head(&mut stream).await?;
        stream
            .write_all(format!("{CANARY} is no HTTP\r\n\r\n").as_bytes())
            .await
    })
    .await;
    all_are_clean(&node(&address, patient())).await;
}

#[tokio::test]
async fn a_token_that_no_header_can_carry_is_refused_without_being_shown() {
    let (server, node) = answering(ResponseTemplate::new(204)).await;
    let token = SecretString::from(format!("{CANARY}\nx"));
    for error in [
        node.seal(&token, &armed()).await.unwrap_err(),
        node.mounts(&token).await.unwrap_err(),
    ] {
        assert!(matches!(error, Error::Malformed { .. }), "{error}");
        clean("header", &format!("{error} {error:?}"));
    }
    assert!(server.received_requests().await.unwrap().is_empty());
}

#[tokio::test]
async fn keys_and_clients_do_not_print_what_they_hold() {
    let body = json!({"keys_base64": [CANARY], "root_token": CANARY});
    let (_server, node) = saying(200, body).await;
    let keys = node.init(1, 1, &armed()).await.unwrap();
    assert!(format!("{keys:?}").contains("REDACTED"));
    clean("keys", &format!("{keys:?} {keys:#?}"));
    clean("node", &format!("{node:?}"));
    let call = node
        .call(&reqwest::Method::GET, "a", LONG)
        .carrying(&CANARY.into());
    clean("call", &format!("{call:?}"));
    let header = crate::bao::http::client::authorised(
        &call,
        node.streaming(reqwest::Method::GET, "a", false),
        &CANARY.into(),
    )
    .unwrap();
    clean("request", &format!("{header:?}"));
}
