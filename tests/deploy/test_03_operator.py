"""The operator's tool does its whole job with the rights of OperatorPolicy."""

from __future__ import annotations

import json

import pytest
from conftest import TOKEN
from flux import Cluster, event, new_commit
from git_host import GitHost
from stack import Stack
from tool import Tool
from waiting import until


def test_a_first_cluster_is_connected_as_the_readme_says(stack: Stack, tool: Tool, dev: Cluster) -> None:
    assert dev.address == stack.outputs["FunctionUrl"] + "events/dev"
    assert len(dev.key) == 64
    assert "dev" in tool.runs("cluster list").out
    assert "every" in tool.runs("get commitstatuses").out
    assert "github" in tool.runs("get providers").out
    secret = stack.secrets.get_secret_value(SecretId=f"{stack.name}/providers/dev/apps/github-token")
    assert json.loads(secret["SecretString"]) == {"token": TOKEN}


def test_a_root_key_that_is_there_is_not_made_again(stack: Stack, tool: Tool, dev: Cluster) -> None:
    before = stack.secret_values(f"{stack.name}/root-key")

    assert tool.runs("root-key init").out == f"secret/{stack.name}/root-key unchanged\n"

    assert stack.secret_values(f"{stack.name}/root-key") == before
    status = tool.runs("root-key status").out
    assert "no other is accepted" in status
    assert "current" in next(line for line in status.splitlines() if line.startswith("dev"))


def test_what_is_parked_is_shown_and_retried(stack: Stack, tool: Tool, dev: Cluster, git_host: GitHost) -> None:
    commit = new_commit()
    # Once for the token that is at hand, and once more for the one that is read again.
    git_host.answers(commit, 403, 403)
    body = event("ReconciliationSucceeded", commit, name="parked")
    assert stack.request("POST", dev.path, body, dev.signed(body)).code == 202
    until("parked", lambda: "parked" in (stack.status(commit) or {}))
    git_host.answers(commit)

    assert "forbidden" in tool.runs("get parked").out
    assert "forbidden" in tool.runs(f"get statuses {commit[:7]}").out
    assert "1" in tool.runs("retry --provider github -n apps").out
    stack.make_due(commit)
    stack.sweep()

    stack.posted(commit, "success")
    assert "nothing parked" in tool.runs("get parked").text
    shown = tool.runs(f"get statuses {commit[:7]}").out
    assert "dev/kustomization/parked" in shown and "posted 20" in shown


def test_what_was_posted_is_posted_again_by_force(stack: Stack, tool: Tool, dev: Cluster, git_host: GitHost) -> None:
    commit = new_commit()
    body = event("ReconciliationSucceeded", commit, name="forced")
    assert stack.request("POST", dev.path, body, dev.signed(body)).code == 202
    stack.posted(commit, "success")

    tool.runs(f"retry --commit {commit[:7]} --force")
    stack.make_due(commit)
    stack.sweep()

    until("posted twice", lambda: len(git_host.calls(commit)) == 2)
    stack.posted(commit, "success")


def test_a_cluster_is_suspended_revoked_and_deleted(stack: Stack, tool: Tool, dev: Cluster) -> None:
    tool.runs("cluster add other")
    first = tool.connect("other")
    tool.runs("cluster suspend other")
    tool.runs("cluster resume other")
    tool.runs("cluster revoke other")
    second = tool.connect("other")
    tool.runs("cluster delete other")

    assert "other" not in tool.runs("cluster list").out
    assert first.key != second.key
    assert second.address == first.address + "?generation=2"


def test_rules_and_providers_are_deleted(tool: Tool, dev: Cluster, tmp_path, git_host: GitHost) -> None:
    (tmp_path / "all.yaml").write_text(
        f"""\
apiVersion: notification.toolkit.fluxcd.io/v1beta3
kind: Provider
metadata: {{name: passing, namespace: elsewhere}}
spec: {{type: github, address: {git_host.url}/acme/fleet, secretRef: {{name: github-token}}}}
---
apiVersion: notification.toolkit.fluxcd.io/v1beta1
kind: CommitStatus
metadata: {{name: passing, namespace: elsewhere}}
spec: {{providerRef: {{name: passing}}, eventSources: [{{kind: Kustomization, name: passing}}]}}
"""
    )
    tool.runs("apply --all-clusters -f", str(tmp_path))
    assert "passing" in tool.runs("get commitstatuses").out

    tool.runs("delete --all-clusters -f", str(tmp_path))

    assert "passing" not in tool.runs("get commitstatuses").text
    assert "passing" not in tool.runs("get providers").text


def test_everything_is_looked_at(stack: Stack, tool: Tool, dev: Cluster, git_host: GitHost) -> None:
    commit = new_commit()
    body = event("ReconciliationSucceeded", commit, name="explained")
    assert stack.request("POST", dev.path, body, dev.signed(body)).code == 202
    stack.posted(commit, "success")

    until("kept", lambda: tool.tries(f"explain {commit[:7]}").code == 0)
    explained = tool.runs(f"explain {commit[:7]}").out
    assert "dev/kustomization/explained" in explained and "posted 20" in explained
    assert "dev/kustomization/explained" in tool.runs(f"describe status {commit[:7]}").out
    assert "github-token" in tool.runs("describe provider github -n apps").out
    assert "Last event" in tool.runs("describe cluster dev").out
    checked = tool.tries("check -o json")
    assert checked.code in (0, 1), checked.text
    findings = json.loads(checked.out)["findings"]
    of_dev = [finding for finding in findings if finding.get("subject") == "dev"]
    assert not of_dev, checked.text
    assert not [finding for finding in findings if finding["area"] in ("queues", "providers")], checked.text


def test_a_rule_too_large_for_one_transaction_is_applied(tool: Tool, dev: Cluster, tmp_path) -> None:
    sources = "".join(f"    - {{kind: Kustomization, name: k{n}}}\n" for n in range(120))
    file = tmp_path / "large.yaml"
    file.write_text(
        f"""\
apiVersion: notification.toolkit.fluxcd.io/v1beta1
kind: CommitStatus
metadata: {{name: large, namespace: elsewhere}}
spec:
  providerRef: {{name: passing}}
  eventSources:
{sources}"""
    )
    assert "large created" in tool.runs("apply --all-clusters -f", str(file)).out
    file.write_text(file.read_text().replace("name: k7}", "name: k700}"))
    assert tool.tries("diff --all-clusters -f", str(file)).code == 1
    assert "large configured" in tool.runs("apply --all-clusters -f", str(file)).out
    assert tool.runs("diff --all-clusters -f", str(file)).out == ""
    tool.runs("delete --all-clusters -f", str(file))


def test_a_provider_secret_is_replaced(stack: Stack, tool: Tool, dev: Cluster) -> None:
    tool.runs("secret set another --all-clusters --namespace apps --from-stdin token", stdin="first")
    tool.runs("secret set another --all-clusters --namespace apps --from-stdin token", stdin="second")

    secret = stack.secrets.get_secret_value(SecretId=f"{stack.name}/providers/_all/apps/another")
    assert json.loads(secret["SecretString"]) == {"token": "second"}


@pytest.mark.parametrize("command", ["cluster list", "get parked", "dlq list", "root-key status"])
def test_the_policy_is_for_this_stack_alone(tool: Tool, command: str) -> None:
    said = tool.tries(f"--stack another {command}")

    assert said.code != 0
    assert "AccessDenied" in said.err or "access denied" in said.err, said.text
