"""What leaves the functions: logs and metrics, messages and items. Metrics are in it, secrets are not."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from conftest import TOKEN
from flux import Cluster, event, new_commit
from git_host import GitHost
from stack import FUNCTIONS, Stack
from tool import Tool
from waiting import until

# Of each function, what at least it counts in the course of this test, and by which dimensions.
METRICS = {
    "intake": {("Requests", ("Stack", "Outcome"))},
    "rules": {("Verdicts", ("Stack", "Outcome")), ("Failures", ("Stack", "Function", "Outcome"))},
    "poster": {
        ("Outcomes", ("Stack", "Outcome")),
        ("Calls", ("Stack", "Host", "Class")),
        ("EventToPosted", ("Stack",)),
        ("Failures", ("Stack", "Function", "Outcome")),
    },
    "sweeper": {("Sweeps", ("Stack", "Outcome")), ("Due", ("Stack",)), ("Parked", ("Stack",))},
}


@pytest.fixture(scope="module")
def canaries(stack: Stack, tool: Tool, dev: Cluster) -> set[str]:
    """Every secret there is or was."""
    roots = stack.secret_values(f"{stack.name}/root-key").values()
    found = {TOKEN, dev.key, *tool.keys, *roots}
    assert len(found) >= 5, "the token, two root keys, and keys made of each"
    return found


def holds_none(canaries: set[str], text: str, what: str) -> None:
    assert text, what
    # Without the secret itself: this message would be the next leak.
    assert not [len(secret) for secret in canaries if secret in text], f"a secret in {what}"


def metrics(lines: list[str]) -> Iterator[tuple[dict, dict, list[str], dict]]:
    """The documents of CloudWatch's embedded metric format: each metric, with its directive and dimensions."""
    for line in lines:
        if '"_aws"' not in line:
            continue
        document = json.loads(line)
        for directive in document["_aws"]["CloudWatchMetrics"]:
            for dimensions in directive["Dimensions"]:
                for metric in directive["Metrics"]:
                    yield metric, directive, dimensions, document


def test_logs_hold_no_secret(stack: Stack, canaries: set[str]) -> None:
    for function in FUNCTIONS:
        holds_none(canaries, "\n".join(stack.log(function)), f"the log of {function}")


def test_tables_hold_no_secret(stack: Stack, canaries: set[str]) -> None:
    for table in ("rules", "statuses"):
        holds_none(canaries, json.dumps(stack.items(table)), f"the table {table}")


def test_messages_hold_no_secret(stack: Stack, dev: Cluster, canaries: set[str]) -> None:
    commit = new_commit()
    body = event("ReconciliationSucceeded", commit, name="looked-at")

    def look(queue: str) -> str:
        url = stack.queue_url(queue)
        read = lambda: stack.sqs.receive_message(QueueUrl=url, VisibilityTimeout=0, MessageSystemAttributeNames=["All"])
        [message] = until(f"a message on {queue}", lambda: read().get("Messages"))
        return json.dumps(message)

    with stack.held("posts"):
        with stack.held("events"):
            assert stack.request("POST", dev.path, body, dev.signed(body)).code == 202
            seen = look("events")
            assert commit in seen
            holds_none(canaries, seen, "an event on the queue")
        seen = look("posts")
        assert commit in seen
        holds_none(canaries, seen, "a hint on the queue")
    stack.posted(commit, "success")


def test_the_tool_printed_no_secret(tool: Tool, canaries: set[str]) -> None:
    holds_none(canaries, "\n".join(tool.printed), "what the tool printed")


@pytest.mark.parametrize("function", FUNCTIONS)
def test_metrics_are_logged_in_embedded_metric_format(stack: Stack, function: str) -> None:
    found = list(metrics(stack.log(function)))

    assert METRICS[function] <= {(metric["Name"], tuple(dimensions)) for metric, _, dimensions, _ in found}
    for metric, directive, dimensions, document in found:
        assert directive["Namespace"] == "CommitStatus"
        assert document["Stack"] == stack.name
        assert metric["Unit"] == ("Milliseconds" if metric["Name"] == "EventToPosted" else "Count")
        assert metric["Name"] in document and all(isinstance(document[name], str) for name in dimensions)


def test_metrics_tell_what_happened(stack: Stack, git_host: GitHost) -> None:
    def total(function: str, name: str, **dimensions: str) -> float:
        values = [
            document[name]
            for metric, _, _, document in metrics(stack.log(function))
            if metric["Name"] == name and dimensions.items() <= document.items()
        ]
        return sum(sum(value) if isinstance(value, list) else value for value in values)

    accepted = sum("event accepted" in line for line in stack.log("intake"))
    assert total("intake", "Requests", Outcome="accepted") == accepted > 0
    assert total("intake", "Requests", Outcome="unauthorized") > 0
    assert total("rules", "Verdicts", Outcome="unchanged") > 0
    assert total("poster", "Outcomes", Outcome="posted") > 0
    taken = [call for call in git_host.all_calls() if call.answered == 201]
    assert total("poster", "Calls", Host=git_host.name, Class="posted") == len(taken)
    assert total("poster", "Calls", Host=git_host.name) == len(git_host.all_calls())
    assert total("sweeper", "Sweeps", Outcome="swept") > 0
