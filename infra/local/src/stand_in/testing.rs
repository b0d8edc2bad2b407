//! What the tables of the hosts' tests are written with.

use std::str::FromStr;

use http::header::{HeaderMap, HeaderName};
use jiff::Timestamp;
use serde_json::Value;

use super::{Answer, Body, HostKind, Post, Received, Request, StandIn};

pub(super) const SHA: &str = "a1afe267b54f38b46b487f6e938a6fd508278c07";
pub(super) const OTHER_SHA: &str = "b1afe267b54f38b46b487f6e938a6fd508278c07";
pub(super) const NOW: i64 = 1_786_108_382;

/// A request that can be changed.
#[derive(Clone)]
pub(super) struct Ask {
    pub(super) method: &'static str,
    pub(super) target: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Value,
    /// In place of the body.
    pub(super) raw: Option<&'static str>,
    /// In seconds since 1970.
    pub(super) at: i64,
}

/// What makes another request of it.
pub(super) type Change = fn(&mut Ask);

impl Ask {
    pub(super) fn post(target: &str, headers: &[(&str, &str)], body: Value) -> Self {
        let mut ask = Self {
            method: "POST",
            target: target.to_owned(),
            headers: HeaderMap::new(),
            body,
            raw: None,
            at: NOW,
        };
        for (name, value) in headers {
            ask.header(name, value);
        }
        ask
    }

    pub(super) fn header(&mut self, name: &str, value: &str) {
        self.headers
            .insert(HeaderName::from_str(name).unwrap(), value.parse().unwrap());
    }

    pub(super) fn without(&mut self, name: &str) {
        self.headers.remove(name).unwrap();
    }

    /// With a field of the body set, or taken away.
    pub(super) fn set(&mut self, name: &str, value: impl Into<Value>) {
        self.body[name] = value.into();
    }

    pub(super) fn unset(&mut self, name: &str) {
        self.body.as_object_mut().unwrap().remove(name).unwrap();
    }

    /// With another text in the target.
    pub(super) fn aim(&mut self, from: &str, to: &str) {
        assert!(self.target.contains(from), "{}", self.target);
        self.target = self.target.replace(from, to);
    }

    pub(super) fn changed(&self, change: Change) -> Self {
        let mut ask = self.clone();
        change(&mut ask);
        ask
    }

    pub(super) fn send(&self, stand_in: &mut StandIn) -> Answer {
        self.with_request(|request| stand_in.answer(request))
    }

    pub(super) fn read(&self, kind: HostKind) -> Option<Post> {
        self.with_request(|request| StandIn::read(kind, request))
    }

    fn with_request<T>(&self, give: impl FnOnce(&Request<'_>) -> T) -> T {
        let body = self.raw.map_or_else(|| self.body.to_string(), str::to_owned);
        give(&Request {
            method: self.method,
            target: &self.target,
            headers: &self.headers,
            body: body.as_bytes(),
            now: Timestamp::from_second(self.at).unwrap(),
        })
    }
}

/// Status and body, a text for what is no JSON.
pub(super) fn told(answer: &Answer) -> (u16, Value) {
    let body = match &answer.body {
        Body::Json(body) => body.clone(),
        Body::Text(text) => text.clone().into(),
        Body::Empty => Value::Null,
    };
    (answer.status.as_u16(), body)
}

/// Each change to a request that is taken makes one that is refused, with this status and body, and leaves nothing.
pub(super) fn asserts_refusals(stand_in: &mut StandIn, good: &Ask, cases: &[(Change, u16, Value)]) {
    for (nth, (change, status, body)) in cases.iter().enumerate() {
        let before = stand_in.received().len();
        let answer = good.changed(*change).send(stand_in);
        assert_eq!(told(&answer), (*status, body.clone()), "case {nth}");
        assert_eq!(stand_in.received().len(), before, "case {nth}");
        let answer = good.send(stand_in);
        assert!(
            matches!(answer.status.as_u16(), 201 | 204),
            "case {nth}: {answer:?}"
        );
    }
}

/// Each change makes another request that is taken.
pub(super) fn asserts_taken(stand_in: &mut StandIn, good: &Ask, cases: &[Change]) {
    for (nth, change) in cases.iter().enumerate() {
        let answer = good.changed(*change).send(stand_in);
        assert!(
            matches!(answer.status.as_u16(), 201 | 204),
            "case {nth}: {answer:?}"
        );
    }
}

/// State and description, as people see them.
pub(super) fn seen(received: Option<&Received>) -> Option<(&str, &str)> {
    received.map(|received| {
        let description = received.description.as_deref().unwrap_or_default();
        (received.state.as_str(), description)
    })
}
