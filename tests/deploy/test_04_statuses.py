"""From an event to a status at the Git host."""

from flux import Cluster, event, new_commit
from git_host import GitHost
from stack import Stack, fields
from waiting import until


def send(stack: Stack, dev: Cluster, body: bytes) -> str:
    """The id of the event."""
    answer = stack.request("POST", dev.path, body, dev.signed(body))
    assert answer.code == 202, answer
    return answer.body["id"]


def test_each_change_is_posted_once_and_nothing_else(stack: Stack, dev: Cluster, git_host: GitHost) -> None:
    commit = new_commit()

    send(stack, dev, event("Progressing", commit))
    stack.posted(commit, "pending")
    success = event("ReconciliationSucceeded", commit)
    first = send(stack, dev, success)
    stack.posted(commit, "success")
    # The same bytes, as Flux sends them when an answer was lost; the success of the next interval; and late progress.
    assert send(stack, dev, success) == first
    unchanged = send(stack, dev, event("ReconciliationSucceeded", commit))
    stale = send(stack, dev, event("Progressing", commit))
    # Events of an object are handled in order, so when this one is posted the others were handled.
    send(stack, dev, event("HealthCheckFailed", commit))
    stack.posted(commit, "failure")

    calls = git_host.calls(commit)
    assert [call.status for call in calls] == [
        ("dev/kustomization/podinfo", "pending", "progressing"),
        ("dev/kustomization/podinfo", "success", "reconciliation succeeded"),
        ("dev/kustomization/podinfo", "failure", "health check failed"),
    ]
    assert {(call.method, call.path) for call in calls} == {("POST", f"/api/v3/repos/acme/fleet/statuses/{commit}")}
    verdicts = {found.get("event.id"): found.get("outcome") for found in map(fields, stack.log("rules"))}
    assert verdicts[unchanged] == "unchanged"
    assert verdicts[stale] == "stale"


def test_a_host_that_was_away_gets_the_status_once_it_is_back(stack: Stack, dev: Cluster, git_host: GitHost) -> None:
    commit = new_commit()
    git_host.answers(commit, 503)

    send(stack, dev, event("ReconciliationSucceeded", commit, name="away"))
    until("tried once", lambda: (stack.status(commit) or {}).get("attempts") == {"N": "1"})
    assert "posted" not in stack.status(commit)
    stack.make_due(commit)
    stack.sweep()

    stack.posted(commit, "success")
    assert [call.answered for call in git_host.calls(commit)] == [503, 201]


def test_a_hint_that_was_lost_is_sent_by_the_sweeper(stack: Stack, dev: Cluster, git_host: GitHost) -> None:
    commit = new_commit()

    with stack.denied("rules", "sqs:SendMessage"):
        send(stack, dev, event("ReconciliationSucceeded", commit, name="unhinted"))
        until("written", lambda: stack.status(commit))
        until("handled", lambda: stack.waiting("events") == 0)
    assert git_host.calls(commit) == []
    stack.make_due(commit)
    stack.sweep()

    stack.posted(commit, "success")
    assert len(git_host.calls(commit)) == 1


def test_a_newer_commit_closes_what_the_older_left_pending(stack: Stack, dev: Cluster, git_host: GitHost) -> None:
    older, newer = new_commit(), new_commit()

    send(stack, dev, event("Progressing", older, name="overtaken"))
    stack.posted(older, "pending")
    send(stack, dev, event("Progressing", newer, name="overtaken"))
    stack.posted(newer, "pending")

    until("closed", lambda: len(git_host.calls(older)) == 2)
    assert git_host.calls(older)[-1].status == (
        "dev/kustomization/overtaken",
        "error",
        f"superseded by {newer[:7]}",
    )
