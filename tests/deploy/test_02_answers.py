"""Every answer of intake, through the function URL."""

import hashlib
import hmac
import json
from collections.abc import Iterator

import pytest
from flux import Cluster, at, event, new_commit
from stack import Answer, Stack
from waiting import until

# No rule is about it, so what is accepted here is posted nowhere.
ELSEWHERE = "elsewhere"
MOST_BYTES = 256 * 1024


@pytest.fixture(autouse=True)
def everything_handled(stack: Stack) -> Iterator[None]:
    """No event of this file is still on its way when the next test begins."""
    yield
    until("all events handled", lambda: stack.waiting("events") == 0)


def good() -> bytes:
    return event("ReconciliationSucceeded", new_commit(), namespace=ELSEWHERE)


def send(stack: Stack, dev: Cluster, body: bytes) -> Answer:
    return stack.request("POST", dev.path, body, dev.signed(body))


def refused(answer: Answer, code: int, word: str) -> str:
    """What the sender of a request is told that must be refused so."""
    assert (answer.code, answer.word) == (code, word)
    assert set(answer.body) == {"status", "message"}
    return answer.body["message"]


def test_a_signed_event_is_accepted(stack: Stack, dev: Cluster) -> None:
    answer = send(stack, dev, good())

    assert answer.code == 202
    assert answer.word == "accepted"
    assert len(answer.body["id"]) == 32


def test_a_generic_provider_is_accepted_with_the_key_as_bearer_token(stack: Stack, dev: Cluster) -> None:
    answer = stack.request("POST", dev.path, good(), {"Authorization": f"Bearer {dev.key}"})

    assert (answer.code, answer.word) == (202, "accepted")


def test_whatever_is_wrong_with_a_credential_looks_the_same(stack: Stack, dev: Cluster) -> None:
    body = good()
    signed = dev.signed(body)
    of_another_key = hmac.new(b"another key", body, hashlib.sha256).hexdigest()
    answers = {
        "no credential": stack.request("POST", dev.path, body),
        "signature of another key": stack.request("POST", dev.path, body, {"X-Signature": f"sha256={of_another_key}"}),
        "signature of another body": stack.request("POST", dev.path, good(), signed),
        "signature of another form": stack.request("POST", dev.path, body, {"X-Signature": "sha1=00"}),
        "another bearer token": stack.request("POST", dev.path, body, {"Authorization": "Bearer " + "0" * 64}),
        "another scheme": stack.request("POST", dev.path, body, {"Authorization": f"Basic {dev.key}"}),
        "an unknown cluster": stack.request("POST", "/events/unknown", body, signed),
        "no name of a cluster": stack.request("POST", "/events/Dev", body, signed),
        "another generation": stack.request("POST", dev.path + "?generation=2", body, signed),
        "an odd generation": stack.request("POST", dev.path + "?generation=01", body, signed),
        "another query": stack.request("POST", dev.path + "?generation=1&more=1", body, signed),
        # Nothing of a body is read before its sender is known.
        "no JSON of a stranger": stack.request("POST", dev.path, b"{"),
    }

    assert {what: (answer.code, answer.body) for what, answer in answers.items()} == {
        what: (401, answers["no credential"].body) for what in answers
    }
    assert answers["no credential"].word == "unauthorized"


def test_an_old_event_is_refused(stack: Stack, dev: Cluster) -> None:
    body = event("ReconciliationSucceeded", new_commit(), namespace=ELSEWHERE, timestamp=at(hours=-25))

    assert "after 24h" in refused(send(stack, dev, body), 400, "too-old")


def test_an_event_of_the_future_is_refused(stack: Stack, dev: Cluster) -> None:
    body = event("ReconciliationSucceeded", new_commit(), namespace=ELSEWHERE, timestamp=at(minutes=10))

    assert "clock" in refused(send(stack, dev, body), 400, "clock-ahead")


def test_what_is_no_event_is_refused_by_naming_the_field(stack: Stack, dev: Cluster) -> None:
    without_name = json.loads(good())
    del without_name["involvedObject"]["name"]

    assert "JSON" in refused(send(stack, dev, b"not JSON"), 400, "not-an-event")
    assert "name" in refused(send(stack, dev, json.dumps(without_name).encode()), 400, "not-an-event")
    assert "involvedObject" in refused(send(stack, dev, b"{}"), 400, "not-an-event")


def test_a_body_that_is_too_large_is_refused(stack: Stack, dev: Cluster) -> None:
    large = json.loads(good())
    large["message"] = ""
    room = MOST_BYTES - len(json.dumps(large).encode())
    large["message"] = "x" * room
    most = json.dumps(large).encode()

    assert len(most) == MOST_BYTES
    assert send(stack, dev, most).code == 202
    assert "256 KiB" in refused(send(stack, dev, most + b" "), 413, "too-large")


def test_other_paths_and_methods_are_refused(stack: Stack, dev: Cluster) -> None:
    assert "/events/" in refused(stack.request("POST", "/", good()), 404, "not-found")
    assert "/events/" in refused(stack.request("GET", "/events"), 404, "not-found")

    get = stack.request("GET", dev.path)
    assert "POST" in refused(get, 405, "method-not-allowed")
    assert get.headers["allow"] == "POST"
    assert refused(stack.request("POST", "/healthz"), 405, "method-not-allowed")


def test_health_is_told(stack: Stack) -> None:
    answer = stack.request("GET", "/healthz")

    assert (answer.code, answer.body) == (200, {"status": "ok"})


def test_without_its_queue_intake_is_unavailable_and_recovers(stack: Stack, dev: Cluster) -> None:
    body = good()

    with stack.denied("intake", "sqs:SendMessage"):
        refused(send(stack, dev, body), 503, "unavailable")
        assert stack.waiting("events") == 0
    assert send(stack, dev, body).code == 202


def test_without_the_root_key_intake_is_unavailable_and_recovers(stack: Stack, dev: Cluster) -> None:
    body = good()

    with stack.denied("intake", "secretsmanager:GetSecretValue"):
        # The one that is warm knows the key.
        assert send(stack, dev, good()).code == 202
        stack.renew("intake")
        refused(send(stack, dev, body), 503, "unavailable")
    # It does not try to read the key for every request.
    until("accepted again", lambda: send(stack, dev, body).code == 202)
