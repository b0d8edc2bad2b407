//! A stand-in of GitHub's API for commit statuses, as a GitHub Enterprise Server would serve it below `/api/v3`.
//!
//! <https://docs.github.com/en/rest/commits/statuses#create-a-commit-status>

use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};

/// Statuses GitHub takes for one context on one commit.
const CAP: usize = 1_000;
/// Characters of a description.
const DESCRIPTION_CHARS: usize = 140;
/// Characters of a context.
const CONTEXT_CHARS: usize = 255;

/// A status as it was received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceivedStatus {
    /// `owner/name`.
    pub repository: String,
    /// The commit.
    pub sha: String,
    /// The context.
    pub context: String,
    /// The state.
    pub state: String,
    /// The description.
    pub description: String,
}

/// The stand-in.
#[derive(Debug, Default)]
pub struct GitHub {
    token: String,
    received: Mutex<Vec<ReceivedStatus>>,
}

impl GitHub {
    /// Lets in whoever has the token.
    pub fn new(token: &str) -> Arc<Self> {
        Arc::new(Self {
            token: token.to_owned(),
            received: Mutex::default(),
        })
    }

    /// Everything it took, in order.
    pub fn received(&self) -> Vec<ReceivedStatus> {
        self.received
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Its API.
    pub fn router(self: &Arc<Self>) -> Router {
        Router::new()
            .route("/api/v3/repos/{owner}/{name}/statuses/{sha}", post(create_status))
            .with_state(Arc::clone(self))
    }
}

type Answer = (StatusCode, Json<Value>);

async fn create_status(
    State(github): State<Arc<GitHub>>,
    Path((owner, name, sha)): Path<(String, String, String)>,
    headers: HeaderMap,
    body: axum::body::Bytes,
) -> Answer {
    let authorization = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    if authorization != Some(&format!("Bearer {}", github.token)) {
        return refuse(StatusCode::UNAUTHORIZED, "Bad credentials");
    }
    let Ok(body) = serde_json::from_slice::<Value>(&body) else {
        return refuse(StatusCode::BAD_REQUEST, "Problems parsing JSON");
    };
    let text = |key: &str| body[key].as_str().unwrap_or_default().to_owned();
    let status = ReceivedStatus {
        repository: format!("{owner}/{name}"),
        sha,
        context: text("context"),
        state: text("state"),
        description: text("description"),
    };
    if !["error", "failure", "pending", "success"].contains(&status.state.as_str())
        || status.description.chars().count() > DESCRIPTION_CHARS
        || status.context.chars().count() > CONTEXT_CHARS
    {
        return refuse(StatusCode::UNPROCESSABLE_ENTITY, "Validation Failed");
    }
    let mut received = github.received.lock().unwrap_or_else(PoisonError::into_inner);
    let same = |other: &&ReceivedStatus| {
        other.repository == status.repository
            && other.sha == status.sha
            && other.context.eq_ignore_ascii_case(&status.context)
    };
    if received.iter().filter(same).count() >= CAP {
        let message = "This SHA and context has reached the maximum number of statuses.";
        return refuse(StatusCode::UNPROCESSABLE_ENTITY, message);
    }
    received.push(status.clone());
    let id = received.len();
    drop(received);
    let answer = json!({
        "id": id,
        "state": status.state,
        "context": status.context,
        "description": status.description,
    });
    (StatusCode::CREATED, Json(answer))
}

fn refuse(status: StatusCode, message: &str) -> Answer {
    (status, Json(json!({ "message": message })))
}
