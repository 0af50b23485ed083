//! Refusals, redirects, deadlines and broken connections.

use serde_json::json;
use tokio::io::AsyncWriteExt;

use super::*;

#[tokio::test]
async fn an_error_status_is_the_servers_word_and_a_known_outcome() {
    for status in [400, 403, 500, 503] {
        let said = json!({"errors": [" permission denied\n", "one more"]});
        let (server, node) = saying(status, said).await;
        for (call, error) in errors_of_all(&node, &token()).await {
            assert_eq!(error.status(), Some(status), "{call}: {error}");
            assert!(!error.outcome_unknown(), "{call}");
            let text = error.to_string();
            assert!(
                text.starts_with("openbao-0: ")
                    && text.ends_with(&format!(": {status}: permission denied; one more")),
                "{text}"
            );
        }
        assert_eq!(server.received_requests().await.unwrap().len(), ALL);
    }
}

#[tokio::test]
async fn an_error_without_words_still_says_something() {
    for (body, said) in [
        (r#"{"errors":[]}"#, "503: no reason given"),
        ("", "503: empty body"),
        ("<html>", "503: a body of 6 bytes that is not an error list"),
    ] {
        let (_server, node) = answering(ResponseTemplate::new(503).set_body_string(body)).await;
        let text = node.leader().await.unwrap_err().to_string();
        assert_eq!(text, format!("openbao-0: GET sys/leader: {said}"));
    }
}

#[tokio::test]
async fn an_absent_table_is_an_error_and_not_an_empty_one() {
    let (_server, node) = saying(404, json!({"errors": []})).await;
    let error = node.mounts(&token()).await.unwrap_err();
    assert_eq!(error.status(), Some(404));
}

#[tokio::test]
async fn a_redirect_is_never_followed() {
    let leader = MockServer::start().await;
    Mock::given(any())
        .respond_with(ResponseTemplate::new(204))
        .mount(&leader)
        .await;
    for status in [301, 307, 308] {
        let location = format!("{}/v1/elsewhere", leader.uri());
        let to_leader = ResponseTemplate::new(status).insert_header("location", location);
        let (server, node) = answering(to_leader).await;
        let mut errors = errors_of_all(&node, &token()).await;
        errors.push(("health", node.health().await.unwrap_err()));
        for (call, error) in errors {
            assert!(matches!(error, Error::Redirected { .. }), "{call}: {error}");
            assert!(!error.outcome_unknown(), "{call}");
            assert!(error.to_string().contains("sys/leader"), "{error}");
        }
        assert_eq!(server.received_requests().await.unwrap().len(), ALL + 1);
    }
    assert!(leader.received_requests().await.unwrap().is_empty());
}

#[tokio::test]
async fn an_answer_of_another_shape_is_malformed_and_not_asked_for_again() {
    for body in ["", "<html>", r#"{"data":"#, "[1]"] {
        let (server, node) = answering(ResponseTemplate::new(200).set_body_string(body)).await;
        for error in [
            node.seal_status().await.unwrap_err(),
            node.init(1, 1, &armed()).await.unwrap_err(),
            node.mounts(&token()).await.unwrap_err(),
            node.raw_len(&token(), "core/x").await.unwrap_err(),
        ] {
            assert!(matches!(error, Error::Malformed { .. }), "{error}");
        }
        assert_eq!(server.received_requests().await.unwrap().len(), 4);
    }
    let (_server, node) = saying(200, json!({"data": {"value": "no base64!"}})).await;
    let error = node.raw_len(&token(), "core/x").await.unwrap_err();
    assert!(
        error.to_string().ends_with("the value is not base64"),
        "{error}"
    );
}

/// Each call has its own deadline: its length in the error tells which one it was.
#[tokio::test]
async fn a_late_answer_meets_the_deadline_of_the_call() {
    let late = ResponseTemplate::new(200).set_delay(LONG);
    let (server, _) = answering(late).await;
    let [call, init, seal, own] = [100, 130, 160, 190].map(Duration::from_millis);
    let node = node(
        &server.uri(),
        Deadlines {
            call,
            init,
            seal,
            ..patient()
        },
    );
    let body = json!({});
    for (deadline, error) in [
        (call, node.seal_status().await.unwrap_err()),
        (call, node.health().await.unwrap_err()),
        (call, node.mounts(&token()).await.unwrap_err()),
        (call, node.read(&token(), "a/b").await.unwrap_err()),
        (call, node.raw_len(&token(), "a/b").await.unwrap_err()),
        (
            call,
            node.write(&token(), "a", &body, &armed())
                .await
                .unwrap_err(),
        ),
        (call, node.reset_unseal(&armed()).await.unwrap_err()),
        (init, node.init(1, 1, &armed()).await.unwrap_err()),
        (seal, node.seal(&token(), &armed()).await.unwrap_err()),
        (own, node.unseal(&token(), own, &armed()).await.unwrap_err()),
    ] {
        assert!(error.outcome_unknown());
        assert!(
            matches!(error, Error::Timeout { after, .. } if after == deadline),
            "{error:?}"
        );
    }
    assert_eq!(server.received_requests().await.unwrap().len(), 10);
}

#[tokio::test]
async fn an_answer_that_stalls_in_its_middle_meets_the_deadline() {
    let (address, came) = bare(|mut stream| async move {
        head(&mut stream).await?;
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"type\":")
            .await?;
        tokio::time::sleep(LONG).await;
        Ok(())
    })
    .await;
    let call = Duration::from_millis(100);
    let node = node(&address, Deadlines { call, ..patient() });
    let error = node.seal_status().await.unwrap_err();
    assert!(matches!(error, Error::Timeout { .. }), "{error:?}");
    assert_eq!(came.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_closed_port_is_unreachable_and_nothing_was_done() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", free.local_addr().unwrap());
    drop(free);
    for (call, error) in errors_of_all(&node(&address, patient()), &token()).await {
        assert!(
            matches!(error, Error::Unreachable { .. }),
            "{call}: {error:?}"
        );
        assert!(!error.outcome_unknown(), "{call}");
        assert_eq!(error.status(), None);
    }
}

#[tokio::test]
async fn a_reset_leaves_the_outcome_unknown_and_nothing_is_sent_again() {
    let (address, came) = bare(|mut stream| async move {
        head(&mut stream).await?;
        // Closing with a reset instead of an orderly end.
        stream.set_zero_linger()
    })
    .await;
    for (call, error) in errors_of_all(&node(&address, patient()), &token()).await {
        assert!(matches!(error, Error::Broken { .. }), "{call}: {error:?}");
        assert!(error.outcome_unknown(), "{call}");
    }
    assert_eq!(came.load(Ordering::SeqCst), ALL);
}

#[tokio::test]
async fn a_connection_that_ends_without_an_answer_is_broken_too() {
    let (address, came) = bare(|mut stream| async move {
        head(&mut stream).await?;
        stream.shutdown().await
    })
    .await;
    let node = node(&address, patient());
    let error = node.seal(&token(), &armed()).await.unwrap_err();
    assert!(error.outcome_unknown(), "{error:?}");
    let error = node.seal_status().await.unwrap_err();
    assert!(error.outcome_unknown(), "{error:?}");
    assert_eq!(came.load(Ordering::SeqCst), 2);
}

/// A transport that sends again what it sent over a kept connection would write twice.
#[tokio::test]
async fn a_write_over_a_kept_connection_is_not_sent_again_either() {
    let heads = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&heads);
    let (address, came) = bare(move |mut stream| {
        let counter = Arc::clone(&counter);
        async move {
            head(&mut stream).await?;
            counter.fetch_add(1, Ordering::SeqCst);
            let mut body = [0; 2];
            stream.read_exact(&mut body).await?;
            stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await?;
            head(&mut stream).await?;
            counter.fetch_add(1, Ordering::SeqCst);
            stream.set_zero_linger()
        }
    })
    .await;
    let node = node(&address, patient());
    let body = json!({});
    node.write(&token(), "a", &body, &armed()).await.unwrap();
    let error = node
        .write(&token(), "a", &body, &armed())
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Broken { .. }), "{error:?}");
    assert_eq!(heads.load(Ordering::SeqCst), 2);
    assert_eq!(came.load(Ordering::SeqCst), 1);
}

/// What must not be sent twice never goes over a connection that may have died with its server.
#[tokio::test]
async fn each_change_has_a_connection_of_its_own() {
    let (address, came) = bare(|mut stream| async move {
        loop {
            head(&mut stream).await?;
            let mut body = [0; 2];
            stream.read_exact(&mut body).await?;
            stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await?;
        }
    })
    .await;
    let node = node(&address, patient());
    for _ in 0..3 {
        node.seal(&token(), &armed()).await.unwrap();
    }
    assert_eq!(came.load(Ordering::SeqCst), 3);
}
