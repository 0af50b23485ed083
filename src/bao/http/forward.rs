//! The answer that is not the server's: whatever carries the connection says that it failed.

use std::time::Duration;

use reqwest::{Response, StatusCode};

use super::error::Call;
use crate::bao::Result;

/// The header that marks such an answer, always with status 502; the body is the reason.
pub(crate) const FORWARD_HEADER: &str = "x-baoctl-forward";
/// Its value when certainly nothing reached the server.
pub(crate) const FORWARD_UNREACHABLE: &str = "unreachable";
/// Its value when the server may have the request.
pub(crate) const FORWARD_BROKEN: &str = "broken";

/// The reason is there with the head, or not at all.
const REASON: Duration = Duration::from_secs(2);

/// Lets the server's answers through and turns a carrier's failure into the error that it is.
pub(super) async fn judge(call: &Call, response: Response) -> Result<Response> {
    if response.status() != StatusCode::BAD_GATEWAY {
        return Ok(response);
    }
    let Some(kind) = response.headers().get(FORWARD_HEADER).cloned() else {
        return Ok(response);
    };
    let reason = tokio::time::timeout(REASON, response.text()).await;
    let why = match reason {
        Ok(Ok(why)) if !why.is_empty() => why,
        _ => "no further reason".to_owned(),
    };
    Err(if kind == FORWARD_UNREACHABLE {
        call.unreachable(why)
    } else {
        call.broken(why)
    })
}
