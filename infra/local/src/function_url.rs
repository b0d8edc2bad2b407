//! The function URL: HTTP on a loopback port, handed to intake as lambda_http would.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{Response, StatusCode};
use intake::handler::{Deps, MAX_BODY_BYTES};

use crate::Clock;
use crate::ports::{Secrets, Sender};

/// Lambda's own limit for a request (<https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>); what
/// is longer than intake's limit still reaches it, so that it can say so.
const MAX_REQUEST_BYTES: usize = 6 * 1024 * 1024;

const _: () = assert!(MAX_REQUEST_BYTES > MAX_BODY_BYTES, "or nobody would be told 413");

/// Intake as this process has it.
pub type Intake = Deps<Sender, Secrets>;

/// Serves intake at every path.
pub fn router(intake: Arc<Intake>, clock: Clock) -> Router {
    Router::new().fallback(answer).with_state((intake, clock))
}

async fn answer(State((intake, clock)): State<(Arc<Intake>, Clock)>, request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, MAX_REQUEST_BYTES).await else {
        return Response::builder()
            .status(StatusCode::PAYLOAD_TOO_LARGE)
            .body(Body::empty())
            .unwrap_or_default();
    };
    let request = lambda_http::Request::from_parts(parts, lambda_http::Body::Binary(body.to_vec()));
    let (parts, body) = intake::handler::handle(&intake, request, clock())
        .await
        .into_parts();
    let body = match body {
        lambda_http::Body::Text(text) => Body::from(text),
        lambda_http::Body::Binary(bytes) => Body::from(bytes),
        _ => Body::empty(),
    };
    Response::from_parts(parts, body)
}
