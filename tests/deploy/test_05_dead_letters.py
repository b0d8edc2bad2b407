"""What cannot be handled becomes a dead letter, and is sent again."""

from collections.abc import Iterator

import pytest
from flux import Cluster, event, new_commit
from git_host import GitHost
from stack import Stack
from tool import Tool
from waiting import until


@pytest.fixture
def dead_event(stack: Stack, tool: Tool, dev: Cluster) -> Iterator[str]:
    """The commit of an event that rules could not handle, as it may not read its table."""
    commit = new_commit()
    body = event("ReconciliationSucceeded", commit, name="dead")
    # A new environment, as one that is warm knows the rules for some seconds.
    stack.renew("rules")
    with stack.impatient("events", receives=2), stack.denied("rules", "dynamodb:*"):
        assert stack.request("POST", dev.path, body, dev.signed(body)).code == 202
        until("a dead letter", lambda: stack.waiting("events-dead") == 1)
        assert stack.waiting("events") == 0
    yield commit
    assert tool.dead_letters() == []


def test_a_dead_letter_is_listed_and_sent_again(
    stack: Stack, tool: Tool, git_host: GitHost, dead_event: str
) -> None:
    assert git_host.calls(dead_event) == []
    [letter] = tool.dead_letters()
    listed = tool.runs("dlq list").out
    assert "Kustomization/apps/dead of dev: ReconciliationSucceeded" in listed
    assert dead_event[:7] in listed

    tool.runs("dlq redrive --queue events --id", letter["id"])

    stack.posted(dead_event, "success")
    assert len(git_host.calls(dead_event)) == 1
    assert stack.waiting("events-dead") == 0


def test_a_dead_letter_is_purged(stack: Stack, tool: Tool, git_host: GitHost, dead_event: str) -> None:
    tool.runs("dlq purge --queue events --yes")

    assert stack.waiting("events-dead") == 0
    assert stack.status(dead_event) is None


def test_a_dead_hint_is_purged_and_the_table_still_knows_what_is_due(
    stack: Stack, tool: Tool, dev: Cluster, git_host: GitHost
) -> None:
    commit = new_commit()
    body = event("ReconciliationSucceeded", commit, name="dead-hint")

    stack.renew("poster")
    with stack.impatient("posts", receives=2), stack.denied("poster", "dynamodb:*"):
        assert stack.request("POST", dev.path, body, dev.signed(body)).code == 202
        until("a dead letter", lambda: stack.waiting("posts-dead") == 1)
    assert "dev/kustomization/dead-hint" in tool.runs("dlq list --queue posts").out
    tool.runs("dlq purge --queue posts --yes")
    assert tool.dead_letters() == []
    assert git_host.calls(commit) == []
    stack.make_due(commit)
    stack.sweep()

    stack.posted(commit, "success")
    assert len(git_host.calls(commit)) == 1


def test_a_stranger_s_message_is_dropped(stack: Stack, dev: Cluster) -> None:
    """Neither does it come back, nor does it keep others from being handled."""
    stack.sqs.send_message(
        QueueUrl=stack.queue_url("events"),
        MessageBody="{}",
        MessageGroupId="stranger",
        MessageDeduplicationId="stranger",
    )

    until("dropped", lambda: stack.waiting("events") == 0)
    assert stack.waiting("events-dead") == 0
    until("logged", lambda: any("outcome=malformed" in line.replace('"', "") for line in stack.log("rules")))
