//! SQS and Secrets Manager, as far as the functions call them. DynamoDB is the embedded engine.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Response};
use local::fifo::Received;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::world::{ROOT_KEY, STACK, TOKEN};

/// What was sent to any queue.
#[derive(Default)]
pub(crate) struct Aws {
    sent: Mutex<Vec<Value>>,
}

impl Aws {
    /// Both services at one address.
    pub(crate) async fn start() -> (Arc<Self>, String) {
        let aws = Arc::new(Self::default());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let router = Router::new().fallback(answer).with_state(Arc::clone(&aws));
        tokio::spawn(async move { axum::serve(listener, router).await });
        (aws, address)
    }

    /// What was sent since the last time, as one batch.
    pub(crate) fn take(&self) -> Vec<Received> {
        let sent = std::mem::take(&mut *self.sent.lock().unwrap());
        let received = sent.iter().enumerate().map(|(number, message)| {
            let field = |name: &str| message[name].as_str().unwrap().to_owned();
            Received {
                id: format!("message-{number}"),
                body: field("MessageBody"),
                group_id: field("MessageGroupId"),
                receives: 1,
            }
        });
        received.collect()
    }
}

async fn answer(State(aws): State<Arc<Aws>>, headers: HeaderMap, body: Bytes) -> Response<Body> {
    let request: Value = serde_json::from_slice(&body).unwrap();
    let (status, answer) = match headers["x-amz-target"].to_str().unwrap() {
        "AmazonSQS.SendMessage" => {
            aws.sent.lock().unwrap().push(request);
            (200, json!({ "MessageId": "1", "SequenceNumber": "1" }))
        }
        "secretsmanager.GetSecretValue" if request["VersionStage"] == "AWSPREVIOUS" => (
            400,
            json!({ "__type": "ResourceNotFoundException", "Message": "no such version" }),
        ),
        "secretsmanager.GetSecretValue" => {
            let root_key = format!("{STACK}/root-key");
            let secret = match request["SecretId"].as_str().unwrap() {
                name if name == root_key => ROOT_KEY.to_owned(),
                _ => json!({ "token": TOKEN }).to_string(),
            };
            (
                200,
                json!({ "Name": request["SecretId"], "SecretString": secret }),
            )
        }
        other => panic!("{other}"),
    };
    Response::builder()
        .status(status)
        .header("content-type", "application/x-amz-json-1.1")
        .body(Body::from(answer.to_string()))
        .unwrap()
}
